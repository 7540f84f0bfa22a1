"""The calculations that the measures compare."""

import warnings
from collections.abc import Iterable

import numpy as np
from pyscf import dft, gto

from mlxc.errors import DomainWarning
from mlxc.host import seam
from mlxc.host.local import set_local_exchange

#: Basis of most measures.
BASIS = "aug-cc-pvdz"

#: PySCF's level of the grids, of the local part's own as well.
GRID_LEVEL = 1

#: Energy difference of the last two cycles, Ha.
CONVERGENCE = 1e-11


def molecule(atoms, charge: int = 0, spin: int = 0, basis=BASIS) -> gto.Mole:
    """A silent molecule; coordinates in Å."""
    return gto.M(atom=atoms, charge=charge, spin=spin, basis=basis, verbose=0)


def kohn_sham(method: str, mol: gto.Mole, functional, level: int = GRID_LEVEL):
    """An object of PySCF's class ``method`` ("RKS", "UKS") that has not run yet."""
    mf = getattr(dft, method)(mol, xc=seam.register(functional))
    mf.grids.level = level
    mf.conv_tol = CONVERGENCE
    return set_local_exchange(mf, grid_level=level) if seam.local_hybrid(mf.xc) else mf


def run(mf, dm=None):
    """Runs it, from a density matrix if there is one, whatever its functional was trained on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DomainWarning)
        mf.kernel(dm)
    return mf


def energy(mf, dm=None) -> float:
    """The self-consistent energy, Ha; NaN where it does not converge."""
    run(mf, dm)
    return float(mf.e_tot) if mf.converged else np.nan


def worst(errors: Iterable[float]) -> float:
    """The largest modulus; NaN where there is one."""
    return float(np.max(np.abs(list(errors))))
