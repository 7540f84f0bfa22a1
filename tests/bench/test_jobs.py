"""A job is one calculation: what it computes is in its key, and JSON gives it back."""

import dataclasses
import json

import pytest

from mlxc.bench.jobs import Job
from mlxc.errors import InvalidInput
from tests.bench.conftest import H2, H2_CATION, HE, LI

FRACTIONAL = dataclasses.replace(LI, species="Li +0.50", electrons=(1.5, 1.0))


@pytest.mark.parametrize("change", ({"charge": 1}, {"spin": 2}, {"basis": "6-31g"}, {"electrons": (1.0, 0.5)},
                                    {"restricted": False}, {"grid_level": 4}, {"polarizability": True},
                                    {"excitations": True}, {"density_fit": False}, {"atoms": HE.atoms}))
def test_keys_differ_where_jobs_do(change):
    assert dataclasses.replace(H2, **change).key != H2.key


def test_keys_are_file_names_that_can_be_read():
    assert H2.key.startswith("T__h2__sto-3g__") and "/" not in H2.key and " " not in FRACTIONAL.key
    assert H2.key == Job(**dataclasses.asdict(H2)).key


def test_json_gives_a_job_back():
    for job in (H2, FRACTIONAL):
        again = Job.from_dict(json.loads(json.dumps(job.to_dict())))
        assert again == job and again.key == job.key


@pytest.mark.parametrize("job, restricted, checked, electrons", (
    (H2, True, False, 2), (H2_CATION, False, False, 1), (LI, False, True, 3), (FRACTIONAL, False, False, 2.5),
    (dataclasses.replace(H2, restricted=False), False, True, 2),
    (dataclasses.replace(H2, excitations=True), True, True, 2)))
def test_open_shells_and_what_is_excited_are_checked_for_stability(job, restricted, checked, electrons):
    """One electron is always in its ground state; fractions have no minimum to look for."""
    assert (job.is_restricted, job.is_checked, job.n_electrons) == (restricted, checked, electrons)


def test_molecules_are_those_asked_for():
    mol = H2_CATION.mol()
    assert (mol.charge, mol.spin, mol.nelectron, mol.basis) == (1, 1, 1, "sto-3g")
    assert mol.atom_coord(1, unit="Ang") == pytest.approx([0, 0, 0.74])
    assert FRACTIONAL.mol().nelectron == 3


def test_a_basis_may_be_given_in_full():
    job = dataclasses.replace(HE, basis="name:tight\nHe S\n 1.2 1.0\nHe P\n 0.7 1.0")
    assert job.basis_name == "tight" and job.mol().nao == 4


def test_heavy_elements_have_the_cores_of_their_basis():
    """Iodine's 28 inner electrons in def2 bases; sto-3g has all of them, and fractions are counted with all."""
    iodine = Job("I", (("I", (0.0, 0.0, 0.0)),), 0, 1, "def2-svp")
    assert iodine.mol().nelectron == 53 - 28 and iodine.mol().has_ecp()
    assert dataclasses.replace(iodine, basis="sto-3g").mol().nelectron == 53
    with pytest.raises(InvalidInput, match="I: def2-svp has no electrons in the core of I"):
        dataclasses.replace(iodine, electrons=(26.5, 26.0)).mol()
