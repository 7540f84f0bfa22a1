"""Solutions of the SCF: how one is found, whether it is a minimum, and electron numbers that are no whole numbers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
from pyscf import lib
from pyscf.soscf import newton_ah
from scipy.linalg import expm

#: SCF settings that are tried one after another until one converges, before a second-order solver is.
ATTEMPTS: tuple[dict[str, float], ...] = ({}, {"level_shift": 0.3}, {"level_shift": 0.0, "damp": 0.5})

#: Curvatures above minus this count as none, Ha.
FLAT = 1e-5

#: What a restart along an unstable direction must gain to count, Ha. The open shell of an atom turns at no cost but the
#: grid's error, which the analysis takes for an instability: B and F⁺ gain or lose up to 5e-6 Ha on level 1.
SOFT = 1e-5

#: Curvatures below minus this are no error of the grid, Ha.
STEEP = 1e-2

#: How often a step along an unstable direction is halved.
HALVINGS = 8

#: What a solution consists of.
SOLUTION = ("mo_coeff", "mo_energy", "mo_occ", "e_tot", "converged")


def converge(mf, dm=None, responds: bool = True) -> int:
    """Runs the SCF with one after another of ATTEMPTS until it converges, each from the lowest energy so far.

    Where that is above the energy of the first cycle, the next begins with the guess again. Where no attempt converges,
    a second-order solver goes downhill from the lowest energy; not with fractional occupations.

    Args:
        mf: not run yet; ``mf.converged`` says whether there is a solution.
        dm: density matrix to begin with, PySCF's guess if None.
        responds: whether the functional has the second derivative that the second-order solver needs.

    Returns:
        Number of cycles, of all attempts.
    """
    guess = mf.get_init_guess(mf.mol, mf.init_guess) if dm is None else dm
    cycles, first = 0, np.inf
    lowest: dict = {}
    for number, attempt in enumerate(ATTEMPTS):
        for name, value in attempt.items():
            setattr(mf, name, value)
        if number == 1:
            first = _after_one_cycle(mf, guess)
        follows = lowest and lowest["e_tot"] <= first
        mf.kernel(dm0=mf.make_rdm1(lowest["mo_coeff"], lowest["mo_occ"]) if follows else guess)
        cycles += mf.cycles
        if mf.converged:
            return cycles
        if not lowest or mf.e_tot < lowest["e_tot"]:
            lowest = _solution(mf)
    if responds and not np.any(mf.mo_occ % 1):
        cycles += go_downhill(mf, lowest["mo_coeff"], lowest["mo_occ"])
    return cycles


def _after_one_cycle(mf, dm) -> float:
    mo_energy, mo_coeff = mf.eig(mf.get_fock(dm=dm), mf.get_ovlp())
    return mf.energy_tot(mf.make_rdm1(mo_coeff, mf.get_occ(mo_energy, mo_coeff)))


def go_downhill(mf, mo_coeff: np.ndarray, mo_occ: np.ndarray) -> int:
    """Gives an object the solution of a second-order solver that begins with these orbitals; returns its cycles.

    They should be near it: from a poor start PySCF's solver climbs (stretched H₂ after a large rotation).

    Source: doi:10.1063/1.4979213.
    """
    solver, cycles = mf.newton(), count()
    solver.callback = lambda _: next(cycles)
    solver.kernel(mo_coeff, mo_occ)
    _set(mf, _solution(solver))
    return next(cycles)


def _solution(mf) -> dict:
    return {name: getattr(mf, name) for name in SOLUTION}


def _set(mf, solution: dict):
    for name, value in solution.items():
        setattr(mf, name, value)


@dataclass(frozen=True)
class LowestFirst:
    """Occupations of an unrestricted object: electrons fill the lowest levels of their spin, the last with a fraction.

    Attributes:
        mf: whose levels are filled where none are given.
        electrons: of spin a and b, fractions allowed.
    """

    mf: Any
    electrons: tuple[float, float]

    def __call__(self, mo_energy=None, mo_coeff=None) -> np.ndarray:
        """As PySCF's ``get_occ``: occupations of the shape of the levels, (2, n)."""
        mo_energy = self.mf.mo_energy if mo_energy is None else mo_energy
        occ = np.zeros_like(mo_energy)
        for spin, n in enumerate(self.electrons):
            order = np.argsort(mo_energy[spin])
            occ[spin, order] = np.clip(n - np.arange(len(order)), 0, 1)
        return occ


def occupy(mf, n_alpha: float, n_beta: float):
    """Makes an unrestricted object fill its levels of each spin with these numbers of electrons (`LowestFirst`)."""
    mf.get_occ = LowestFirst(mf, (n_alpha, n_beta))


def stabilised(mf, follow_ups: int, grid_level: int | None = None) -> bool:
    """Follows a converged solution downhill until no rotation of its orbitals lowers the energy.

    Checked is the second derivative of the energy in real rotations between occupied and empty orbitals of each spin
    (internal stability). That makes the solution a local minimum with these electron numbers; that no other minimum
    lies lower, or one with complex orbitals or tilted spins, is not shown. Where a direction goes down, the SCF starts
    again from there, without DIIS where that leads back, then after a step short enough to go down, at last with
    a second-order solver, and the better of the two solutions is kept.

    Args:
        mf: converged; holds the solution found afterwards.
        follow_ups: largest number of such restarts.
        grid_level: PySCF's level of the grid for the second derivative, that of the SCF if None; level 1 changes the
            lowest curvature of S⁺ by 1e-6 Ha with ωB97M and 1e-4 Ha with mlxc_lh, and costs a third with the former.

    Returns:
        Whether the last solution is stable: no direction goes down, or going there gained less than `SOFT`.

    Source: doi:10.1063/1.434318.
    """
    for restart in range(follow_ups + 1):
        with on_grid(mf, grid_level):
            curvature, turned = softest_rotation(mf)
        if curvature >= -FLAT or restart == follow_ups:
            break
        before, steep = _solution(mf), curvature < -STEEP
        dm = mf.make_rdm1(turned(1.0), mf.mo_occ)
        mf.kernel(dm0=dm)
        if steep and _gain(mf, before) < SOFT:
            _without_extrapolation(mf, dm)
        if not mf.converged and _gain(mf, before) > 0:
            go_downhill(mf, mf.mo_coeff, mf.mo_occ)
        if steep and not _left(mf, before) and not np.any(mf.mo_occ % 1):
            _set(mf, before)
            if (lower := _lower(mf, turned)) is not None:
                mf.kernel(dm0=mf.make_rdm1(lower, mf.mo_occ))
                if not _left(mf, before):
                    go_downhill(mf, lower, before["mo_occ"])
        if not _left(mf, before):
            soft = bool(mf.converged and abs(_gain(mf, before)) < SOFT and not steep)
            _set(mf, before)
            return soft
    return curvature >= -FLAT


def _gain(mf, before: dict) -> float:
    return before["e_tot"] - mf.e_tot


def _left(mf, before: dict) -> bool:
    """Whether an object has found a solution that is lower."""
    return bool(mf.converged and _gain(mf, before) >= SOFT)


def _lower(mf, turned: Callable[[float], np.ndarray]) -> np.ndarray | None:
    """Orbitals after half of a step, a quarter, …, the first whose energy is lower than that of the object's own."""
    steps = (turned(0.5**n) for n in range(1, HALVINGS + 1))
    return next((mo for mo in steps if mf.energy_tot(mf.make_rdm1(mo, mf.mo_occ)) < mf.e_tot), None)


def _without_extrapolation(mf, dm: np.ndarray):
    """Runs the SCF without DIIS, which goes to the nearest stationary point, a saddle too; the plain one goes down."""
    own, mf.diis = mf.diis, None
    try:
        mf.kernel(dm0=dm)
    finally:
        mf.diis = own


@contextmanager
def on_grid(mf, level: int | None) -> Iterator[None]:
    """The object with a grid of another level, for as long as it lasts."""
    own = getattr(mf, "grids", None)
    if level is not None and own is not None:
        mf.grids = type(own)(mf.mol)
        mf.grids.level = level
    try:
        yield
    finally:
        if own is not None:
            mf.grids = own


def softest_rotation(mf) -> tuple[float, Callable[[float], np.ndarray]]:
    """The lowest curvature of the energy, Ha, and the orbitals after a step of some length along it.

    One of the start vectors is random: PySCF's own analysis starts from one vector that has the symmetry of the
    orbitals, and never finds a direction that breaks it.
    """
    unrestricted = mf.mo_occ.ndim == 2
    generate = newton_ah.gen_g_hop_uhf if unrestricted else newton_ah.gen_g_hop_rhf
    _, product, diagonal = generate(mf, mf.mo_coeff, mf.mo_occ)
    if not diagonal.size:  # no empty orbitals
        return 0.0, lambda length: mf.mo_coeff
    first, noise = np.zeros_like(diagonal), np.random.default_rng(0).normal(size=diagonal.size)
    first[np.argmin(diagonal)] = 1.0
    curvature, step = lib.davidson(lambda x: 2 * product(x), [first, noise / np.maximum(np.abs(diagonal), 1e-2)],
                                   2 * diagonal, tol=1e-4, verbose=0)
    coeff, occ = mf.mo_coeff, mf.mo_occ
    if not unrestricted:
        return float(curvature), lambda length: _rotated(coeff, occ, length * step)
    of_first_spin = np.count_nonzero(occ[0]) * np.count_nonzero(occ[0] == 0)
    steps = step[:of_first_spin], step[of_first_spin:]
    return float(curvature), lambda length: np.array([_rotated(c, o, length * x)
                                                      for c, o, x in zip(coeff, occ, steps, strict=True)])


def _rotated(coeff: np.ndarray, occ: np.ndarray, step: np.ndarray) -> np.ndarray:
    """C exp(X), X the antisymmetric matrix with the step between empty and occupied orbitals."""
    x = np.zeros((len(occ), len(occ)))
    x[np.ix_(occ == 0, occ > 0)] = step.reshape(np.count_nonzero(occ == 0), -1) if step.size else 0.0
    return coeff @ expm(x - x.T)
