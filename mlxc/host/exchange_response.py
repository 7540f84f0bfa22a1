"""Linear response of short-range local exchange: its energy density and Fock matrix to first order in D.

With P = χχᵀ and v_μν(r) = Σ_P C^P_μν V_P(r), the Fock matrix of E = Σ_r f(r) e_x(r), for one spin, is

    F[D; f] = −½ Σ_r f (v D P + P D v)

It is linear in D and in f. A change X of the density matrix, and f¹ of the factor with it, change it by

    K_f[X] + F[D; f¹],   K_f[X] = −½ Σ_r f (v X P + P X v),   F[D; f¹] = −½ Σ_r f¹ (g χᵀ + χ gᵀ),   g = v D χ

and e_x by e¹ = −½ (χᵀ X g + gᵀ X χ). Rotations of orbitals change D by X = Y Cᵀ + C Zᵀ, with an occupied orbital c_i on
one side, and ask for matrices between an occupied and another orbital. So columns of occupied orbitals are all that is
computed:

    K_f[X] c_i = −½ [Σ_Pj ((B^P y_j) W̃^P_ji + (B^P c_j) (z_jᵀ W̃^P_i) + W̃^P_j (z_jᵀ B^P c_i)) + Σ_r f χ Σ_j v_ij y_j]

    B^P_μν = (P|μν),   W̃^P_μi = Σ_r f χ_μ φ_i (J⁺V)_P,   y_j(r) = χᵀ y_j

W̃, g and v_ij are computed once for D and f. X need not be symmetric: for an antisymmetric one, the change made by
complex orbitals, e¹ is zero and K_f[X] is not.
"""

import math
import tempfile
import warnings
from collections.abc import Iterator

import numpy as np
import torch
from pyscf import lib
from torch import Tensor

from mlxc.errors import InvalidInput, MemoryWarning, Unsupported
from mlxc.host.arrays import from_torch, host_threads, to_torch
from mlxc.host.exchange import LocalExchange
from mlxc.host.orbitals import occupied_orbitals, spin_matrices

#: Changes of the density matrix that are treated at a time.
TOGETHER = 8


class ExchangeResponse:
    """Local exchange to first order around one density matrix, with one factor f.

    Shapes have a spin axis for a density matrix of both spins and none for a closed shell's: its changes X are those
    of one spin, for which the other's may be the same (singlet) or the opposite (triplet). What a change has between
    orbitals that are not occupied is left out, and so is that block of the matrices.

    Attributes:
        exchange: the integrals and the grid.
        orbitals: the occupied orbitals of each spin.
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
        self._weights = weights.reshape(-1, len(self.grid))
        self.kept = (self._weights != 0).any(0)
        with host_threads():
            self.orbitals = occupied_orbitals(dm, matrices, exchange.overlap)[: len(self._weights)]
            self._g, self._v = self._half_exchanged()
            self._dressed = self._dressed_columns()

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
            changed = [o.changed((spin + spin.mT) / 2, self.exchange.overlap)
                       for o, spin in zip(self.orbitals, changes.unbind(1), strict=True)]
            for _, points, place in self._blocks():
                ao = self.grid.orbitals(points)
                for s, (o, (y, z)) in enumerate(zip(self.orbitals, changed, strict=True)):
                    g = self._g[s][:, place]
                    energy[:, s, points] = -((y.mT @ ao) * (o.coeff.T @ g) + (o.coeff.T @ ao) * (z.mT @ g)).sum(1)
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
        factors = factors.reshape(-1, len(self.orbitals), len(self.grid))
        columns = [factors.new_zeros(len(factors), *o.coeff.shape) for o in self.orbitals]
        with host_threads():
            for _, points, place in self._blocks():
                ao = self.grid.orbitals(points)
                for s, (o, out) in enumerate(zip(self.orbitals, columns, strict=True)):
                    g = self._g[s][:, place]
                    phi, exchanged = o.coeff.T @ ao, o.coeff.T @ g
                    for factor, column in zip(factors[:, s, points], out, strict=True):
                        column.addmm_(g, (phi * factor).T, alpha=-0.5).addmm_(ao, (exchanged * factor).T, alpha=-0.5)
            fock = torch.stack([o.completed(c, self.exchange.overlap)
                                for o, c in zip(self.orbitals, columns, strict=True)], 1)
        return from_torch(fock.reshape(*shape[:-1], nao, nao), f1)

    def kernel(self, x, hermi: int = 0):
        """K_f[X] = −½ Σ_r f (v X P + P X v), the Fock matrix of a change of the density matrix with fixed f.

        Args:
            x: as in `energy_density`.
            hermi: PySCF's word on X: 1 symmetric, 2 antisymmetric, 0 neither; the first two cost half.

        Returns:
            Array of the shape and kind of ``x``, Ha; with the symmetry of X.
        """
        changes, shape = self._changes(x)
        with host_threads():
            found = torch.cat([torch.stack([self._kernel(s, spin, hermi) for s, spin in enumerate(some.unbind(1))], 1)
                               for some in changes.split(TOGETHER)])
        return from_torch(found.reshape(shape), x)

    def _kernel(self, s: int, x: Tensor, hermi: int) -> Tensor:
        """K_f[X] of one spin from its columns and its rows, K_f[X]ᵀ c = K_f[Xᵀ] c."""
        columns = self._columns(s, x)
        rows = columns if hermi == 1 else -columns if hermi == 2 else self._columns(s, x.mT)
        return self.orbitals[s].completed(columns, self.exchange.overlap, rows)

    def _columns(self, s: int, x: Tensor) -> Tensor:
        """K_f[X] c_i of several changes, (sets, nao, k)."""
        c = self.orbitals[s].coeff
        y, z = self.orbitals[s].changed(x, self.exchange.overlap)
        columns = torch.zeros_like(y)
        for _, points, place in self._blocks():
            ao = self.grid.orbitals(points)
            exchanged = _applied(self._v[s][:, place], y.mT @ ao)
            columns += (ao * self._weights[s, points]) @ exchanged.mT
        for part, half in self.fitting.half_transformed(torch.cat([c, *y], 1)):
            w, bc, by = self._dressed[s][..., part], half[..., :c.shape[1]], half[..., c.shape[1]:]
            columns += torch.einsum("pmsj,jip->smi", by.unflatten(2, (len(y), -1)), torch.einsum("nj,inp->jip", c, w))
            columns += torch.einsum("pmj,sjip->smi", bc, torch.einsum("snj,inp->sjip", z, w))
            columns += torch.einsum("jmp,sjip->smi", w, torch.einsum("snj,pni->sjip", z, bc))
        return -0.5 * columns

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
        return changes.reshape(-1, len(self.orbitals), nao, nao), shape

    def _blocks(self) -> Iterator[tuple[int, np.ndarray, slice]]:
        """Number of each block of the grid, its points that are kept, and their places among all that are."""
        first = 0
        for number, points in self.grid(self.kept):
            yield number, points, slice(first, first + len(points))
            first += len(points)

    def _half_exchanged(self) -> tuple[list[Tensor], list[Tensor]]:
        """At the kept points of each spin g_ν = Σ_j n_j φ_j v_νj, (nao, kept), and v_ij for i ≥ j, (pairs, kept)."""
        nao, naux, count, budget = self.fitting.nao, self.fitting.naux, int(self.kept.sum()), self.grid.density_bytes
        g = self._room((len(self.orbitals), nao, count), budget / 2)
        g[:] = 0
        v = []
        group = max(1, int(self.grid.moment_bytes / (16 * naux * nao)))
        for whole, o in zip(g, self.orbitals, strict=True):
            electrons = len(o.occ)
            v.append(self._room((electrons * (electrons + 1) // 2, count), budget / (2 * len(g))))
            for start in range(0, electrons, group):
                some = o.coeff[:, start:start + group]
                fit = torch.empty(some.shape[1], nao, naux, dtype=torch.float64, device=g.device)
                for part, half in self.fitting.half_transformed(some):
                    fit[:, :, part] = half.permute(2, 1, 0)
                fit = self.fitting.solve(fit)
                for number, points, place in self._blocks():
                    potentials, ao = self.grid.potentials(number, points), self.grid.orbitals(points)
                    phi = (some * o.occ[start:start + group]).T @ ao
                    for j, (c, p) in enumerate(zip(fit, phi, strict=True), start):
                        v_j = c @ potentials
                        whole[:, place] += v_j * p
                        i = torch.arange(j, electrons)
                        v[-1][i * (i + 1) // 2 + j, place] = o.coeff[:, j:].T @ v_j
        return list(g), v

    def _dressed_columns(self) -> list[Tensor]:
        """W̃^P_μi = Σ_r f χ_μ φ_i (J⁺V)_P of each spin, (k, nao, naux)."""
        coeff = [o.coeff for o in self.orbitals]
        budget = self.grid.moment_bytes / len(coeff)
        dressed = [self._room((c.shape[1], *c.shape[:1], self.fitting.naux), budget) for c in coeff]
        for spin in dressed:
            spin[:] = 0
        self.exchange.add_moments(dressed, coeff, self._weights)
        for spin in dressed:
            for j in range(len(spin)):
                spin[j] = self.fitting.solve(spin[j])
        return dressed

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


def _applied(v: Tensor, y: Tensor) -> Tensor:
    """Σ_j v_ij y_j from v_ij for i ≥ j, (pairs, m), and several sets of y, (sets, k, m)."""
    found, first = torch.zeros_like(y), 0
    for i in range(y.shape[1]):
        row = v[first:first + i + 1]
        first += i + 1
        found[:, i] += (row * y[:, :i + 1]).sum(1)
        found[:, :i] += row[:i] * y[:, i, None]
    return found
