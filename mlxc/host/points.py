"""The grid in blocks inside a memory budget: auxiliary potentials V_P and orbital values, kept where they fit."""

import warnings
from collections.abc import Iterator

import numpy as np
import torch
from pyscf.dft import numint
from torch import Tensor

from mlxc.errors import InvalidDensity, InvalidInput, MemoryWarning
from mlxc.host.arrays import to_torch
from mlxc.host.fitting import Fitting

#: Grid points of a block: at most, without a warning, and at least.
BLOCK, COMFORTABLE, SMALLEST = 4096, 512, 16

#: Share of a block that is wanted above which all of it is computed: the kept V_P is then used without a copy.
WORTH_LEAVING_OUT = 0.8

#: Numbers in a temporary array of orbital pairs (16 MB).
PAIR_NUMBERS = 2**21


class GridBlocks:
    """Grid points, taken in blocks, with what does not depend on the density.

    Attributes:
        coords: points, shape (n, 3), bohr, in the host's memory.
        block: number of points that are treated at a time.
        needed_mb: memory below which blocks get smaller than `COMFORTABLE`, MB.
        moment_bytes, density_bytes: memory set aside for moments over the grid, of the full Fock build or the response,
            and for what a density leaves on the grid.
    """

    def __init__(self, fitting: Fitting, coords: Tensor, max_memory: float):
        """Args: fitting; coords, shape (n, 3), bohr; max_memory, MB.

        Raises:
            InvalidInput: the memory does not even do for the smallest blocks.
        """
        self.fitting, self.coords = fitting, coords.cpu().numpy()
        self._kept: dict[int, Tensor] = {}
        self._orbitals: dict[int, Tensor] = {}
        self._plan(max_memory)

    def __len__(self) -> int:
        return len(self.coords)

    def _plan(self, max_memory: float):
        """Size of the blocks, and what is left of the memory for V_P, three-centre integrals and orbital values."""
        naux, nao = self.fitting.naux, self.fitting.nao
        fixed = 8 * (3 * naux**2 + 2 * naux * nao + 4 * nao**2 + 2 * PAIR_NUMBERS)
        point = 8 * (3 * naux + 6 * nao)
        budget = 1e6 * max_memory
        self.needed_mb = (fixed + COMFORTABLE * point) / 1e6
        fitting_points = int((budget - fixed) / point)
        left = f"{max_memory:.0f} MB are left, of max_memory or of a GPU"
        if fitting_points < SMALLEST:
            raise InvalidInput(f"{left}: the local exchange needs at least {(fixed + SMALLEST * point) / 1e6:.0f} MB, "
                               f"and {self.needed_mb:.0f} MB to be fast")
        if fitting_points < COMFORTABLE:
            warnings.warn(f"{left}: the local exchange needs {self.needed_mb:.0f} MB; it goes on with blocks of "
                          f"{fitting_points} grid points, slowly", MemoryWarning, stacklevel=4)
        self.block = min(BLOCK, max(min(fitting_points, COMFORTABLE), fitting_points // 4))
        spare = budget - fixed - self.block * point
        spare -= self.fitting.keep_integrals(spare / 2)
        self.moment_bytes, self.density_bytes, self._potential_bytes = 0.25 * spare, 0.15 * spare, 0.6 * spare
        orbitals, potentials = 8 * 4 * nao * len(self), 8 * naux * len(self)
        self._keeps_orbitals = orbitals + potentials <= self._potential_bytes
        if self._keeps_orbitals:
            self._potential_bytes -= orbitals

    def __call__(self, kept=None, generous: bool = False) -> Iterator[tuple[int, np.ndarray]]:
        """Number of each block, and the indices of its points to be computed.

        Args:
            kept: those wanted, a boolean array of shape (n,).
            generous: take a block whole where nearly all of it is wanted, which is faster.
        """
        mask = self.mask(kept)
        for number, start in enumerate(range(0, len(mask), self.block)):
            points = start + np.flatnonzero(mask[start:start + self.block])
            whole = min(self.block, len(mask) - start)
            if generous and len(points) > WORTH_LEAVING_OUT * whole:
                points = np.arange(start, start + whole)
            if len(points):
                yield number, points

    def mask(self, kept=None) -> np.ndarray:
        """The points wanted, as a boolean array of shape (n,): all without ``kept``."""
        if kept is None:
            return np.ones(len(self.coords), dtype=bool)
        mask = kept.cpu().numpy() if isinstance(kept, Tensor) else np.asarray(kept)
        if mask.shape != (len(self.coords),) or mask.dtype != bool:
            raise InvalidInput(f"the mask has shape {mask.shape} and type {mask.dtype}, expected bool, "
                               f"{(len(self.coords),)}")
        return mask

    def potentials(self, number: int, points: np.ndarray) -> Tensor:
        """V_P at the points of a block, shape (naux, m); the whole block is kept where the memory allows it."""
        block = self._block(number)
        if number not in self._kept:
            points_kept = sum(v.shape[1] for v in self._kept.values())
            if 8 * self.fitting.naux * (points_kept + len(block)) > self._potential_bytes:
                return self.fitting.potentials(self.coords[points])
            self._kept[number] = self.fitting.potentials(self.coords[block])
        return _part(self._kept[number], points - block[0])

    def _block(self, number: int) -> np.ndarray:
        """All points of a block."""
        start = number * self.block
        return np.arange(start, min(start + self.block, len(self)))

    def orbitals(self, points: np.ndarray, deriv: int = 0) -> Tensor:
        """χ_μ at points of one block, (nao, m); with derivatives (…, nao, m), in PySCF's order, for ``deriv`` > 0.

        They may be those that are kept for the next call: not to be written to.
        """
        if deriv > 1 or not self._keeps_orbitals:
            return self._evaluated(points, deriv)
        number = points[0] // self.block
        block = self._block(number)
        if number not in self._orbitals:
            self._orbitals[number] = self._evaluated(block, 1)
        kept = self._orbitals[number]
        return _part(kept if deriv else kept[0], points - block[0])

    def _evaluated(self, points: np.ndarray, deriv: int) -> Tensor:
        ao = numint.eval_ao(self.fitting.mol, self.coords[points], deriv)
        return torch.from_numpy(np.ascontiguousarray(ao.swapaxes(-1, -2))).to(self.fitting.device)


def _part(values: Tensor, points: np.ndarray) -> Tensor:
    """Values at some points of a block, without a copy at all of them."""
    return values if len(points) == values.shape[-1] else values[..., torch.from_numpy(points)]


def significant(measure, tolerance: float = 1e-9) -> np.ndarray:
    """Points to be computed: all but the largest set whose measure sums to at most the tolerance.

    Args:
        measure: bound on what a point contributes, shape (n,), such as |w b n_σ^{4/3}| in Ha; none negative.
        tolerance: bound on what all skipped points contribute together, in the measure's unit.

    Returns:
        Boolean array, shape (n,).

    Raises:
        InvalidDensity: the measure is negative or NaN somewhere.
    """
    values = to_torch(measure)
    if values.ndim != 1 or not (values >= 0).all():
        raise InvalidDensity("the measure of the points must have shape (n,) and no negative number or NaN: "
                             "pass |weight × b × density|")
    order = torch.argsort(values)
    kept = torch.ones(len(values), dtype=torch.bool, device=values.device)
    kept[order[torch.cumsum(values[order], 0) <= tolerance]] = False
    return kept.cpu().numpy()
