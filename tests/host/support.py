"""Functionals for the host tests, and numerical derivatives as the truth that PySCF's results are compared with."""

from collections.abc import Callable

import numpy as np
import torch
from pyscf import gto

import mlxc
from mlxc.xc.functional import RangeSeparated

#: Reference functionals of mlxc under their own names: mlxc's and libxc's names of the same.
OWN = {"own_lda": ("lda_pw", "lda,pw_mod"), "own_pbe": ("pbe", "pbe"), "own_r2scan": ("r2scan", "r2scan"),
       "own_wb97": ("wb97", "wb97")}

#: Size of the random weights: with larger ones τ's potential makes the kinetic energy of empty orbitals negative.
WEIGHTS = 0.15

WATER = "O 0 0 0; H 0 0 0.96; H 0.93 0 -0.24"


def network(name: str, omega: float = 0.3, sr_fraction: float = 0.2, seed: int = 1) -> RangeSeparated:
    """An untrained learned functional whose random weights matter."""
    generator = torch.Generator().manual_seed(seed)
    functional = RangeSeparated({"omega": omega, "sr_fraction": sr_fraction}, {"width": 6, "depth": 2}, name=name)
    with torch.no_grad():
        for parameter in functional.parameters():
            parameter.add_(WEIGHTS * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    functional.card = {
        "name": name, "version": "1", "description": "random weights",
        "dispersion": {"s6": 1.0, "s8": 1.3, "s9": 1.0, "a1": 0.4, "a2": 5.0},
        "domain": {"elements": ["H", "O"], "charges": [-1, 0, 1], "spins": [0, 1, 2]},
    }
    return functional


def converged(mf, level: int = 0, **settings):
    """Runs a Kohn–Sham object to a tight convergence on a small grid."""
    if hasattr(mf.grids, "level"):
        mf.grids.level = level
    mf.conv_tol, mf.conv_tol_grad = 1e-11, 1e-7
    for key, value in settings.items():
        setattr(mf, key, value)
    mf.kernel()
    assert mf.converged
    return mf


def on_small_grid(mf):
    """`converged`, with the grid of a local hybrid's local part as small as the other one."""
    return converged(mlxc.set_local_exchange(mf, grid_level=0))


def derivative(f: Callable[[float], np.ndarray | float], h: float):
    """f′(0) by five-point differences; error O(h⁴)."""
    return (8 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12 * h)


def moved(mol: gto.Mole, step: np.ndarray) -> gto.Mole:
    """The molecule with its atoms moved by ``step`` bohr."""
    return mol.set_geom_(mol.atom_coords() + step, unit="Bohr", inplace=False)


def direction(*shape: int, seed: int = 3) -> np.ndarray:
    """A random direction of norm 1."""
    d = np.random.default_rng(seed).normal(size=shape)
    return d / np.linalg.norm(d)


def rotated(dm: np.ndarray, *sets: int, seed: int = 3) -> np.ndarray:
    """Random changes of a density matrix that rotations of its orbitals make, neither symmetric nor the opposite."""
    x, y = direction(2, *sets, *dm.shape, seed=seed)
    return x @ dm + dm @ y


def symmetric(*shape: int, seed: int = 3) -> np.ndarray:
    """Random symmetric matrices."""
    d = direction(*shape, seed=seed)
    return d + d.swapaxes(-1, -2)
