"""Solutions of the SCF that are no minimum are found and left; electron numbers may be fractions."""

import numpy as np
import pytest
from pyscf import dft, gto, scf

from mlxc import solution


def symmetric_h2(distance: float = 3.0):
    """UKS of H₂, 3 Å long, with equal orbitals of both spins: a saddle point."""
    mf = dft.UKS(gto.M(atom=f"H 0 0 0; H 0 0 {distance}", basis="sto-3g", verbose=0), xc="wb97x")
    mf.grids.level, mf.conv_tol = 0, 1e-9
    mf.kernel()
    return mf


def atom(symbol: str, spin: int):
    mol = gto.M(atom=symbol, basis="sto-3g" if spin else "6-31g", spin=spin, verbose=0)
    mf = (dft.UKS if spin else dft.RKS)(mol, xc="wb97x")
    mf.grids.level, mf.conv_tol = 0, 1e-9
    return mf.run()


def test_a_saddle_point_is_left_downhill():
    mf = symmetric_h2()
    saddle = mf.e_tot
    assert solution.stabilised(mf, 0) is False and mf.e_tot == saddle
    assert solution.stabilised(mf, 3) is True
    assert mf.converged and mf.e_tot < saddle - 0.1
    assert mf.spin_square()[0] == pytest.approx(1, abs=0.05)


def test_a_restart_that_gains_nothing_is_not_kept(monkeypatch):
    """The analysis reports an instability that is none: the same solution is there afterwards, and counts as stable."""
    mf = atom("Li", 1)
    before = mf.e_tot, mf.mo_coeff
    monkeypatch.setattr(solution, "softest_rotation", lambda mf: (-1e-3, lambda length: mf.mo_coeff))
    assert solution.stabilised(mf, 1) is True
    assert mf.e_tot == before[0] and mf.mo_coeff is before[1]


def test_a_restart_that_ends_higher_is_not_kept(monkeypatch):
    mf = symmetric_h2()
    symmetric = mf.mo_coeff
    assert solution.stabilised(mf, 3)
    lowest, calls = mf.e_tot, []
    monkeypatch.setattr(solution, "softest_rotation", lambda _: (calls.append(1) or -1.0, lambda length: symmetric))
    assert solution.stabilised(mf, 3) is False
    assert mf.e_tot == lowest and mf.converged and len(calls) == 1


def test_curvature_is_that_of_the_energy():
    """A step x of one spin's orbital and −x of the other's, and a step x of a closed shell's: ΔE = ½ curvature |x|²."""
    x, he, h2 = 1e-2, atom("He", 0), symmetric_h2()
    one = [solution._rotated(he.mo_coeff, he.mo_occ, np.array([s * x])) for s in (1, -1)]
    two = [np.array([solution._rotated(h2.mo_coeff[k], h2.mo_occ[k], np.array([s * x])) for k, s in enumerate(signs)])
           for signs in ((1, -1), (-1, 1))]
    for mf, rotated, size in ((he, one, x**2), (h2, two, 2 * x**2)):
        change = np.mean([mf.energy_tot(mf.make_rdm1(mo, mf.mo_occ)) for mo in rotated]) - mf.e_tot
        assert solution.softest_rotation(mf)[0] == pytest.approx(2 * change / size, rel=1e-2)


def test_fractions_of_electrons_fill_the_highest_level():
    """Be without 0.3 of an electron of spin β: with Hartree–Fock E(N) is nearly straight, and lies above the line."""
    mol = gto.M(atom="Be", basis="6-31g", verbose=0)
    energies = {}
    for missing in (0.0, 0.3, 1.0):
        mf = dft.UKS(mol, xc="hf")
        solution.occupy(mf, 2, 2 - missing)
        solution.converge(mf)
        assert mf.converged and mf.mo_occ.sum() == pytest.approx(4 - missing)
        assert sorted(set(mf.mo_occ[1])) == pytest.approx(sorted({0, 1, *([1 - missing] if missing == 0.3 else [])}))
        energies[missing] = mf.e_tot
    bend = energies[0.3] - 0.7 * energies[0.0] - 0.3 * energies[1.0]
    assert 0 < bend < 0.01


def test_attempts_follow_each_other_until_one_converges(monkeypatch):
    """The second goes on from the first one's density with its own settings; cycles are those of both."""
    monkeypatch.setattr(solution, "ATTEMPTS", ({"max_cycle": 2}, {"max_cycle": 50, "level_shift": 0.2}, {"damp": 0.5}))
    mf = dft.RKS(gto.M(atom="O 0 0 0; H 0 0 0.96; H 0.93 0 -0.24", basis="6-31g", verbose=0), xc="pbe")
    mf.grids.level = 0
    cycles = solution.converge(mf)
    assert mf.converged and mf.level_shift == 0.2 and cycles == mf.cycles + 2


def test_an_attempt_that_goes_away_from_the_guess_is_not_followed(monkeypatch):
    """The second begins with the guess where the first ended above it, and with the first one's density where not."""
    kernel, starts = scf.hf.SCF.kernel, []

    def watched(mf, dm0=None):
        starts.append(dm0)
        kernel(mf, dm0)
        if len(starts) == 1:
            mf.e_tot += away

    monkeypatch.setattr(scf.hf.SCF, "kernel", watched)
    monkeypatch.setattr(solution, "ATTEMPTS", ({"max_cycle": 3}, {"max_cycle": 50}))
    for away in (0.0, 100.0):
        starts.clear()
        mf = water()
        assert solution.converge(mf) > 3 and mf.converged
        assert np.allclose(starts[1], starts[0]) == (away > 0)


def water(xc: str = "pbe"):
    mf = dft.RKS(gto.M(atom="O 0 0 0; H 0 0 0.96; H 0.93 0 -0.24", basis="6-31g", verbose=0), xc=xc)
    mf.grids.level = 0
    return mf


@pytest.mark.parametrize("xc", ("pbe", "mlxc_lh"))
def test_a_second_order_solver_follows_where_nothing_converges(monkeypatch, xc):
    monkeypatch.setattr(solution, "ATTEMPTS", ({"max_cycle": 4, "level_shift": 5.0}, {"level_shift": 9.0}))
    found, without = water(xc), water(xc)
    cycles = solution.converge(found)
    assert found.converged and found.e_tot == pytest.approx(water(xc).kernel(), abs=1e-7)
    assert 8 < cycles < 15 and isinstance(found, dft.rks.RKS) and not hasattr(found, "_scf")
    assert solution.converge(without, responds=False) == 8 and not without.converged
    assert without.e_tot > found.e_tot


def test_fractional_occupations_are_not_for_the_second_order_solver(monkeypatch):
    monkeypatch.setattr(solution, "ATTEMPTS", ({"max_cycle": 1},))
    mf = dft.UKS(gto.M(atom="Be", basis="6-31g", verbose=0), xc="pbe")
    solution.occupy(mf, 2, 1.5)
    assert solution.converge(mf) == 1 and not mf.converged and mf.mo_occ.sum() == 3.5


def test_a_restart_that_leads_back_to_a_saddle_is_made_without_diis(monkeypatch):
    """H₂ at 1.9 Å with mlxc_lh_all has a saddle with partly localised spins, to which DIIS returns from a unit step."""
    mol = gto.M(atom="H 0 0 0; H 0 0 1.9", basis="aug-cc-pvdz", verbose=0)
    mf = dft.UKS(mol, xc="mlxc_lh_all").density_fit(auxbasis="def2-universal-jkfit")
    dm, n = mf.get_init_guess()[0], mol.nao // 2
    guess = np.zeros((2, 2 * n, 2 * n))
    guess[:, :n, :n], guess[:, n:, n:] = (np.multiply.outer(x, dm[a:a + n, a:a + n])
                                          for x, a in (((1.5, 0.5), 0), ((0.5, 1.5), n)))
    mf.kernel(dm0=guess)
    saddle = mf.e_tot
    assert solution.softest_rotation(mf)[0] < -0.1
    without, plain = solution._without_extrapolation, []
    monkeypatch.setattr(solution, "_without_extrapolation", lambda *args: plain.append(args) or without(*args))
    assert solution.stabilised(mf, 1) is True and mf.diis is True and len(plain) == 1
    assert mf.e_tot < saddle - 0.01 and mf.spin_square()[0] == pytest.approx(0.87, abs=0.02)


def test_a_restart_that_does_not_converge_goes_downhill(monkeypatch):
    mf, kernel = symmetric_h2(), scf.hf.SCF.kernel
    saddle = mf.e_tot

    def unfinished(mf, dm0=None):
        mf.max_cycle = 1
        kernel(mf, dm0)
        mf.max_cycle = 50

    monkeypatch.setattr(scf.hf.SCF, "kernel", unfinished)
    assert solution.stabilised(mf, 3) is True
    assert mf.converged and mf.e_tot < saddle - 0.1 and mf.spin_square()[0] == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("failures", (2, 3), ids=("SCF", "second order"))
def test_a_restart_that_flies_away_is_made_with_a_shorter_step(monkeypatch, failures):
    """As with LiF at 10 Å, whose SCF oscillates after a unit step, with DIIS and without."""
    mf, kernel, calls = symmetric_h2(2), scf.hf.SCF.kernel, []
    saddle = mf.e_tot

    def fails_at_first(mf, dm0=None):
        calls.append(mf.energy_tot(dm0))
        mf.converged = False
        return kernel(mf, dm0) if len(calls) > failures else None

    monkeypatch.setattr(scf.hf.SCF, "kernel", fails_at_first)
    assert solution.stabilised(mf, 3) is True
    assert mf.converged and mf.e_tot < saddle - 0.05 and calls[2] < saddle


def test_another_grid_serves_the_analysis_alone(monkeypatch):
    mf, levels = symmetric_h2(), []
    own, softest = mf.grids, solution.softest_rotation
    monkeypatch.setattr(solution, "softest_rotation", lambda mf: levels.append(mf.grids.level) or softest(mf))
    assert solution.stabilised(mf, 3, grid_level=1) is True
    assert set(levels) == {1} and mf.grids is own and mf.spin_square()[0] == pytest.approx(1, abs=0.05)
    monkeypatch.undo()
    hf = gto.M(atom="Li", spin=1, basis="sto-3g", verbose=0).UHF().run()
    assert solution.stabilised(hf, 1, grid_level=1) is True and not hasattr(hf, "grids")
