"""Derivatives of the energy density: order of the rows, correctness, finiteness, memory."""

import weakref
from itertools import combinations_with_replacement
from math import prod

import numpy as np
import pytest
import torch

from mlxc import zoo
from mlxc.testing import assert_derivative, assert_finite
from mlxc.xc import derivatives
from mlxc.xc.density import variables_from_rows
from mlxc.xc.derivatives import xc_rows
from tests.densities import extreme_densities, oh_radical, sampled
from tests.functionals import random_functional

FUNCTIONALS = {"mlxc_rs": lambda: zoo.load("mlxc_rs"), "random": random_functional,
               "saturated": lambda: random_functional(3.0)}


def variables(spin: int, size: int = 40):
    return variables_from_rows(torch.as_tensor(sampled(spin, size=size)))


class Monomial:
    """n_a² n_b σ_aa σ_ab³ σ_bb τ_a² τ_b, or n² σ³ τ²: every derivative is known."""

    powers = {7: (2, 1, 1, 3, 1, 2, 1), 3: (2, 3, 2)}

    def edens(self, d):
        if d.closed_shell:
            x = (d.n, d.sigma_total, d.tau_total)
        else:
            x = (*d.rho, *d.sigma, *d.tau)
        return prod(v**p for v, p in zip(x, self.powers[len(x)], strict=True))

    def derivative(self, x, index):
        powers, factor = list(self.powers[len(x)]), 1
        for i in index:
            factor *= powers[i]
            powers[i] -= 1
        return factor * prod(v ** max(p, 0) for v, p in zip(x, powers, strict=True))


@pytest.mark.parametrize("k", (3, 7))
def test_rows_are_in_the_order_of_the_host(k):
    """Energy per electron, then each order's index tuples in lexicographic order."""
    x = tuple(0.5 + torch.rand(k, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    rows, toy = xc_rows(Monomial(), x, 3), Monomial()
    indices = [index for order in (1, 2, 3) for index in combinations_with_replacement(range(k), order)]
    torch.testing.assert_close(rows[0], toy.derivative(x, ()) / (x[0] if k == 3 else x[0] + x[1]))
    for index, row in zip(indices, rows[1:], strict=True):
        torch.testing.assert_close(row, toy.derivative(x, index), msg=str(index))


@pytest.mark.parametrize("deriv", (0, 1, 2))
def test_lower_orders_are_the_first_rows_of_higher_ones(deriv):
    functional, v = random_functional(), variables(1)
    rows = xc_rows(functional, v, deriv)
    torch.testing.assert_close(rows, xc_rows(functional, v, deriv + 1)[: len(rows)], rtol=1e-13, atol=0)


@pytest.mark.parametrize("name, order", [(name, order) for name in FUNCTIONALS for order in (1, 2)] + [("random", 3)])
@pytest.mark.parametrize("spin", (0, 1))
def test_derivative_is_the_slope_of_the_order_below(name, order, spin):
    assert_derivative(FUNCTIONALS[name](), variables(spin), order)


@pytest.mark.parametrize("order", (1, 2))
def test_derivative_is_the_slope_in_a_molecule(order):
    v = variables_from_rows(torch.as_tensor(oh_radical()[..., ::40]))
    assert_derivative(random_functional(), v, order)


def spin_summed(v: np.ndarray) -> np.ndarray:
    """(n, σ, τ) of seven variables."""
    return np.stack((v[0] + v[1], abs(v[2] + 2 * v[3] + v[4]), v[5] + v[6]))


@pytest.mark.parametrize("name", ("mlxc_rs", "saturated"))
def test_nothing_is_nan_for_any_density(name, monkeypatch):
    """n from 1e-30 to 1e6, one orbital, one spin, no gradient, no τ, absurd gradients, noise below zero."""
    monkeypatch.setattr(derivatives, "RHO_CUTOFF", 0.0)
    v = extreme_densities()
    for x in (v, spin_summed(v)):
        assert_finite(FUNCTIONALS[name](), tuple(torch.as_tensor(x)))


def test_nothing_is_nan_for_random_variables():
    """Variables that have nothing to do with each other, one in five of them zero, some negative noise."""
    rng = np.random.default_rng(0)

    def positive(low, high, size=2000):
        return 10 ** rng.uniform(low, high, size) * (rng.random(size) < 0.8)

    na, nb, ga, gb, ta, tb = (positive(*bounds) for bounds in ((-16, 6),) * 2 + ((-20, 6),) * 2 + ((-20, 6),) * 2)
    nb, ta = nb - 1e-4 * na * (nb == 0), ta - 1e-10 * (ta == 0)
    v = np.stack((na, nb, ga**2, rng.uniform(-1, 1, 2000) * ga * gb, gb**2, ta, tb))
    v = v[:, v[0] + v[1] > 1e-14]
    for x in (v, spin_summed(v)):
        assert_finite(random_functional(), tuple(torch.as_tensor(x)))


def test_densities_below_the_cutoff_add_nothing():
    v = tuple(torch.tensor([derivatives.RHO_CUTOFF / 2, 1.0], dtype=torch.float64) for _ in range(3))
    rows = xc_rows(random_functional(), v, 2)
    assert not rows[:, 0].any() and rows[:, 1].all()


@pytest.mark.parametrize("spin", (0, 1))
def test_blocks_do_not_change_the_result(spin, monkeypatch):
    functional, v = random_functional(), variables(spin)
    whole = xc_rows(functional, v, 1)
    for chunk in (7, 39, 40, 41):
        monkeypatch.setattr(derivatives, "CHUNK", chunk)
        torch.testing.assert_close(xc_rows(functional, v, 1), whole, rtol=1e-10, atol=0)


def test_memory_does_not_grow_with_the_number_of_points(monkeypatch):
    """No more than CHUNK points are evaluated at once, and nothing of a block is alive when the next one begins."""
    monkeypatch.setattr(derivatives, "CHUNK", 50)
    functional = random_functional()
    sizes, alive = [], []

    class Watched:
        def edens(self, density):
            assert not any(r() is not None for r in alive), "the previous block is still in memory"
            energy = functional.edens(density)
            sizes.append(len(density.n))
            alive[:] = [weakref.ref(energy), weakref.ref(density.rho)]
            return energy

    rows = xc_rows(Watched(), variables(1, 180), 2)
    assert sizes == [50, 50, 50, 30]
    assert alive[0]() is None
    assert rows.grad_fn is None and not rows.requires_grad


def test_arguments_are_left_alone():
    v = variables(1)
    before = [x.clone() for x in v]
    xc_rows(random_functional(), v, 2)
    assert all(torch.equal(x, y) and not x.requires_grad for x, y in zip(v, before, strict=True))


def test_gradients_are_taken_inside_no_grad():
    functional, v = random_functional(), variables(0)
    with torch.no_grad():
        inside = xc_rows(functional, v, 2)
    assert torch.equal(inside, xc_rows(functional, v, 2))


def test_a_functional_of_the_density_alone_has_no_other_derivatives():
    class Density:
        def edens(self, density):
            return density.n**2

    rows = xc_rows(Density(), variables(0), 2)
    torch.testing.assert_close(rows[4], torch.full_like(rows[4], 2.0))
    assert not rows[[2, 3, 5, 6, 7, 8, 9]].any()


def test_no_points_are_no_error():
    empty = torch.empty(0, dtype=torch.float64)
    assert xc_rows(random_functional(), (empty,) * 7, 2).shape == (36, 0)


@pytest.mark.parametrize("spin", (0, 1))
def test_everything_is_computed_in_double_precision(spin):
    """A Python number times a boolean tensor has the default dtype: with another default the result may not change."""
    functional, v = random_functional(), variables(spin)
    rows = xc_rows(functional, v, 2)
    torch.set_default_dtype(torch.float64)
    try:
        other = xc_rows(functional, v, 2)
    finally:
        torch.set_default_dtype(torch.float32)
    assert rows.dtype == torch.float64
    torch.testing.assert_close(rows, other, rtol=1e-14, atol=0)


def test_single_precision_on_the_way_is_caught():
    class Single:
        def edens(self, density):
            return density.n * ((density.n > 0) * 0.1)

    v = variables(0)
    single = xc_rows(Single(), v, 0)
    torch.set_default_dtype(torch.float64)
    try:
        double = xc_rows(Single(), v, 0)
    finally:
        torch.set_default_dtype(torch.float32)
    assert (single / double - 1).abs().max() > 1e-10
