"""Integrals of density fitting differentiated with respect to the nuclei, contracted as soon as they are made.

A Gaussian depends on r − R, so that its derivative with respect to its nucleus is minus that with respect to r. Moving
all centres together changes no integral over two or three of them: what one centre gets follows from the others.
"""

from collections.abc import Callable

import numpy as np
import torch
from pyscf import gto
from torch import Tensor

from mlxc.host.fitting import FLAT, Fitting, shell_blocks

#: Numbers in one block of three-centre integrals, for one direction (16 MB).
BLOCK_NUMBERS = 2**21


def by_atom(mol: gto.Mole, values: Tensor) -> Tensor:
    """Sums over the functions of each atom.

    Args:
        mol: molecule, of orbitals or auxiliary functions.
        values: shape (3, nao).

    Returns:
        Shape (natm, 3).
    """
    slices = mol.aoslice_by_atom()
    atoms = np.repeat(np.arange(mol.natm), slices[:, 3] - slices[:, 2])
    return values.new_zeros(mol.natm, 3).index_add_(0, torch.from_numpy(atoms).to(values.device), values.T)


def three_centre_gradient(fitting: Fitting, gamma: Callable[[slice], Tensor]) -> Tensor:
    """Derivative of Σ_Q Σ_μν Γ^Q_μν (Q|μν) with respect to the nuclei, Γ fixed and symmetric in μν.

    Args:
        fitting: the auxiliary basis.
        gamma: Γ for a slice of q auxiliary functions, shape (q, nao, nao).

    Returns:
        Shape (natm, 3).
    """
    mol, orbitals = fitting.mol, fitting.mol.nbas
    on_orbitals = torch.zeros(3, fitting.nao, dtype=torch.float64, device=fitting.device)
    on_auxiliary = torch.zeros(3, fitting.naux, dtype=torch.float64, device=fitting.device)
    both = mol + fitting.auxmol
    for first, last, part in shell_blocks(fitting.auxmol, BLOCK_NUMBERS // fitting.nao**2):
        shells = (0, orbitals, 0, orbitals, orbitals + first, orbitals + last)
        with both.with_short_range_coulomb(fitting.omega):
            block = both.intor("int3c2e_ip1", comp=3, shls_slice=shells)  # (∇μ ν|Q), Fortran's order within
        weights = gamma(part)
        for axis in range(3):
            integrals = torch.from_numpy(np.ascontiguousarray(block[axis].T)).to(fitting.device)
            sums = integrals.mul_(weights).sum(1)
            on_orbitals[axis] -= 2 * sums.sum(0)
            on_auxiliary[axis, part] = 2 * sums.sum(1)
    return by_atom(mol, on_orbitals) + by_atom(fitting.auxmol, on_auxiliary)


def metric_gradient(fitting: Fitting, weights: Tensor) -> Tensor:
    """Derivative of Σ_PQ Y_PQ (P|Q) with respect to the nuclei, Y fixed.

    Args:
        fitting: the auxiliary basis.
        weights: Y, shape (naux, naux).

    Returns:
        Shape (natm, 3).
    """
    aux, weights = fitting.auxmol, weights + weights.T
    found = torch.zeros(3, fitting.naux, dtype=torch.float64, device=fitting.device)
    for first, last, part in shell_blocks(aux, BLOCK_NUMBERS // fitting.naux):
        with aux.with_short_range_coulomb(fitting.omega):
            block = aux.intor("int2c2e_ip1", comp=3, shls_slice=(first, last, 0, aux.nbas))
        found[:, part] = -(torch.from_numpy(block).to(fitting.device) * weights[part]).sum(2)
    return by_atom(aux, found)


def potential_gradients(fitting: Fitting, coords: np.ndarray) -> Tensor:
    """∇V_P(r), minus the derivative of V_P(r) with respect to the nucleus of P.

    Args:
        fitting: the auxiliary basis.
        coords: points, shape (m, 3), bohr.

    Returns:
        Shape (3, naux, m).
    """
    last = fitting.auxmol.nbas
    shells = (0, last, last, last + 1)
    points = fitting._points
    found = points.intor("int1e_grids_ip", comp=3, grids=coords, shls_slice=shells)
    with points.with_range_coulomb(fitting.omega):
        found -= points.intor("int1e_grids_ip", comp=3, grids=coords, shls_slice=shells)
    found /= (2 * FLAT / np.pi) ** 0.75
    return torch.from_numpy(np.ascontiguousarray(found[..., 0].swapaxes(1, 2))).to(fitting.device)
