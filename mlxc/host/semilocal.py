"""What depends on n, ∇n and τ alone: density rows, their part of the Fock matrix, and the integration on PySCF's grid.

    ρ = (n, ∇n, τ),   E = Σ_r w e(ρ),   V_μν = Σ_r v(r)·∂ρ(r)/∂D_μν,   v = w ∂e/∂ρ,   v¹ = w ∂²e/∂ρ∂ρ · ρ¹

The integration gives what PySCF's own does, with torch's matrix products and blocks of points that stay in the cache.
Source: the matrix of a meta-GGA without its Laplacian, doi:10.1063/1.4811270.
"""

import numpy as np
import torch
from pyscf import gto
from pyscf.dft import numint
from pyscf.dft.gen_grid import BLKSIZE
from torch import Tensor

from mlxc.host.arrays import CPU, host_threads
from mlxc.host.entry import Registered
from mlxc.host.orbitals import occupied_orbitals, spin_matrices

#: Grid points of a block, a multiple of what PySCF screens together.
BLOCK = 64 * BLKSIZE

#: Eigenvalues of a change of the density matrix below this fraction of the largest are round-off.
RANK = 1e-14

#: Number of orbitals above which PySCF's own integration leaves out what is far from a point.
SPARSE = numint.SWITCH_SIZE


def pair_density(phi: Tensor, u: Tensor) -> Tensor:
    """n, ∇n and τ of Σ_i φ_i u_i, (5, m), from the orbitals and their gradients, (4, k, m)."""
    rows = phi.new_empty(5, phi.shape[-1])
    rows[0] = (phi[0] * u[0]).sum(0)
    rows[1:4] = (phi[0] * u[1:] + phi[1:] * u[0]).sum(1)
    rows[4] = 0.5 * (phi[1:] * u[1:]).sum((0, 1))
    return rows


def add_matrix(half: Tensor, ao: Tensor, v: Tensor):
    """Adds h_μν with V = h + hᵀ, (nao, nao), for rows v, (5, m), and orbitals with their gradients, (4, nao, m)."""
    half.addmm_(ao[0], (0.5 * v[0] * ao[0] + (v[1:4, None] * ao[1:]).sum(0)).T)
    for gradient in ao[1:]:
        half.addmm_(gradient * v[4], gradient.T, alpha=0.25)


def add_columns(columns: Tensor, ao: Tensor, phi: Tensor, v: Tensor):
    """Adds V_μi, (nao, k), for rows v, (5, m), AOs (4, nao, m) and orbitals (4, k, m), each with their gradients."""
    columns.addmm_(ao[0], (v[0] * phi[0] + (v[1:4, None] * phi[1:]).sum(0)).T)
    for k in (1, 2, 3):
        columns.addmm_(ao[k], (v[k] * phi[0] + 0.5 * v[4] * phi[k]).T)


def integrates(ni, mol, entry: Registered, dms, occupied_only: bool = False) -> bool:
    """Whether it is done here; PySCF does the rest: GPUs, crystals, complex matrices, whole ones of large molecules."""
    if not isinstance(ni, numint.NumInt) or not isinstance(mol, gto.Mole) or hasattr(mol, "lattice_vectors"):
        return False
    real = isinstance(dms, np.ndarray) and dms.dtype == np.float64 and dms.shape[-2:] == (mol.nao, mol.nao)
    return real and entry.xc_type == "MGGA" and (occupied_only or mol.nao <= SPARSE)


def xc_matrix(ni: numint.NumInt, mol: gto.Mole, grids, xc: str, dm, max_memory: float, occupied_only: bool = False):
    """Electrons, energy and Fock matrix of a meta-GGA, as PySCF's `nr_rks` and `nr_uks`.

    Args:
        ni: PySCF's numerical integration.
        mol: molecule.
        grids: PySCF's grid.
        xc: the functional's name.
        dm: density matrix, (nao, nao) of a closed shell or (2, nao, nao); with PySCF's orbitals tagged or without.
        max_memory: MB.
        occupied_only: leave the block between virtual orbitals out, as in `LocalExchange.fock`.

    Returns:
        (electrons, E, V): a number or one for each spin; Ha; of the shape of ``dm``.

    Raises:
        InvalidDensity: NaN in ``dm``.
    """
    closed, nao = np.ndim(dm) == 2, mol.nao
    with host_threads():
        matrices, overlap = spin_matrices(dm, nao, CPU), torch.from_numpy(mol.intor_symmetric("int1e_ovlp"))
        orbitals = occupied_orbitals(dm, matrices, overlap)[: 1 if closed else 2]
        half = [torch.zeros_like(o.coeff if occupied_only else overlap) for o in orbitals]
        electrons, energy = np.zeros(len(orbitals)), 0.0
        for values, _, weights, _ in ni.block_loop(mol, grids, nao, 1, max_memory, blksize=BLOCK):
            ao = torch.from_numpy(values.swapaxes(-1, -2))
            phi = [o.coeff.T @ ao for o in orbitals]
            rho = torch.stack([pair_density(o.occ[:, None] * p, p) for o, p in zip(orbitals, phi, strict=True)]).numpy()
            rho = 2 * rho[0] if closed else rho
            e, v = ni.eval_xc_eff(xc, rho, deriv=1, xctype="MGGA", spin=int(not closed))[:2]
            n = (weights * rho[..., 0, :]).reshape(len(orbitals), -1)
            electrons += n.sum(1)
            energy += float((n @ e).sum())
            for out, p, rows in zip(half, phi, torch.from_numpy(weights * v).reshape(-1, *rho.shape[-2:]), strict=True):
                if occupied_only:
                    add_columns(out, ao, p, rows)
                else:
                    add_matrix(out, ao, rows)
        found = [o.completed(h, overlap) if occupied_only else h + h.T for o, h in zip(orbitals, half, strict=True)]
        matrix = torch.stack(found).numpy()
    return (float(electrons[0]), energy, matrix[0]) if closed else (electrons, energy, matrix)


def change_of_matrix(ni: numint.NumInt, mol: gto.Mole, grids, dms, fxc, max_memory: float) -> np.ndarray:
    """V¹ of changes X of the density matrix, as PySCF's `nr_rks_fxc` and `nr_uks_fxc`; blind to X − Xᵀ.

    Args:
        ni, mol, grids, max_memory: as in `xc_matrix`.
        dms: X, (…, nao, nao) of a closed shell, or (2, …, nao, nao).
        fxc: ∂²e/∂ρ∂ρ at the grid's points, (5, 5, n) or (2, 5, 2, 5, n).

    Returns:
        Array of the shape of ``dms``, Ha.
    """
    nao, spins = mol.nao, 1 if np.ndim(fxc) == 3 else 2
    table = torch.from_numpy(np.ascontiguousarray(fxc)).reshape(5 * spins, 5 * spins, -1)
    with host_threads():
        half = torch.zeros(dms.size // nao**2, nao, nao, dtype=torch.float64)
        changes = [_factors(x) for x in torch.from_numpy(np.ascontiguousarray(dms)).reshape(half.shape)]
        sets, first = len(half) // spins, 0
        for values, _, weights, _ in ni.block_loop(mol, grids, nao, 1, max_memory, blksize=BLOCK):
            ao, here = torch.from_numpy(values.swapaxes(-1, -2)), slice(first, first + len(weights))
            first += len(weights)
            weighted = table[..., here] * torch.from_numpy(weights)
            phi = [vectors.T @ ao for _, vectors in changes]
            rho = torch.stack([pair_density(n[:, None] * p, p) for (n, _), p in zip(changes, phi, strict=True)])
            for k, rows in enumerate(rho.unflatten(0, (spins, sets)).transpose(0, 1).flatten(1, 2)):
                for s, v in enumerate((weighted * rows[:, None]).sum(0).unflatten(0, (spins, 5))):
                    add_matrix(half[s * sets + k], ao, v)
        return (half + half.mT).reshape(dms.shape).numpy()


def _factors(x: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors of the symmetric part: rotations of orbitals make at most twice as many as those."""
    size, vectors = torch.linalg.eigh((x + x.T) / 2)
    kept = size.abs() > RANK * size.abs().max()
    return size[kept], vectors[:, kept]
