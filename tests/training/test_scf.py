"""The SCF of a species: solutions that are no minimum are found and left, and what was checked is said."""

import dataclasses

import numpy as np
import pytest
from pyscf import dft, gto

from tests.training.conftest import SPECIES, TINY
from training import scf


def symmetric_h2():
    """UKS of H₂ at 3 Å with equal orbitals of both spins: a saddle point."""
    mf = dft.UKS(gto.M(atom="H 0 0 0; H 0 0 3", basis="sto-3g", verbose=0), xc="wb97x")
    mf.grids.level, mf.conv_tol = 0, 1e-9
    mf.kernel()
    return mf


def test_a_saddle_point_is_left_downhill():
    mf = symmetric_h2()
    saddle = mf.e_tot
    assert scf.stabilised(mf, 0) is False and mf.e_tot == saddle
    assert scf.stabilised(mf, 3) is True
    assert mf.converged and mf.e_tot < saddle - 0.1
    assert mf.spin_square()[0] == pytest.approx(1, abs=0.05)


def test_a_restart_that_gains_nothing_is_not_kept(monkeypatch):
    """The analysis reports an instability that is none: the same solution is there afterwards, and counts as stable."""
    mf, _ = scf.mean_field(SPECIES["Li"], TINY)
    before = mf.e_tot, mf.mo_coeff
    monkeypatch.setattr(scf, "softest_rotation", lambda mf: (-1.0, mf.mo_coeff))
    assert scf.stabilised(mf, 1) is True
    assert mf.e_tot == before[0] and mf.mo_coeff is before[1]


def test_a_restart_that_ends_higher_is_not_kept(monkeypatch):
    mf = symmetric_h2()
    symmetric = mf.mo_coeff
    assert scf.stabilised(mf, 3)
    lowest, calls = mf.e_tot, []
    monkeypatch.setattr(scf, "softest_rotation", lambda _: (calls.append(1) or -1.0, symmetric))
    assert scf.stabilised(mf, 3) is False
    assert mf.e_tot == lowest and mf.converged and len(calls) == 1


@pytest.mark.parametrize("key, stable", [("H2", None), ("He", True), ("Li", True), ("H", True), ("H2+", True),
                                         ("H_0.75", None)])
def test_open_shells_and_atoms_are_checked(key, stable):
    """Closed-shell molecules and fractional electrons are not."""
    mf, found = scf.mean_field(SPECIES[key], TINY)
    assert mf.converged and found is stable


@pytest.mark.parametrize("follow_ups, cycles", ((0, 100), (3, 1)))
def test_nothing_is_said_where_nothing_was_checked(follow_ups, cycles, monkeypatch):
    """Because it was not asked for, or because there is no solution."""
    monkeypatch.setattr(scf, "ATTEMPTS", ({"max_cycle": cycles},))
    mf, stable = scf.mean_field(SPECIES["Li"], dataclasses.replace(TINY, follow_ups=follow_ups))
    assert stable is None and mf.converged is (cycles > 1)


def test_curvature_is_that_of_the_energy():
    """A step x of one spin's orbital and −x of the other's, and a step x of a closed shell's: ΔE = ½ curvature |x|²."""
    x, he, h2 = 1e-2, scf.mean_field(SPECIES["He"], TINY)[0], symmetric_h2()
    one = [scf._rotated(he.mo_coeff, he.mo_occ, np.array([s * x])) for s in (1, -1)]
    two = [np.array([scf._rotated(h2.mo_coeff[k], h2.mo_occ[k], np.array([s * x])) for k, s in enumerate(signs)])
           for signs in ((1, -1), (-1, 1))]
    for mf, rotated, size in ((he, one, x**2), (h2, two, 2 * x**2)):
        change = np.mean([mf.energy_tot(mf.make_rdm1(mo, mf.mo_occ)) for mo in rotated]) - mf.e_tot
        assert scf.softest_rotation(mf)[0] == pytest.approx(2 * change / size, rel=1e-2)
