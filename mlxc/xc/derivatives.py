"""Derivatives of the XC energy per volume, to third order, by reverse-mode differentiation.

The functional is a function f of k scalar variables at each grid point (k = 3 for closed shells, 7 spin-resolved).
Points are independent, so the gradient of Σ_points f is the array of pointwise derivatives, and nesting it gives
every higher order. The result's rows are PySCF's (`eval_xc1`): row 0 the energy per electron, then each order in
`itertools.combinations_with_replacement` order.
"""

from collections.abc import Callable, Sequence
from itertools import combinations_with_replacement
from math import comb

import torch
from torch import Tensor

from mlxc.xc.density import Density

#: Grid points evaluated at once: bounds the memory of the network's activations, and is where it runs fastest.
CHUNK = 8192

#: The same on other devices than the CPU, which are slow at starting an operation, and fast once it runs.
LARGE_CHUNK = 2**18

#: Total density below which a point contributes nothing, bohr⁻³ (libxc's thresholds are of this size).
RHO_CUTOFF = 1e-14


def xc_rows(functional, variables: tuple[Tensor, ...], deriv: int, over_blocks: Callable = map) -> Tensor:
    """Energy per electron and the derivatives of the energy per volume, by blocks of `chunk` points.

    Args:
        functional: has ``edens(density) -> (n,)`` in Ha bohr⁻³.
        variables: 3 or 7 arrays of shape (n,), see `density.Density.from_variables`.
        deriv: highest order, 0 to 3.
        over_blocks: applies a function to a sequence of blocks, as `map` does; the host's runs them in parallel.

    Returns:
        float64 array of shape (comb(k + deriv, deriv), n); zero where the total density is below RHO_CUTOFF.
    """
    k, npoints = len(variables), variables[0].shape[0]
    rows = torch.zeros(comb(k + deriv, deriv), npoints, dtype=variables[0].dtype, device=variables[0].device)
    n = variables[0] if k == 3 else variables[0] + variables[1]
    alive = torch.nonzero(n > RHO_CUTOFF).ravel()
    blocks = alive.split(chunk(alive.device, deriv))
    found = over_blocks(lambda block: _block_rows(functional, tuple(v[block] for v in variables), deriv), blocks)
    for block, values in zip(blocks, found, strict=True):
        rows[:, block] = values
    return rows


def chunk(device: torch.device, deriv: int = 1) -> int:
    """Grid points that are evaluated at once on a device; higher derivatives need more memory a point."""
    return CHUNK if device.type == "cpu" else LARGE_CHUNK // 4 ** max(0, deriv - 1)


def _block_rows(functional, variables: tuple[Tensor, ...], deriv: int) -> Tensor:
    k = len(variables)
    with torch.enable_grad():
        x = tuple(v.detach().requires_grad_(deriv > 0) for v in variables)
        edens = functional.edens(Density.from_variables(x))
        n = x[0] if k == 3 else x[0] + x[1]
        rows = [edens / n]
        level: dict[tuple[int, ...], Tensor] = {(): edens}
        for order in range(1, deriv + 1):
            level = _differentiate(level, x, create_graph=order < deriv)
            rows += [level[i] for i in combinations_with_replacement(range(k), order)]
    return torch.stack([row.detach() for row in rows])


def _differentiate(level: dict[tuple[int, ...], Tensor], x: tuple[Tensor, ...],
                   create_graph: bool) -> dict[tuple[int, ...], Tensor]:
    """One order up: keys are non-decreasing index tuples, so each mixed derivative is taken once."""
    out = {}
    for index, values in level.items():
        first = index[-1] if index else 0
        grads: Sequence[Tensor | None] = (None,) * len(x[first:])
        if values.requires_grad:
            grads = torch.autograd.grad(values.sum(), x[first:], create_graph=create_graph, retain_graph=True,
                                        allow_unused=True)
        for j, g in enumerate(grads, start=first):
            out[(*index, j)] = torch.zeros_like(x[j]) if g is None else g
    return out
