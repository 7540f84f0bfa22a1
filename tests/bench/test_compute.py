"""A result is the host's own calculation under the protocol, and says how it went."""

import dataclasses

import numpy as np
import pytest
from pyscf import dft

import mlxc
from mlxc.bench import compute, methods
from mlxc.bench.jobs import Job
from mlxc.bench.protocol import STANDARD
from mlxc.bench.sets import one_electron
from tests.bench.conftest import H2, H2_CATION, HE, LI, PROTOCOL


def result(job: Job, name: str, **changes):
    return compute.compute(job, methods.method(name), dataclasses.replace(PROTOCOL, **changes))


@pytest.mark.parametrize("name", ("hf", "pbe", "mlxc_rs"))
def test_energies_are_those_of_the_host(name):
    mf = H2.mol().RHF() if name == "hf" else dft.RKS(H2.mol(), xc="pbe") if name == "pbe" else mlxc.RKS(H2.mol())
    mf = mf.density_fit(auxbasis=PROTOCOL.auxbasis)
    if name != "hf":
        mf.grids.level = 0
    found = result(H2, name)
    assert found["converged"] and found["e_scf"] == pytest.approx(mf.kernel(), abs=1e-7)
    assert found["homo"] == pytest.approx(mf.mo_energy[0], abs=1e-5)
    assert found["lumo"] == pytest.approx(mf.mo_energy[1], abs=1e-5)
    assert (found["s2"], found["stable"]) == (pytest.approx(0, abs=1e-10), None)
    assert (found["members"] is None) == (name != "mlxc_rs")


def test_one_electron_is_exact_with_the_local_hybrid():
    found = result(H2_CATION, "mlxc_lh")
    assert found["e_scf"] == pytest.approx(found["e_one"], abs=1e-8) and found["local_exchange"]
    assert result(H2_CATION, "pbe")["e_scf"] < found["e_one"] - 1e-3
    assert len(found["members"]) == 5 and "e_one" not in result(HE, "hf")


def test_open_shells_are_followed_to_a_minimum(monkeypatch):
    calls = []
    monkeypatch.setattr(compute, "stabilised", lambda mf, n, level: calls.append((n, level)) or True)
    assert result(LI, "hf")["stable"] is True and result(H2, "hf")["stable"] is None
    assert result(LI, "hf", follow_ups=0)["stable"] is None and calls == [(3, 1)]


def test_a_broken_symmetry_is_found():
    """Stretched H₂: unrestricted, its energy is that of two atoms; restricted, it lies far above."""
    far = dataclasses.replace(H2, atoms=(("H", (0.0, 0.0, 0.0)), ("H", (0.0, 0.0, 5.0))))
    broken, closed = (result(dataclasses.replace(far, restricted=r), "hf") for r in (False, True))
    assert broken["e_scf"] == pytest.approx(2 * -0.46658, abs=1e-4) and broken["s2"] == pytest.approx(1, abs=1e-3)
    assert closed["e_scf"] > broken["e_scf"] + 0.1 and broken["stable"]


def test_a_broken_symmetry_begins_with_densities_that_are_positive():
    """In a diffuse basis; near equilibrium the solution is the closed shell."""
    near = dataclasses.replace(H2, basis="aug-cc-pvtz")
    broken, closed = (result(dataclasses.replace(near, restricted=r), "mlxc_rs") for r in (False, True))
    assert broken["e_scf"] == pytest.approx(closed["e_scf"], abs=1e-6) and broken["stable"]


def test_electron_numbers_may_be_fractions():
    """Hartree–Fock's energy of half an electron in H's one orbital is half of the whole one's."""
    half = Job("H +0.5", (("H", (0.0, 0.0, 0.0)),), 0, 1, "sto-3g", electrons=(0.5, 0.0))
    whole = Job("H", half.atoms, 0, 1, "sto-3g")
    assert result(half, "hf")["s2"] is None
    assert result(half, "hf")["e_scf"] == pytest.approx(result(whole, "hf")["e_scf"] / 2, abs=1e-9)


def test_what_is_wanted_beside_the_energy():
    lih = Job("lih", (("Li", (0.0, 0.0, 0.0)), ("H", (0.0, 0.0, 1.6))), 0, 0, "6-31g", polarizability=True,
              excitations=True)
    found = result(lih, "pbe", stability_grid_level=0)
    mf = dft.RKS(lih.mol(), xc="pbe").density_fit(auxbasis=PROTOCOL.auxbasis)
    mf.grids.level = 0
    mf.kernel()
    assert found["dipole"] == pytest.approx(np.linalg.norm(mf.dip_moment(verbose=0)), abs=1e-4)
    assert found["polarizability"] == pytest.approx(np.trace(mlxc.polarizability(mf)) / 3 * 0.529177**3, rel=1e-4)
    assert found["stable"] and found["excitations"]["singlet"] == pytest.approx(mf.TDDFT().run().e[0], abs=1e-5)
    without = result(dataclasses.replace(lih, polarizability=False, excitations=False), "pbe")
    assert not {"polarizability", "excitations"} & set(without) and without["stable"] is None


def test_a_finer_grid_can_be_asked_for():
    fine = dataclasses.replace(HE, basis="6-31g", grid_level=3)
    coarse = dataclasses.replace(fine, grid_level=None)
    assert 1e-9 < abs(result(fine, "pbe")["e_scf"] - result(coarse, "pbe")["e_scf"]) < 1e-2


def test_what_does_not_converge_says_so():
    water = Job("w", (("O", (0.0, 0.0, 0.0)), ("H", (0.0, 0.0, 0.96)), ("H", (0.93, 0.0, -0.24))), 0, 0, "6-31g")
    found = result(water, "hf", max_cycle=1, conv_tol=1e-14)
    assert found["converged"] is False and found["cycles"] == 5  # three attempts, and the last
    assert -76.5 < found["e_scf"] < -75 and found["members"] is None


def test_failures_are_results_too():
    """A sentence in the place of an energy."""
    hf, pbe = methods.method("hf"), methods.method("pbe")
    bad = dataclasses.replace(pbe, name="bad", xc="no_such_functional")
    failed, fine = (compute.attempt((H2, m), PROTOCOL) for m in (bad, hf))
    assert failed["failed"].startswith("KeyError") and "e_scf" not in failed
    assert fine["converged"] and fine["versions"]["mlxc"] == mlxc.__version__ and fine["seconds"] > 0


def test_what_a_job_s_functionals_share_is_built_once():
    compute.shared.cache_clear()
    for name in ("hf", "pbe"):
        result(H2, name)
    result(HE, "hf")
    assert compute.shared.cache_info()[:2] == (1, 2)  # hits, misses


def test_density_fitting_can_be_left_out():
    """Where the auxiliary basis does not fit, such as for p functions alone: J of the 2p level, from the integrals."""
    job = next(j for j in one_electron.curves(STANDARD).jobs.values() if j.species == "H 2p")
    energies = [result(dataclasses.replace(job, density_fit=fit), "pbe")["e_scf"] for fit in (True, False)]
    mf = dft.UKS(job.mol(), xc="pbe")
    mf.grids.level = 0
    assert energies[1] == pytest.approx(mf.kernel(), abs=1e-6) and energies[0] < energies[1] - 0.01
