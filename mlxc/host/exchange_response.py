"""Linear response of short-range local exchange: its energy density and Fock matrix to first order in D.

With P = χχᵀ and v_μν(r) = Σ_P C^P_μν V_P(r), the Fock matrix of E = Σ_r f(r) e_x(r), for one spin, is

    F[D; f] = −½ Σ_r f (v D P + P D v)

It is linear in D and in f. A change X of the density matrix, and f¹ of the factor with it, change it by

    K_f[X] + F[D; f¹],   K_f[X] = −½ Σ_P (W̃^P X B^P + B^P X W̃^P),   B^P_μν = (P|μν)

    W̃ = J⁺ W,   W^P_μν = Σ_r f χ_μ χ_ν V_P,   F[D; f¹] = −½ Σ_r f¹ (g χᵀ + χ gᵀ),   g = v D χ

and e_x by e¹ = −½ (χᵀ X g + gᵀ X χ). W̃ and g are computed once for D and f; a change then costs as much as a
density-fitted exchange matrix, from the factors of X = u vᵀ. X need not be symmetric: for an antisymmetric one, the
change made by complex orbitals, e¹ is zero and K_f[X] is not.
"""

import math
import tempfile
import warnings

import numpy as np
import torch
from pyscf import lib
from torch import Tensor

from mlxc.errors import InvalidInput, MemoryWarning, Unsupported
from mlxc.host.arrays import from_torch, host_threads, to_torch
from mlxc.host.exchange import LocalExchange
from mlxc.host.orbitals import Orbitals, occupied_orbitals, spin_matrices
from mlxc.host.points import PAIR_NUMBERS

#: Changes of the density matrix that are treated at a time: each takes 16 MB and more.
TOGETHER = 8

#: Singular values of a change below this fraction of the largest are round-off.
RANK = 1e-14


class ExchangeResponse:
    """Local exchange to first order around one density matrix, with one factor f.

    Shapes have a spin axis for a density matrix of both spins and none for a closed shell's: its changes X are those
    of one spin, for which the other's may be the same (singlet) or the opposite (triplet).

    Attributes:
        exchange: the integrals and the grid.
        kept: points where f is not zero, boolean, shape (n,); the response of the others is left out.
    """

    def __init__(self, exchange: LocalExchange, dm, f):
        """Args:
            exchange: of the molecule and grid.
            dm: density matrix, (nao, nao) of a closed shell or (2, nao, nao).
            f: weight times ∂E/∂e_xσ, shape (n,) of one spin of a closed shell, or (2, n).

        Raises:
            InvalidDensity, Unsupported: as in `LocalExchange.energy_density`.
            InvalidInput: f has another shape, or holds NaN.
        """
        self.exchange, self.fitting, self.grid = exchange, exchange.fitting, exchange.grid
        matrices = spin_matrices(dm, self.fitting.nao, exchange.device)
        self.spins: tuple[int, ...] = (2,) if len(np.shape(dm)) == 3 else ()
        weights = to_torch(f).to(exchange.device)
        expected = (*self.spins, len(self.grid))
        if tuple(weights.shape) != expected or not torch.isfinite(weights).all():
            raise InvalidInput(f"f has shape {tuple(weights.shape)}, expected finite numbers of shape {expected}")
        weights = weights.reshape(-1, len(self.grid))
        self.kept = (weights != 0).any(0)
        self._place = torch.cumsum(self.kept, 0) - 1
        with host_threads():
            orbitals = occupied_orbitals(dm, matrices, exchange.overlap)[: len(weights)]
            self._g = self._half_exchanged(orbitals)
            self._dressed = self._dressed_integrals(weights)

    def energy_density(self, x):
        """e¹ = −½ (χᵀ X g + gᵀ X χ).

        Args:
            x: changes of the density matrix, shape (…, nao, nao) of a closed shell, or (…, 2, nao, nao).

        Returns:
            Shape (…, n) or (…, 2, n), Ha bohr⁻³, an array of the kind of ``x``; zero where f is.
        """
        changes, shape = self._changes(x)
        energy = torch.zeros(*changes.shape[:2], len(self.grid), dtype=torch.float64, device=changes.device)
        with host_threads():
            changes = (changes + changes.mT) / 2
            for _, points in self.grid(self.kept):
                ao, place = self.grid.orbitals(points), self._place[points]
                for s, g in enumerate(self._g):
                    block = g[:, place]
                    for change, e in zip(changes[:, s], energy[:, s], strict=True):
                        e[points] = -((change @ ao) * block).sum(0)
        return from_torch(energy.reshape(*shape[:-2], -1), x)

    def matrix(self, f1):
        """F[D; f¹] = −½ Σ_r f¹ (g χᵀ + χ gᵀ), the Fock matrix with another factor.

        Args:
            f1: factors, shape (…, n) of one spin of a closed shell, or (…, 2, n); not read where f is zero.

        Returns:
            Shape (…, nao, nao) or (…, 2, nao, nao), Ha, an array of the kind of ``f1``.
        """
        factors = to_torch(f1).to(self.exchange.device)
        shape, nao = tuple(factors.shape), self.fitting.nao
        if shape[-1 - len(self.spins):] != (*self.spins, len(self.grid)):
            raise InvalidInput(f"f1 has shape {shape}, expected (…, {', '.join(map(str, self.spins))}, "
                               f"{len(self.grid)})")
        factors = factors.reshape(-1, len(self._g), len(self.grid))
        fock = torch.zeros(*factors.shape[:2], nao, nao, dtype=torch.float64, device=factors.device)
        with host_threads():
            for _, points in self.grid(self.kept):
                ao, place = self.grid.orbitals(points), self._place[points]
                for s, g in enumerate(self._g):
                    block = g[:, place]
                    for factor, matrix in zip(factors[:, s], fock[:, s], strict=True):
                        matrix.addmm_(block * factor[points], ao.T, alpha=-0.5)
            fock += fock.mT.clone()
        return from_torch(fock.reshape(*shape[:-1], nao, nao), f1)

    def kernel(self, x, hermi: int = 0):
        """K_f[X] = −½ Σ_P (W̃^P X B^P + B^P X W̃^P), the Fock matrix of a change of the density matrix with fixed f.

        Args:
            x: as in `energy_density`.
            hermi: PySCF's word on X: 1 symmetric, 2 antisymmetric, 0 neither; the first two cost half.

        Returns:
            Array of the shape and kind of ``x``, Ha; with the symmetry of X.
        """
        changes, shape = self._changes(x)
        with host_threads():
            found = torch.cat([self._kernel(some, hermi) for some in changes.split(TOGETHER)])
        return from_torch(found.reshape(shape), x)

    def _kernel(self, x: Tensor, hermi: int) -> Tensor:
        """−½ (T[X] + T[Xᵀ]ᵀ) with T[X] = Σ_P B^P X W̃^P; T[Xᵀ] is ±T[X] where X has symmetry."""
        factors = [_factors(matrix) for matrix in x.transpose(0, 1).flatten(0, 1)]  # sets of spin a, sets of spin b
        half = self._one_half(factors).unflatten(0, (x.shape[1], -1)).transpose(0, 1)
        if hermi == 0:
            other = self._one_half([(v, u) for u, v in factors]).unflatten(0, (x.shape[1], -1)).transpose(0, 1)
        else:
            other = half if hermi == 1 else -half
        return -0.5 * (half + other.mT)

    def _one_half(self, factors: list[tuple[Tensor, Tensor]]) -> Tensor:
        """T[X] for X = u vᵀ, as many for each spin: (B^P u)(W̃^P v)ᵀ."""
        nao, sizes = self.fitting.nao, [u.shape[1] for u, _ in factors]
        each = len(factors) // len(self._g)
        half = torch.zeros(len(factors), nao, nao, dtype=torch.float64, device=self.exchange.device)
        for part, left in self.fitting.half_transformed(torch.cat([u for u, _ in factors], 1)):
            whole = [packed[part][:, self.fitting.unpack] for packed in self._dressed]
            for k, bu in enumerate(left.split(sizes, 2)):
                half[k] += torch.einsum("pmr,pnr->mn", bu, whole[k // each] @ factors[k][1])
        return half

    def _changes(self, x) -> tuple[Tensor, tuple[int, ...]]:
        """X as (sets, spins, nao, nao), and the shape it came in."""
        try:
            changes = to_torch(x).to(self.exchange.device)
        except TypeError as error:
            raise Unsupported("the change of the density matrix is complex: the response of local exchange needs "
                              "real orbitals; use RKS, UKS or ROKS of a molecule") from error
        shape, nao = tuple(changes.shape), self.fitting.nao
        if shape[-2 - len(self.spins):] != (*self.spins, nao, nao):
            raise InvalidInput(f"the change of the density matrix has shape {shape}, expected "
                               f"(…, {', '.join(map(str, (*self.spins, nao, nao)))})")
        return changes.reshape(-1, len(self._g), nao, nao), shape

    def _half_exchanged(self, orbitals: list[Orbitals]) -> list[Tensor]:
        """g_ν = Σ_j sign_j φ_j Σ_P C^P_νj V_P of each spin at the kept points, (nao, kept)."""
        nao, naux, count = self.fitting.nao, self.fitting.naux, int(self.kept.sum())
        g = self._room((len(orbitals), nao, count), self.grid.density_bytes)
        g[:] = 0
        group = max(1, int(self.grid.moment_bytes / (16 * naux * nao)))
        for whole, orbital in zip(g, orbitals, strict=True):
            for scaled, sign in zip(orbital.scaled.split(group, 1), orbital.sign.split(group), strict=True):
                fit = torch.empty(len(sign), nao, naux, dtype=torch.float64, device=whole.device)
                for part, half in self.fitting.half_transformed(scaled):
                    fit[:, :, part] = half.permute(2, 1, 0)
                fit = self.fitting.solve(fit)
                for number, points in self.grid(self.kept):
                    potentials, ao = self.grid.potentials(number, points), self.grid.orbitals(points)
                    whole[:, self._place[points]] += sum(
                        (c @ potentials) * phi for c, phi in zip(fit, (scaled * sign).T @ ao, strict=True))
        return list(g)

    def _dressed_integrals(self, weights: Tensor) -> list[Tensor]:
        """W̃^P_μν = Σ_r f χ_μ χ_ν (J⁺V)_P packed to μ ≥ ν, (naux, nao(nao+1)/2) for each spin."""
        naux, nao = self.fitting.naux, self.fitting.nao
        budget = self.grid.moment_bytes
        dressed = self._room((len(weights), naux, nao * (nao + 1) // 2), budget)
        rows = naux if 8 * dressed.numel() <= budget else max(1, int(budget / (8 * dressed[:, 0].numel())))
        for start in range(0, naux, rows):
            root = self.fitting.inverse_root[start:start + rows]
            part = torch.zeros_like(dressed[:, start:start + rows]) if rows < naux else dressed.zero_()
            for number, points in self.grid(self.kept):
                potentials = root @ (self.fitting.inverse_root.T @ self.grid.potentials(number, points))
                ao = self.grid.orbitals(points)
                for out, weight in zip(part, weights[:, points], strict=True):
                    _add_pairs(out, potentials, ao, ao * weight)
            if rows < naux:
                dressed[:, start:start + rows] = part
        return list(dressed)

    def _room(self, shape: tuple[int, ...], budget: float) -> Tensor:
        """An array in memory, in a temporary file where it does not fit."""
        size = 8 * math.prod(shape)
        if size <= budget or self.exchange.device.type != "cpu":
            return torch.empty(shape, dtype=torch.float64, device=self.exchange.device)
        warnings.warn(f"the response of the local exchange needs {size / 1e6:.0f} MB, of which max_memory leaves it "
                      f"{budget / 1e6:.0f} MB: it goes on with a file in {lib.param.TMPDIR}, slowly", MemoryWarning,
                      stacklevel=4)
        with tempfile.TemporaryFile(dir=lib.param.TMPDIR) as file:
            return torch.from_numpy(np.memmap(file, np.float64, "w+", shape=shape))


def _factors(x: Tensor) -> tuple[Tensor, Tensor]:
    """u and v with X = u vᵀ: changes made by rotations of orbitals have at most twice as many columns as orbitals."""
    u, s, vt = torch.linalg.svd(x)
    kept = s > RANK * s[0]
    return u[:, kept] * s[kept], vt[kept].T


def _add_pairs(out: Tensor, potentials: Tensor, ao: Tensor, weighted: Tensor):
    """out_Pμν += Σ_r V_P χ_μ f χ_ν for μ ≥ ν, some rows μ at a time."""
    nao, points = ao.shape
    start = 0
    while start < nao:
        stop = start + max(1, min(nao - start, PAIR_NUMBERS // (points * nao)))
        pairs = torch.cat([weighted[m] * ao[: m + 1] for m in range(start, stop)])
        first = start * (start + 1) // 2
        out[:, first:first + len(pairs)].addmm_(potentials, pairs.T)
        start = stop
