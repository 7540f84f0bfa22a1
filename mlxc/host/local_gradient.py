"""Derivative of the local part's energy with respect to the nuclei: E = Σ_r w(r) e(ρ_σ(r), e_xσ(r)).

At a fixed density matrix the rows ρ = [n, ∇n, τ] change with the orbitals' nuclei, as does e_x (`exchange_gradient`):

    ∂n = 2 Σ_μ (∂χ_μ) (Dχ)_μ,   ∂∇_k n = 2 Σ_μ [(∂χ_μ) (D∇_kχ)_μ + (∂∇_kχ_μ) (Dχ)_μ],   ∂τ = Σ_μk (∂∇_kχ_μ) (D∇_kχ)_μ

With grid response the points move with their atoms, and the weights change: Σ_r [w ∇e + e ∇w].

Source: nuclear gradients with and without the grid's, doi:10.1063/1.464906 (B. G. Johnson, P. M. W. Gill, J. A. Pople).
"""

import numpy as np
import torch
from pyscf import dft, gto
from pyscf.data.elements import _std_symbol_without_ghost
from pyscf.grad.rks import grids_response_cc
from torch import Tensor

from mlxc.errors import Unsupported
from mlxc.host.arrays import host_threads, over_blocks
from mlxc.host.exchange_gradient import PIECE, exchange_gradient
from mlxc.host.fitting_gradient import by_atom
from mlxc.host.local import LocalPart
from mlxc.host.orbitals import spin_matrices
from mlxc.host.points import GridBlocks
from mlxc.xc.pointwise import value_and_gradient

#: Where ∇_x ∇_k χ stands among the derivatives of AOs in PySCF.
SECOND = ((4, 5, 6), (5, 7, 8), (6, 8, 9))


def local_gradient(part: LocalPart, dm, grid_response: bool = False) -> Tensor:
    """Derivative of the local part's energy at a fixed density matrix of the AOs.

    Args:
        part: local part of the molecule.
        dm: (nao, nao) of a closed shell, or (2, nao, nao), with PySCF's orbitals tagged or without.
        grid_response: with the derivatives of points and weights.

    Returns:
        (natm, 3), Ha/bohr.
    """
    state = part.at(dm)
    with host_threads():
        energy, v_rho, v_exact = value_and_gradient(part.functional, state.rho, state.exact,
                                                    over_blocks(state.rho.device))
    nuclei, points = exchange_gradient(part.exchange, dm, part.factors(v_exact))
    others = density_gradient(part.exchange.grid, dm, part.weights * v_rho)
    nuclei, points = nuclei + others[0], points + others[1]
    return nuclei + grid_gradient(part.grids, energy, points) if grid_response else nuclei


def density_gradient(grid: GridBlocks, dm, v_rho: Tensor) -> tuple[Tensor, Tensor]:
    """Derivative of Σ_r v(r)·ρ(r), with respect to the nuclei and to the points.

    Args:
        grid: the points.
        dm: (nao, nao) of a closed shell, or (2, nao, nao).
        v_rho: v, shape (5, n) or (2, 5, n).

    Returns:
        (natm, 3) and (n, 3).
    """
    fitting, n = grid.fitting, len(grid)
    v = v_rho.reshape(-1, 5, n)
    dms = spin_matrices(dm, fitting.nao, fitting.device)
    dms = dms if len(v) == 2 else dms.sum(0, keepdim=True)
    on_orbitals, points = v.new_zeros(3, fitting.nao), v.new_zeros(3, n)
    with host_threads():
        for _, chosen in grid((v != 0).any(0).any(0)):
            for start in range(0, len(chosen), PIECE):
                here = chosen[start:start + PIECE]
                slopes = _slopes(grid.orbitals(here, 2), dms, v[..., here])
                on_orbitals -= slopes.sum(2)
                points[:, here] = slopes.sum(1)
    return by_atom(fitting.mol, on_orbitals), points.T


def _slopes(ao: Tensor, dms: Tensor, v: Tensor) -> Tensor:
    """What moving the point gives through each orbital, (3, nao, m); ao (10, nao, m), v (spin, 5, m)."""
    first, second = torch.zeros_like(ao[0]), torch.zeros_like(ao[:3])
    for d, (v_n, *v_k, v_tau) in zip(dms, v, strict=True):
        value, *slopes = d @ ao[:4]
        first += 2 * v_n * value
        for k in range(3):
            first += 2 * v_k[k] * slopes[k]
            second[k] += 2 * v_k[k] * value + v_tau * slopes[k]
    return ao[1:4] * first + torch.stack([sum(ao[i] * s for i, s in zip(row, second, strict=True)) for row in SECOND])


def with_elements(grids: dft.Grids) -> dft.Grids:
    """The grid of a molecule whose ghosts and atoms with core potentials have the charges of their elements.

    PySCF's derivatives of the weights take atomic radii by charge, its weights by element.
    """
    mol, same = grids.mol.copy(deep=False), grids.copy()
    mol._atm = mol._atm.copy()
    mol._atm[:, gto.CHARGE_OF] = [gto.charge(_std_symbol_without_ghost(mol.atom_symbol(i))) for i in range(mol.natm)]
    same.mol = mol
    return same


def grid_gradient(grids: dft.Grids, energy: Tensor, points: Tensor) -> Tensor:
    """Σ_r [e(r) dw(r)/dR + the derivative for the points of each atom].

    Args:
        grids: a molecule's grid as PySCF built it.
        energy: e at its points, (n,), Ha bohr⁻³.
        points: derivative with respect to the points, (n, 3), Ha/bohr.

    Returns:
        (natm, 3), Ha/bohr.
    """
    natm = grids.mol.natm
    e, moving, found = energy.cpu().numpy(), points.cpu().numpy(), np.zeros((natm, 3))
    for atom, (coords, weights, slopes) in enumerate(grids_response_cc(with_elements(grids))):
        own = np.flatnonzero(grids.atm_idx == atom)
        own = own[np.lexsort(grids.coords[own].T)]
        order = np.lexsort(coords.T)  # PySCF sorts its grids, but not the points that it differentiates
        if not np.allclose(weights[order], grids.weights[own], rtol=1e-8, atol=1e-12):
            raise Unsupported("PySCF differentiates other weights than it integrates with on this grid: set "
                              "grid_response = False")
        found += slopes[:, :, order] @ e[own]
        found[atom] += moving[own].sum(0)
    return torch.from_numpy(found).to(energy.device)
