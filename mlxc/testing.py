"""Assertions of the laws of `mlxc.xc`, for the tests of any functional.

A functional is an object with ``edens(density) -> (n,)``; `assert_obeys` needs the terms of
`mlxc.xc.functional.Learned` as well. Variables are PySCF's: (n, σ, τ) for closed shells, or
(n_a, n_b, σ_aa, σ_ab, σ_bb, τ_a, τ_b), each of shape (n,), in atomic units. Each raises AssertionError with the
largest deviation.
"""

from itertools import combinations_with_replacement

import torch
from torch import Tensor

from mlxc.errors import InvalidInput
from mlxc.suggest import did_you_mean
from mlxc.xc.constraints import CONSTRAINTS
from mlxc.xc.density import Density
from mlxc.xc.derivatives import xc_rows

Variables = tuple[Tensor, ...]

#: Where each of the seven variables goes when the spins are exchanged.
SPIN_FLIP = (1, 0, 4, 3, 2, 6, 5)

#: Weights of the values at −2h, −h, h, 2h in a first derivative with an error of order h⁴, times 12h.
FIVE_POINTS = {-2: 1, -1: -8, 1: 8, 2: -1}


def assert_finite(functional, variables: Variables, deriv: int = 3):
    """The energy and its derivatives up to order ``deriv`` are neither NaN nor infinite."""
    bad = ~torch.isfinite(xc_rows(functional, variables, deriv)).all(0)
    if bad.any():
        points = torch.stack(variables)[:, bad][:, :3].T.tolist()
        raise AssertionError(f"not finite at {int(bad.sum())} of {len(bad)} points, the first: {points}")


def assert_derivative(functional, variables: Variables, order: int, step: float = 2e-4, tolerance: float = 1e-6):
    """The derivatives of one order are the differences of those one order lower.

    Every variable is moved by ``step`` of itself, so that variables that are zero are not tested. A derivative's
    error counts in proportion to the largest term at its point, |∂^k e/∂x_i…∂x_j · x_i…x_j|, which makes them
    commensurate.

    Args:
        functional: with ``edens``.
        variables: 3 or 7 of them.
        order: 1, 2 or 3.
        step: relative step of the five-point differences.
        tolerance: of the error, relative to the largest term.
    """
    exact = _by_index(functional, variables, order)
    moved = {i: _slopes(functional, variables, i, order - 1, step) for i in range(len(variables))}
    terms = torch.stack([(value * _product(variables, index)).abs() for index, value in exact.items()])
    largest = terms.amax(0).clamp(min=torch.finfo(terms.dtype).tiny)
    for index, value in exact.items():
        for i in set(index):
            lower = list(index)
            lower.remove(i)
            error = ((moved[i][tuple(lower)] - value) * _product(variables, index) / largest).abs()
            if not error.max() <= tolerance:
                raise AssertionError(f"derivative {index} is not the slope of {tuple(lower)} in variable {i}: off by "
                                     f"{float(error.max()):.1e} of the largest term, allowed {tolerance:.1e}")


def assert_spin_symmetric(functional, variables: Variables, tolerance: float = 1e-12):
    """E_xc[n_a, n_b] = E_xc[n_b, n_a], and the potentials change places.

    Args:
        functional: with ``edens``.
        variables: the seven spin-resolved ones.
        tolerance: of the energy and of each potential, relative to the largest term at the point.
    """
    if len(variables) != 7:
        raise InvalidInput(f"{len(variables)} variables, expected the 7 spin-resolved ones")
    rows = xc_rows(functional, variables, 1)
    flipped = xc_rows(functional, tuple(variables[i] for i in SPIN_FLIP), 1)
    flipped = flipped[[0, *(1 + i for i in SPIN_FLIP)]]
    weights = torch.stack((variables[0] + variables[1], *variables)).abs()
    _assert_equal(rows * weights, flipped * weights, tolerance, "changed by exchanging the spins")


def assert_closed_shell_consistent(functional, variables: Variables, tolerance: float = 1e-12):
    """A closed shell has the energy of two equal spin channels.

    Args:
        functional: with ``edens``.
        variables: (n, σ, τ).
        tolerance: relative.
    """
    n, sigma, tau = variables
    split = (n / 2, n / 2, sigma / 4, sigma / 4, sigma / 4, tau / 2, tau / 2)
    closed, open_ = (functional.edens(Density.from_variables(v)) for v in (variables, split))
    _assert_equal(closed[None], open_[None], tolerance, "closed shell and equal spins differ")


def assert_obeys(functional, constraint_id: str):
    """One law of `mlxc.xc.constraints.CONSTRAINTS` holds to its tolerance."""
    found = [c for c in CONSTRAINTS if c.id == constraint_id]
    if not found:
        known = [c.id for c in CONSTRAINTS]
        raise InvalidInput(f"no constraint {constraint_id!r} among {', '.join(known)}"
                           + did_you_mean(constraint_id, known))
    constraint = found[0]
    with torch.no_grad():
        violation = constraint.violation(functional)
    if not violation <= constraint.tolerance:
        raise AssertionError(f"{constraint.id} ({constraint.law}) is violated by {violation:.1e}, allowed "
                             f"{constraint.tolerance:.1e}")


def _by_index(functional, variables: Variables, order: int) -> dict[tuple[int, ...], Tensor]:
    """Derivatives of one order of the energy per volume, by non-decreasing variable numbers."""
    rows = xc_rows(functional, variables, order)
    if order == 0:
        return {(): rows[0] * (variables[0] if len(variables) == 3 else variables[0] + variables[1])}
    indices = list(combinations_with_replacement(range(len(variables)), order))
    return dict(zip(indices, rows[-len(indices):], strict=True))


def _slopes(functional, variables: Variables, i: int, order: int, step: float) -> dict[tuple[int, ...], Tensor]:
    """Differences with respect to variable i of all derivatives of one order; 0 where the variable is 0."""
    h = 12 * step * torch.where(variables[i] == 0, 1.0, variables[i])
    total: dict[tuple[int, ...], Tensor] = {}
    for m, weight in FIVE_POINTS.items():
        at = (*variables[:i], variables[i] * (1 + m * step), *variables[i + 1:])
        for index, value in _by_index(functional, at, order).items():
            total[index] = total.get(index, torch.zeros_like(value)) + weight * value
    return {index: value / h for index, value in total.items()}


def _product(variables: Variables, index: tuple[int, ...]) -> Tensor:
    product = torch.ones_like(variables[0])
    for i in index:
        product = product * variables[i]
    return product


def _assert_equal(one: Tensor, other: Tensor, tolerance: float, what: str):
    """Rows are terms of one size at each point: errors relative to the largest of them."""
    largest = one.abs().amax(0).clamp(min=torch.finfo(one.dtype).tiny)
    error = float(((one - other).abs() / largest).max())
    if not error <= tolerance:
        raise AssertionError(f"{what}: off by {error:.1e} of the largest term, allowed {tolerance:.1e}")
