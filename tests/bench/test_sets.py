"""Reaction sets: one basis per reaction, one calculation per species and basis."""

import json

import pytest

from mlxc.bench import sets
from mlxc.bench.protocol import Protocol


def species(canonical, atoms, charge=0, spin=0):
    return {"canonical": canonical, "charge": charge, "spin": spin, "atoms": atoms}


SPECIES = {
    "A/h2o": species("A/h2o", [["O", 0, 0, 0.1], ["H", 0, 0.8, -0.5], ["H", 0, -0.8, -0.5]]),
    "B/water": species("A/h2o", [["O", 0, 0, 0.1], ["H", 0, 0.8, -0.5], ["H", 0, -0.8, -0.5]]),
    "A/h2o+": species("A/h2o+", [["O", 0, 0, 0.1], ["H", 0, 0.8, -0.5], ["H", 0, -0.8, -0.5]], 1, 1),
    "A/oh": species("A/oh", [["O", 0, 0, 0], ["H", 0, 0, 0.97]], spin=1),
    "A/oh-": species("A/oh-", [["O", 0, 0, 0], ["H", 0, 0, 0.97]], -1),
    "A/h": species("A/h", [["H", 0, 0, 0]], spin=1),
    "A/h2+": species("A/h2+", [["H", 0, 0, 0], ["H", 0, 0, 1.06]], 1, 1),
}


def reaction(id_, **stoichiometry):
    terms = {f"A/{name}" if "/" not in name else name: c for name, c in stoichiometry.items()}
    return {"id": id_, "subset": "S", "cls": "ions", "stoichiometry": terms, "reference": 12.5}


REACTIONS = [
    reaction("ionisation", **{"h2o+": 1, "h2o": -1}),
    reaction("affinity", **{"oh": 1, "oh-": -1}),
    reaction("one electron", **{"h2+": -1, "h": 1}),
    reaction("bond", **{"B/water": -1, "oh": 1, "h": 1}),
]

BASIS, DIFFUSE = Protocol().basis, Protocol().diffuse_basis


@pytest.fixture
def path(tmp_path):
    (tmp_path / "set.json").write_text(json.dumps({"species": SPECIES, "reactions": REACTIONS}))
    return tmp_path / "set.json"


@pytest.mark.parametrize("id_, basis", (("ionisation", BASIS), ("affinity", DIFFUSE), ("one electron", DIFFUSE),
                                        ("bond", DIFFUSE)))
def test_anions_and_one_electron_systems_make_their_reactions_diffuse(path, id_, basis):
    """A reaction has one basis for all its species; a free H atom has one electron."""
    reactions, jobs = sets.load_set(path, [id_])
    assert {jobs[key].basis for key, _ in reactions[0].stoichiometry} == {basis}


def test_bases_are_the_protocols(path):
    protocol = Protocol(basis="sto-3g", diffuse_basis="6-31++g")
    _, jobs = sets.load_set(path, None, protocol)
    assert {job.basis for job in jobs.values()} == {"sto-3g", "6-31++g"}


def test_equal_species_are_computed_once_per_basis(path):
    reactions, jobs = sets.load_set(path)
    assert len(reactions) == 4 and all(key == job.key for key, job in jobs.items())
    assert sorted(jobs) == sorted([f"A__h2o__{BASIS}", f"A__h2o+__{BASIS}", f"A__oh__{DIFFUSE}", f"A__oh-__{DIFFUSE}",
                                   f"A__h2+__{DIFFUSE}", f"A__h__{DIFFUSE}", f"A__h2o__{DIFFUSE}"])
    assert {key for r in reactions for key, _ in r.stoichiometry} == jobs.keys()


def test_reactions_keep_their_numbers(path):
    first = sets.load_set(path, ["ionisation"])[0][0]
    assert (first.id, first.subset, first.family, first.reference) == ("ionisation", "S", "ions", 12.5)
    assert first.stoichiometry == ((f"A__h2o+__{BASIS}", 1), (f"A__h2o__{BASIS}", -1))


def test_jobs_make_their_molecules(path):
    _, jobs = sets.load_set(path, ["ionisation"])
    mol = jobs[f"A__h2o+__{BASIS}"].mol()
    assert (mol.charge, mol.spin, mol.nelectron, mol.basis) == (1, 1, 9, BASIS)
    assert mol.atom_coord(1, unit="Ang") == pytest.approx([0, 0.8, -0.5])
