"""Occupied orbitals of a density matrix, given with it or made from it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mlxc.errors import InvalidDensity, Unsupported
from mlxc.host.arrays import to_torch

#: Occupations below this are taken for zero.
EMPTY = 1e-12


@dataclass(frozen=True)
class Orbitals:
    """Orbitals of one spin, D = Σ_i n_i c_i c_iᵀ.

    Attributes:
        coeff: orbitals c_i, shape (nao, k); orthonormal, unless they come from another basis.
        occ: n_i, shape (k,); negative for what is no density matrix of a state (differences, extrapolations).
    """

    coeff: Tensor
    occ: Tensor

    @property
    def root(self) -> Tensor:
        """√|n_i|, shape (k,)."""
        return self.occ.abs().sqrt()

    @property
    def sign(self) -> Tensor:
        """Sign of n_i, shape (k,)."""
        return self.occ.sign()

    @property
    def scaled(self) -> Tensor:
        """√|n_i| c_i, shape (nao, k)."""
        return self.coeff * self.root

    def dual(self, overlap: Tensor) -> Tensor:
        """S C (CᵀSC)⁻¹, (nao, k), with Cᵀ times it 1; orbitals projected from another basis are not orthonormal."""
        sc = overlap @ self.coeff
        return torch.linalg.solve(self.coeff.T @ sc, sc.T).T

    def completed(self, columns: Tensor, overlap: Tensor, rows: Tensor | None = None) -> Tensor:
        """F_μi Bᵀ + B (Fᵀ_μi)ᵀ − B F_ij Bᵀ, B = `dual`: the matrix with these columns F_μi = (F c_i)_μ, (…, nao, k),
        and no block between the other orbitals.

        Args:
            columns: F c_i.
            overlap: S, (nao, nao).
            rows: Fᵀ c_i, for a matrix that is not symmetric.

        Source: occ-RI-K, doi:10.1063/1.4923369.
        """
        b = self.dual(overlap)
        other = columns if rows is None else rows
        return columns @ b.T + (other @ b.T).mT - b @ (self.coeff.T @ columns) @ b.T

    def changed(self, x: Tensor, overlap: Tensor) -> tuple[Tensor, Tensor]:
        """Y = X B, B = `dual`, and Z with X = Y Cᵀ + C Zᵀ, each (…, nao, k), for X, (…, nao, nao), with nothing between
        the other orbitals.
        """
        b = self.dual(overlap)
        z = x.mT @ b
        return x @ b, z - self.coeff @ (b.T @ z)


def spin_matrices(dm, nao: int, device: torch.device) -> Tensor:
    """The density matrices of both spins, shape (2, nao, nao); a closed shell's (nao, nao) is halved.

    Raises:
        Unsupported: a complex density matrix.
        InvalidDensity: another shape, NaN or infinity.
    """
    try:
        matrix = to_torch(dm).to(device)
    except TypeError as error:
        raise Unsupported("the density matrix is complex: local exact exchange needs real orbitals; "
                          "use RKS, UKS or ROKS of a molecule") from error
    if tuple(matrix.shape) not in ((nao, nao), (2, nao, nao)):
        raise InvalidDensity(f"the density matrix has shape {tuple(matrix.shape)}, expected {(nao, nao)} for a "
                             f"closed shell or {(2, nao, nao)} for both spins")
    if not torch.isfinite(matrix).all():
        raise InvalidDensity("the density matrix holds NaN or infinity: check the initial guess, or the checkpoint "
                             "file it comes from")
    return torch.stack((matrix / 2, matrix / 2)) if matrix.ndim == 2 else matrix


def occupied_orbitals(dm, matrices: Tensor, overlap: Tensor) -> list[Orbitals]:
    """Orbitals of both spins: those PySCF tagged to ``dm`` where they reproduce it, natural orbitals otherwise.

    Args:
        dm: density matrix from PySCF, with ``mo_coeff`` and ``mo_occ`` or without.
        matrices: the same by `spin_matrices`.
        overlap: of the AOs, shape (nao, nao).
    """
    tagged = _tagged(dm, matrices)
    same = torch.equal(matrices[0], matrices[1])
    if tagged is None:
        tagged = [natural_orbitals(d, overlap) for d in matrices[: 1 if same else 2]]
    return [tagged[0], tagged[0]] if same else tagged


def _tagged(dm, matrices: Tensor) -> list[Orbitals] | None:
    """The orbitals that ``dm`` carries; None where there are none, or none that reproduce it."""
    coeff, occ = getattr(dm, "mo_coeff", None), getattr(dm, "mo_occ", None)
    if coeff is None or occ is None:
        return None
    coeff, occ = (to_torch(x).to(matrices.device) for x in (coeff, occ))
    if occ.ndim == 1:  # one set of orbitals: a closed shell, or ROKS, where those with one electron are spin a's
        closed = getattr(dm, "ndim", 2) == 2
        occ = torch.stack((occ / 2, occ / 2) if closed else ((occ > 0).double(), (occ == 2).double()))
    if coeff.ndim == 2:
        coeff = coeff.expand(2, -1, -1)
    if coeff.shape[::2] != occ.shape or len(occ) != 2:  # tagged before it was projected, or by another class
        return None
    found = [Orbitals(c[:, n.abs() > EMPTY], n[n.abs() > EMPTY]) for c, n in zip(coeff, occ, strict=True)]
    return found if all(_make(o, d) for o, d in zip(found, matrices, strict=True)) else None


def _make(orbitals: Orbitals, matrix: Tensor) -> bool:
    """Whether the orbitals reproduce the density matrix, which may have been changed after it was tagged."""
    if len(orbitals.coeff) != len(matrix):
        return False
    again = (orbitals.coeff * orbitals.occ) @ orbitals.coeff.T
    return torch.allclose(again, matrix, rtol=0, atol=1e-10)


def natural_orbitals(matrix: Tensor, overlap: Tensor) -> Orbitals:
    """D = Σ_i n_i c_i c_iᵀ with cᵀSc = 1: eigenvectors of S^½ D S^½, times S^−½.

    Args:
        matrix: density matrix of one spin, shape (nao, nao); only its symmetric part counts.
        overlap: S, shape (nao, nao).
    """
    values, vectors = torch.linalg.eigh(overlap)
    root = values.clamp(min=1e-14).sqrt()
    half, inverse = (vectors * root) @ vectors.T, (vectors / root) @ vectors.T
    occ, u = torch.linalg.eigh(half @ ((matrix + matrix.T) / 2) @ half)
    kept = occ.abs() > EMPTY
    return Orbitals(inverse @ u[:, kept], occ[kept])
