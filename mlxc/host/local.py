"""The local part of a local hybrid: the energy ∫ Σ_σ b_σ (e_xσ^{SR,sl} − e_xσ^{SR,HF}) dr and its Fock matrix.

It has a grid of its own, coarser than the one of the semilocal part, and is zero for one electron on any grid.
"""

from dataclasses import dataclass

import numpy as np
import torch
from pyscf import dft, gto, lib
from pyscf.dft import numint
from torch import Tensor

from mlxc.errors import InvalidInput
from mlxc.host import seam
from mlxc.host.arrays import CPU, free_memory, from_torch, host_threads, over_blocks, to_torch
from mlxc.host.exchange import LocalExchange
from mlxc.host.fitting import auxiliary
from mlxc.host.orbitals import Orbitals
from mlxc.host.points import significant
from mlxc.host.semilocal import add_columns, add_matrix, pair_density
from mlxc.xc import pointwise

#: What the points that are left out contribute together, at most, Ha.
NEGLIGIBLE = 1e-10

#: Decay of a typical density far from an atom, bohr⁻¹.
TAIL = 1.8

#: Share of the memory that the local part takes at most; density fitting of J and K wants the rest.
MEMORY_SHARE = 0.5

#: What it takes in any case, MB.
LEAST_MEMORY = 500.0


@dataclass(frozen=True)
class Settings:
    """How the local part is computed.

    Attributes:
        grid_level: PySCF's level of its grid, 0 to 9.
        auxbasis: a name, a dictionary by element, or None for the even-tempered default (`fitting.even_tempered`).
    """

    grid_level: int = 1
    auxbasis: str | dict | None = None

    def __post_init__(self):
        if type(self.grid_level) is not int or self.grid_level not in range(10):
            raise InvalidInput(f"the local part's grid level is {self.grid_level!r}, expected 0 to 9")


@dataclass(frozen=True)
class State:
    """A density on the grid, as `mlxc.xc.pointwise` wants it.

    Attributes:
        dm: density matrix, (nao, nao) of a closed shell or (2, nao, nao), with PySCF's orbitals where it has them.
        rho: density rows, (5, n) or (2, 5, n); zero at points that do not count.
        exact: e_xσ^{SR,HF}, (n,) of one spin or (2, n), Ha bohr⁻³.
    """

    dm: object
    rho: Tensor
    exact: Tensor


class LocalPart:
    """The local part of one functional for one molecule.

    Attributes:
        functional: has ``replacement(density, exact)`` and ``local_omega``.
        grids: PySCF's grid.
        weights: of the grid, (n,).
        exchange: `LocalExchange` on this grid.
    """

    def __init__(self, functional, mol: gto.Mole, settings: Settings, max_memory: float,
                 device: torch.device = CPU):
        """Args: functional, on the device; mol; settings; max_memory, MB; device of the tensors."""
        self.functional, self.mol, self.settings = functional, mol, settings
        self.grids = dft.gen_grid.Grids(mol)
        self.grids.level, self.grids.verbose = settings.grid_level, 0
        self.grids.build()
        self.grids._select_grids(_near_first(mol, self.grids))
        self.weights = to_torch(self.grids.weights).to(device)
        coords = to_torch(self.grids.coords).to(device)
        self.exchange = LocalExchange(mol, coords, functional.local_omega, settings.auxbasis, max_memory)
        lib.logger.info(mol, "local exchange: grid level %d, auxiliary basis %s, %d functions", settings.grid_level,
                        self.record["auxbasis"], self.record["functions"])

    @property
    def record(self) -> dict:
        """What the results should say of the local part."""
        return self.exchange.fitting.record | {"grid_level": self.settings.grid_level, "points": len(self.weights)}

    def at(self, dm) -> State:
        """The density rows and the exact exchange of a density matrix on the grid."""
        closed = np.ndim(dm) == 2
        with host_threads():
            rho = self._rows(dm, closed)
        n = rho[0] if closed else rho[:, 0].sum(0)
        kept = significant(self.weights.abs() * n.clamp(min=0) ** (4 / 3), NEGLIGIBLE)
        exact = to_torch(self.exchange.energy_density(dm, None if kept.all() else kept)).to(rho.device)
        rho = torch.where(torch.from_numpy(kept).to(rho.device), rho, 0.0)
        return State(dm, rho, exact[0] if closed else exact)

    def energy_and_potential(self, dm, occupied_only: bool = False):
        """The energy and its derivative with respect to the density matrix.

        Args:
            dm: as in `State`.
            occupied_only: leave the block between virtual orbitals out, as in `LocalExchange.fock`.

        Returns:
            (E, V): Ha, and an array of the kind and shape of ``dm``.
        """
        state = self.at(dm)
        energy, v_rho, v_exact = pointwise.value_and_gradient(self.functional, state.rho, state.exact,
                                                              over_blocks(state.rho.device))
        exact = to_torch(self.exchange.fock(dm, self.factors(v_exact), occupied_only)).to(v_exact.device)
        with host_threads():
            rows = self.weights * v_rho
            semilocal = self.completed(rows, self.exchange.orbitals(dm)) if occupied_only else self.matrix(rows)
        potential = semilocal + (exact[0] if state.exact.ndim == 1 else exact)
        return float(self.weights @ energy), from_torch(potential, dm)

    def factors(self, v_exact: Tensor) -> Tensor:
        """f_σ = w ∂e/∂e_xσ, (2, n), from ∂e/∂e_x of both spins or, (n,), of a closed shell's together."""
        return self.weights * (v_exact.expand(2, -1) / 2 if v_exact.ndim == 1 else v_exact)

    def matrix(self, rows: Tensor) -> Tensor:
        """V_μν = Σ_r ∂(Σ rows · ρ)/∂D_μν for ρ = [n, ∇n, τ] at the points.

        Args:
            rows: weight times the potential's rows, (5, n) or (2, 5, n).

        Returns:
            (nao, nao) or (2, nao, nao), symmetric.
        """
        nao = self.exchange.fitting.nao
        half = rows.new_zeros(*rows.shape[:-2], nao, nao)
        for _, points in self.exchange.grid((rows.reshape(-1, rows.shape[-1]) != 0).any(0)):
            ao = self.exchange.grid.orbitals(points, 1)
            for v, out in zip(rows[..., points].reshape(-1, 5, len(points)), half.reshape(-1, nao, nao), strict=True):
                add_matrix(out, ao, v)
        return half + half.mT

    def completed(self, rows: Tensor, orbitals: list[Orbitals]) -> Tensor:
        """As `matrix`, without the block between virtual orbitals: from the columns V_μi of occupied orbitals.

        Args:
            rows: as there, or of several sets, (…, 5, n) or (…, 2, 5, n).
            orbitals: of each spin, or of one where they are the same.
        """
        sets = rows.reshape(-1, len(orbitals), *rows.shape[-2:])
        columns = [rows.new_zeros(len(sets), *o.coeff.shape) for o in orbitals]
        for _, points in self.exchange.grid((sets != 0).any(0).any(0).any(0)):
            ao = self.exchange.grid.orbitals(points, 1)
            for o, spin, found in zip(orbitals, sets[..., points].unbind(1), columns, strict=True):
                phi = o.coeff.T @ ao
                for v, out in zip(spin, found, strict=True):
                    add_columns(out, ao, phi, v)
        whole = torch.stack([o.completed(c, self.exchange.overlap) for o, c in zip(orbitals, columns, strict=True)], 1)
        return whole.reshape(*rows.shape[:-2], *whole.shape[-2:])

    def _rows(self, dm, closed: bool) -> Tensor:
        """n, ∇n and τ on the grid: of all electrons, (5, n), or of each spin, (2, 5, n)."""
        orbitals = self.exchange.orbitals(dm)
        rho = self.weights.new_empty(len(orbitals), 5, len(self.weights))
        for _, points in self.exchange.grid():
            ao = self.exchange.grid.orbitals(points, 1)
            for o, out in zip(orbitals, rho, strict=True):
                phi = o.scaled.T @ ao
                out[:, points] = pair_density(o.sign[:, None] * phi, phi)
        return 2 * rho[0] if closed else rho.expand(2, -1, -1)


def _near_first(mol: gto.Mole, grids: dft.Grids) -> np.ndarray:
    """The order of points in which those that will not count come last, in blocks of their own: far from all atoms."""
    distance = np.linalg.norm(grids.coords[:, None] - mol.atom_coords(), axis=2)
    density = np.exp(-TAIL * distance).sum(1)
    counts = significant(np.abs(grids.weights) * density ** (4 / 3), NEGLIGIBLE)
    return np.argsort(~counts, kind="stable")


def part(ni: numint.NumInt, mol: gto.Mole, functional, max_memory: float, device: torch.device = CPU) -> LocalPart:
    """The local part of a functional for a molecule, kept in ``ni`` until one of them or the settings change.

    Args:
        ni: the numerical integration that a Kohn–Sham object owns.
        mol: molecule.
        functional: a local hybrid, on the device.
        max_memory: what PySCF has left, MB; it may be negative, since the memory in use counts. On other devices than
            the CPU what they have left counts instead.
        device: of the tensors.
    """
    settings = getattr(ni, "_local_settings", Settings())
    key = (*_key(functional, settings, mol), device)
    if getattr(ni, "_local_key", None) != key:
        ni._local_part = ni._local_key = None  # its memory is free for the new one
        budget = max(MEMORY_SHARE * free_memory(device, max_memory), LEAST_MEMORY)
        ni._local_part, ni._local_key = LocalPart(functional, mol, settings, budget, device), key
    return ni._local_part


def _key(functional, settings: Settings, mol: gto.Mole) -> tuple:
    geometry_and_basis = mol._env[gto.PTR_ENV_START:]  # before it are origins and ranges, which integrals set
    return functional, settings, mol._atm.tobytes(), mol._bas.tobytes(), geometry_and_basis.tobytes(), mol.cart


def set_local_exchange(mf, grid_level: int = Settings.grid_level, auxbasis: str | dict | None = None):
    """Says how a local hybrid's local part is computed; docs/decisions.md, 15, has its errors.

    Args:
        mf: a Kohn–Sham object of PySCF with a local hybrid as functional.
        grid_level: PySCF's level of the local part's own grid, 0 to 9; ``mf.grids`` is for the semilocal part.
        auxbasis: auxiliary basis of the local exchange, a name or a dictionary by element; None for even-tempered
            functions, which cover all elements and reach as far out as the orbital basis.

    Returns:
        ``mf`` itself, which has to run again if it ran.

    Raises:
        InvalidInput: a wrong level, an auxiliary basis that lacks an element, or ``mf`` has no local exchange.
    """
    if seam.local_hybrid(getattr(mf, "xc", None)) is None:
        raise InvalidInput(f"xc = {getattr(mf, 'xc', None)!r} has no local exchange: choose mlxc_lh")
    settings = Settings(grid_level, auxbasis)
    auxiliary(mf.mol, auxbasis)
    ni = mf._numint.copy()  # copies of mf share theirs
    ni._local_settings = settings
    for layer in seam.layers(mf):
        layer._numint, layer.converged = ni, False
    return mf


def local_exchange_record(mf) -> dict:
    """What a calculation with a local hybrid used for its local part.

    Args:
        mf: a Kohn–Sham object after its calculation.

    Returns:
        ``auxbasis``, ``functions`` of it, those ``removed`` for linear dependence and the ``smallest_eigenvalue`` of
        their normalised metric, ``omega`` in bohr⁻¹, ``grid_level`` and ``points``; empty before the calculation, and
        for other functionals.
    """
    part = getattr(getattr(mf, "_numint", None), "_local_part", None)
    return {} if part is None or seam.local_hybrid(mf.xc) is None else part.record
