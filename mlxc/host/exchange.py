"""Short-range exact exchange as an energy density on a grid, and its Fock matrix, by density fitting.

    e_xσ(r) = −½ Σ_ij n_i n_j φ_i(r) φ_j(r) v_ij(r),   v_ij(r) = Σ_P C^P_ij V_P(r)

    V_P(r) = ∫ χ_P(r′) erfc(ω|r−r′|)/|r−r′| dr′,   C = J⁺ (P|ij) with the same operator in J and (P|ij)

With G_i = Σ_j n_j v_ij φ_j this is −½ Σ_i n_i φ_i G_i, and for E = Σ_r f(r) e_xσ(r)

    ∂E/∂D_μν = −½ (K_μν + K_νμ),   K_μν = Σ_r f χ_μ Σ_j n_j φ_j v_νj = Σ_Pj n_j C^P_νj Σ_r f χ_μ φ_j V_P

Orbitals here are scaled by √|n|, so that the weights left are the signs of n. Sources: e_x as a variable of the
functional, doi:10.1063/1.1528936; the derivative in seminumerical form, doi:10.1016/j.chemphys.2008.10.036;
completion of a Fock matrix from its occupied columns (occ-RI-K), doi:10.1063/1.4923369.
Error of the fit: docs/decisions.md, 13.
"""

from dataclasses import dataclass

import torch
from pyscf import gto
from torch import Tensor

from mlxc.errors import InvalidInput
from mlxc.host.arrays import from_torch, host_threads, over_blocks, to_torch
from mlxc.host.fitting import Fitting
from mlxc.host.orbitals import Orbitals, occupied_orbitals, spin_matrices
from mlxc.host.points import PAIR_NUMBERS, GridBlocks

#: Grid points that one thread treats at a time.
PIECE = 1024


@dataclass
class _State:
    """One spin's orbitals (scaled), the fit of their pairs i ≥ j, e_x, and what is kept where it fits: (P|μj), G_i."""

    orbitals: Orbitals
    pairs: tuple[Tensor, Tensor]
    fit: Tensor  # C^P_ij, (npair, naux)
    half: list[tuple[slice, Tensor]]
    known: Tensor | None = None  # the points at which e_x and G_i are, (n,)
    energy: Tensor | None = None
    g: Tensor | None = None


class LocalExchange:
    """Short-range exact exchange of one geometry on one grid.

    Attributes:
        fitting: the auxiliary basis and its integrals; ``fitting.record`` belongs in the results.
        grid: the points in blocks, and the memory they need.
    """

    def __init__(self, mol: gto.Mole, coords, omega: float, auxbasis=None, max_memory: float | None = None):
        """Args:
            mol: molecule.
            coords: grid points, shape (n, 3), bohr; the algebra runs on this array's device.
            omega: ω of erfc(ω|r−r′|)/|r−r′|, bohr⁻¹, above 0.
            auxbasis: a name, a dictionary by element, or None for `mlxc.host.fitting.even_tempered`.
            max_memory: MB for blocks and kept integrals, ``mol.max_memory`` by default. The fit of all orbital
                pairs, naux·nocc²/2 numbers, and nao² matrices come on top.

        Raises:
            InvalidInput: an auxiliary basis that lacks an element, a bad ω, coordinates or memory.
        """
        points = to_torch(coords)
        if points.ndim != 2 or points.shape[1] != 3 or not torch.isfinite(points).all():
            raise InvalidInput(f"coords has shape {tuple(points.shape)}, expected finite (n, 3) in bohr")
        self.device = points.device
        self.fitting = Fitting(mol, omega, auxbasis, self.device)
        self.overlap = torch.from_numpy(mol.intor("int1e_ovlp")).to(self.device)
        self.grid = GridBlocks(self.fitting, points, float(mol.max_memory if max_memory is None else max_memory))
        self._dm: Tensor | None = None
        self._states: list[_State] = []

    def orbitals(self, dm) -> list[Orbitals]:
        """Occupied orbitals of a density matrix: of both spins, or of one where they are the same."""
        return [state.orbitals for state in self._prepare(dm)]

    def energy_density(self, dm, kept=None):
        """e_xσ(r) for both spins.

        Args:
            dm: (nao, nao) of a closed shell, or (2, nao, nao); with PySCF's orbitals tagged or without.
            kept: points to compute, a boolean array of shape (n,) as `points.significant` makes it; the others get 0.

        Returns:
            Shape (2, n), Ha bohr⁻³, an array of the kind of ``dm``.

        Raises:
            InvalidDensity, Unsupported: NaN, a wrong shape or complex numbers in ``dm``.
        """
        with host_threads():
            states = self._prepare(dm)
            wanted = torch.from_numpy(self.grid.mask(kept))
            if any(state.known is None or (wanted & ~state.known).any() for state in states):
                self._evaluate(states, wanted)
            energy = torch.stack([state.energy for state in states if state.energy is not None])
            energy[:, ~wanted] = 0.0
            return from_torch(energy.expand(2, -1).clone(), dm)

    def fock(self, dm, f, occupied_only: bool = False):
        """Derivative of Σ_σ Σ_r f_σ(r) e_xσ(r) with respect to the spin density matrices.

        Args:
            dm: as in `energy_density`.
            f: weight times ∂E/∂e_xσ, shape (2, n); points where both are 0 are skipped.
            occupied_only: compute the columns of occupied orbitals, F_μi, and complete the matrix by
                `Orbitals.completed`. Exact in the occupied–occupied and occupied–virtual blocks, and zero between
                virtual orbitals: the same SCF solution at lower cost, no virtual levels.

        Returns:
            Shape (2, nao, nao), Ha, an array of the kind of ``dm``.

        Raises:
            InvalidDensity, Unsupported: as in `energy_density`.
            InvalidInput: f has another shape, or holds NaN.
        """
        with host_threads():
            weights = to_torch(f).to(self.device)
            if tuple(weights.shape) != (2, len(self.grid)) or not torch.isfinite(weights).all():
                raise InvalidInput(f"f has shape {tuple(weights.shape)}, expected finite numbers of shape "
                                   f"{(2, len(self.grid))}: one per spin and grid point")
            states = self._prepare(dm)
            if len(states) == 1 and not torch.equal(weights[0], weights[1]):
                states = [states[0], states[0]]
            build = self._occupied_fock if occupied_only else self._full_fock
            fock = build(states, weights[: len(states)])
            return from_torch(fock.expand(2, -1, -1).clone(), dm)

    def _prepare(self, dm) -> list[_State]:
        """Orbitals and fitted pairs of both spins, of one where they are the same; kept for the next call."""
        matrices = spin_matrices(dm, self.fitting.nao, self.device)
        if self._dm is None or not torch.equal(self._dm, matrices):
            self._states = []
            orbitals = occupied_orbitals(dm, matrices, self.overlap)
            self._states = [self._fitted(o) for o in orbitals[: 1 if orbitals[0] is orbitals[1] else 2]]
            self._dm = matrices.clone()
        return self._states

    def _fitted(self, orbitals: Orbitals) -> _State:
        """C^P_ij of the scaled orbitals' pairs i ≥ j."""
        scaled = orbitals.scaled
        i, j = torch.tril_indices(scaled.shape[1], scaled.shape[1], device=self.device)
        integrals = torch.empty(len(i), self.fitting.naux, dtype=torch.float64, device=self.device)
        room = 8 * self.fitting.naux * scaled.numel() <= self.grid.density_bytes / 4
        kept = []
        for part, half in self.fitting.half_transformed(scaled):
            integrals[:, part] = (scaled.T @ half)[:, i, j].T
            if room:
                kept.append((part, half))
        return _State(orbitals, (i, j), self.fitting.solve(integrals), kept)

    def _evaluate(self, states: list[_State], kept: Tensor):
        """e_xσ, and G_i where it fits, at the points."""
        energy = torch.zeros(len(states), len(self.grid), dtype=torch.float64, device=self.device)
        store, known = self._room_for_g(states), torch.zeros(len(self.grid), dtype=torch.bool)
        for part, points in self.grid(kept, generous=True):
            known[points] = True
            potentials, ao = self.grid.potentials(part, points), self.grid.orbitals(points)
            for k, (state, e) in enumerate(zip(states, energy, strict=True)):
                phi = state.orbitals.scaled.T @ ao
                g = self._g(state, phi, potentials)
                e[points] = -0.5 * (state.orbitals.sign[:, None] * phi * g).sum(0)
                if store:
                    store[k][:, points] = g
        for k, state in enumerate(states):
            state.known, state.energy, state.g = known, energy[k], store[k] if store else None

    def _room_for_g(self, states: list[_State]) -> list[Tensor]:
        """Arrays for G_i on the whole grid, none where they do not fit."""
        shapes = [(state.orbitals.occ.numel(), len(self.grid)) for state in states]
        if 8 * sum(k * n for k, n in shapes) > self.grid.density_bytes / 2:
            return []
        return [torch.empty(shape, dtype=torch.float64, device=self.device) for shape in shapes]

    def half_exchanged(self, state: _State, points, phi: Tensor, potentials: Tensor) -> Tensor:
        """G_i at points of the grid, (k, m), as `energy_density` left it or computed from φ_i and V_P there."""
        if state.g is not None and state.known is not None and bool(state.known[points].all()):
            return state.g[:, points]
        return self._g(state, phi, potentials)

    def _g(self, state: _State, phi: Tensor, potentials: Tensor) -> Tensor:
        """G_i = Σ_j sign_j v_ij φ_j of the scaled orbitals, shape (k, m)."""
        sign, g = state.orbitals.sign, torch.zeros_like(phi)

        def add(part: slice):
            v, p, out, first = state.fit @ potentials[:, part], phi[:, part], g[:, part], 0
            for i in range(len(phi)):
                row = v[first:first + i + 1]
                first += i + 1
                out[i] += torch.einsum("jm,jm,j->m", row, p[:i + 1], sign[:i + 1])
                out[:i] += row[:i] * (sign[i] * p[i])

        step = min(PIECE, max(1, PAIR_NUMBERS // max(1, len(state.fit))))
        for _ in over_blocks(phi.device)(add, [slice(start, start + step) for start in range(0, phi.shape[1], step)]):
            pass
        return g

    def _full_fock(self, states: list[_State], f: Tensor) -> Tensor:
        """−½ (K + Kᵀ) with K_μν = Σ_Pj sign_j (P|νj) (J⁺ M)^P_μj and M^P_μj = Σ_r f χ_μ φ_j V_P."""
        naux, nao = self.fitting.naux, self.fitting.nao
        group = max(1, int(self.grid.moment_bytes / (16 * naux * nao * len(states))))
        most = max(s.orbitals.occ.numel() for s in states)
        fock = torch.zeros(len(states), nao, nao, dtype=torch.float64, device=self.device)
        for start in range(0, most, group):
            some = [s.orbitals.scaled[:, start:start + group] for s in states]
            signs = [s.orbitals.sign[start:start + group] for s in states]
            moments = [torch.zeros(c.shape[1], nao, naux, dtype=torch.float64, device=self.device) for c in some]
            self.add_moments(moments, some, f)
            for k, c, sign, m in zip(fock, some, signs, moments, strict=True):
                for j in range(len(m)):
                    m[j] = sign[j] * self.fitting.solve(m[j])
                for part, half in self.fitting.half_transformed(c):
                    k += torch.einsum("jmp,pnj->mn", m[:, :, part], half)
        return -0.5 * (fock + fock.mT)

    def add_moments(self, moments: list[Tensor], orbitals: list[Tensor], f: Tensor):
        """Adds Σ_r f χ_μ φ_j V_P of each spin's orbitals φ_j, (nao, k), to arrays of shape (k, nao, naux)."""
        for number, points in self.grid((f != 0).any(0), generous=True):
            potentials, ao = self.grid.potentials(number, points).T, self.grid.orbitals(points)
            for c, m, weight in zip(orbitals, moments, f[:, points], strict=True):
                for j, phi in enumerate(c.T @ ao):
                    m[j].addmm_(ao * (weight * phi), potentials)

    def _occupied_fock(self, states: list[_State], f: Tensor) -> Tensor:
        """F_μi = −½ [Σ_r f χ_μ G_i + Σ_Pj sign_j (P|μj) (J⁺ M)^P_ij], completed."""
        naux, nao = self.fitting.naux, self.fitting.nao
        columns = [torch.zeros(nao, s.orbitals.occ.numel(), dtype=torch.float64, device=self.device) for s in states]
        moments = [torch.zeros(len(s.fit), naux, dtype=torch.float64, device=self.device) for s in states]
        for number, points in self.grid((f != 0).any(0), generous=True):
            potentials, ao = self.grid.potentials(number, points), self.grid.orbitals(points)
            for state, column, m, weight in zip(states, columns, moments, f[:, points], strict=True):
                phi = state.orbitals.scaled.T @ ao
                g = self.half_exchanged(state, points, phi, potentials)
                column += (ao * weight) @ g.T
                self._add_pairs(m, state, phi, weight, potentials)
        fock = [self._completed(s, c, m) for s, c, m in zip(states, columns, moments, strict=True)]
        return torch.stack(fock)

    def _add_pairs(self, moments: Tensor, state: _State, phi: Tensor, weight: Tensor, potentials: Tensor):
        """Adds Σ_r f φ_i φ_j V_P for pairs i ≥ j."""
        i, j = state.pairs
        step = max(1, PAIR_NUMBERS // max(1, len(i)))
        for start in range(0, phi.shape[1], step):
            part = slice(start, start + step)
            p = phi[:, part]
            moments.addmm_((p * weight[part])[i] * p[j], potentials[:, part].T)

    def _completed(self, state: _State, columns: Tensor, moments: Tensor) -> Tensor:
        orbitals = state.orbitals
        count = orbitals.occ.numel()
        i, j = state.pairs
        square = torch.empty(count, count, self.fitting.naux, dtype=torch.float64, device=self.device)
        square[i, j] = square[j, i] = self.fitting.solve(moments)
        square *= orbitals.sign[:, None]
        for part, half in state.half or self.fitting.half_transformed(orbitals.scaled):
            columns = columns + torch.einsum("pmj,ijp->mi", half, square[:, :, part])
        return orbitals.completed(-0.5 * columns / orbitals.root, self.overlap)
