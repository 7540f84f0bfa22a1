"""What depends on n, ∇n and τ alone: density rows, their part of the Fock matrix, and the integration on PySCF's grid.

    ρ = (n, ∇n, τ),   E = Σ_r w e(ρ),   V_μν = Σ_r v(r)·∂ρ(r)/∂D_μν,   v = w ∂e/∂ρ,   v¹ = w ∂²e/∂ρ∂ρ · ρ¹

The integration gives what PySCF's own does, with torch's matrix products.
Source: the matrix of a meta-GGA without its Laplacian, doi:10.1063/1.4811270.
"""

from collections.abc import Iterator

import numpy as np
import torch
from pyscf import gto, lib
from pyscf.dft import numint
from pyscf.dft.gen_grid import BLKSIZE
from torch import Tensor

from mlxc.errors import InvalidDensity
from mlxc.host.arrays import CPU, host_threads, to_torch
from mlxc.host.entry import Registered
from mlxc.host.orbitals import occupied_orbitals, spin_matrices
from mlxc.xc.derivatives import CHUNK

#: Grid points of a block for each thread, in units of those that PySCF screens together: what one evaluates at once.
BLOCK = CHUNK // BLKSIZE

#: Numbers for each point and AO in a block: values, slopes, and what is made of them.
NUMBERS = 12

#: Eigenvalues of a change of the density matrix below this fraction of the largest are round-off.
RANK = 1e-14

#: Number of orbitals above which PySCF always leaves out what is far from a point, and is asked instead.
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
    """Electrons, energy and Fock matrix of a meta-GGA, as PySCF's `nr_rks` and `nr_uks` of one state.

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
        for ao, weights in _blocks(ni, mol, grids, max_memory):
            phi = [o.coeff.T @ ao for o in orbitals]
            rho = torch.stack([pair_density(o.occ[:, None] * p, p) for o, p in zip(orbitals, phi, strict=True)]).numpy()
            rho = 2 * rho[0] if closed else rho
            e, v = ni.eval_xc_eff(xc, rho, deriv=1, xctype="MGGA", spin=int(not closed))[:2]
            n = (weights.numpy() * rho[..., 0, :]).reshape(len(orbitals), -1)
            electrons += n.sum(1)
            energy += float((n @ e).sum())
            v = (weights * torch.from_numpy(v)).reshape(-1, *rho.shape[-2:])
            for out, p, rows in zip(half, phi, v, strict=True):
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
        fxc: ∂²e/∂ρ∂ρ at the grid's points, (5, 5, n) or (2, 5, 2, 5, n); PySCF has the index of ρ¹ second in the
            former and first in the latter.

    Returns:
        Array of the shape of ``dms``, Ha.

    Raises:
        InvalidDensity: NaN in ``dms``.
    """
    nao, spins = mol.nao, 1 if np.ndim(fxc) == 3 else 2
    table = to_torch(fxc)
    table = table.transpose(0, 1) if spins == 1 else table.reshape(10, 10, -1)  # the first index is that of ρ¹
    with host_threads():
        changes = [_factors(x) for x in to_torch(dms).reshape(-1, nao, nao)]
        half, first = torch.zeros(len(changes) // spins, spins, nao, nao, dtype=torch.float64), 0
        for ao, weights in _blocks(ni, mol, grids, max_memory):
            weighted = weights * table[..., first:first + len(weights)]
            first += len(weights)
            rho = torch.stack([_rows(*change, ao) for change in changes]).unflatten(0, (spins, -1))
            for rows, outs in zip(rho.transpose(0, 1).flatten(1, 2), half, strict=True):
                for v, out in zip((weighted * rows[:, None]).sum(0).unflatten(0, (spins, 5)), outs, strict=True):
                    add_matrix(out, ao, v)
        return (half + half.mT).transpose(0, 1).reshape(dms.shape).numpy()


def _blocks(ni: numint.NumInt, mol: gto.Mole, grids, max_memory: float) -> Iterator[tuple[Tensor, Tensor]]:
    """Values and slopes of the AOs, (4, nao, m), and the weights, (m,), of a block of points after the other.

    The next block may take the memory of the one before.
    """
    size = min(BLOCK * lib.num_threads(), max(1, int(1e6 * max_memory / (8 * NUMBERS * mol.nao * BLKSIZE))))
    for values, _, weights, _ in ni.block_loop(mol, grids, mol.nao, 1, max_memory, blksize=size * BLKSIZE):
        yield torch.from_numpy(values.swapaxes(-1, -2)), to_torch(weights)


def _rows(occ: Tensor, coeff: Tensor, ao: Tensor) -> Tensor:
    """Density rows of Σ_i n_i c_i c_iᵀ, (5, m)."""
    phi = coeff.T @ ao
    return pair_density(occ[:, None] * phi, phi)


def _factors(x: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors of the symmetric part: rotations of orbitals make at most twice as many as those.

    Raises:
        InvalidDensity: NaN or infinity.
    """
    if not torch.isfinite(x).all():
        raise InvalidDensity("the change of the density matrix holds NaN or infinity")
    size, vectors = torch.linalg.eigh((x + x.T) / 2)
    kept = size.abs() > RANK * size.abs().max()
    return size[kept], vectors[:, kept]
