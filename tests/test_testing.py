"""The public assertions: each passes on a functional that obeys, and catches one that does not."""

import pytest
import torch

from mlxc import testing
from mlxc.errors import InvalidInput
from mlxc.xc.density import variables_from_rows
from mlxc.xc.functional import RangeSeparated
from mlxc.xc.reference import reference
from tests.densities import sampled
from tests.functionals import random_functional

LDA, PBE = reference("lda_pw"), reference("pbe")


def variables(spin: int):
    return variables_from_rows(torch.as_tensor(sampled(spin, size=40)))


class Toy:
    """A functional from a formula."""

    def __init__(self, edens):
        self.edens = edens


def test_finite_accepts_and_refuses():
    testing.assert_finite(PBE, variables(1))
    v = variables(0)
    zero = (v[0], torch.zeros_like(v[1]), v[2])
    with pytest.raises(AssertionError, match="not finite at 40 of 40 points"):
        testing.assert_finite(Toy(lambda d: d.sigma_total.sqrt()), zero, deriv=1)


@pytest.mark.parametrize("spin", (0, 1))
@pytest.mark.parametrize("order", (1, 2, 3))
def test_derivative_accepts_and_refuses(spin, order):
    testing.assert_derivative(PBE, variables(spin), order)
    detached = Toy(lambda d: d.n ** (4 / 3) * (1 + d.sigma_total.detach() / d.n ** (8 / 3)))
    with pytest.raises(AssertionError, match="is not the slope of"):
        testing.assert_derivative(detached, variables(spin), order)


def test_derivative_refuses_nan():
    with pytest.raises(AssertionError):
        testing.assert_derivative(Toy(lambda d: d.n * float("nan")), variables(0), 1)


def test_spin_symmetry_accepts_and_refuses():
    testing.assert_spin_symmetric(PBE, variables(1))
    with pytest.raises(AssertionError, match="exchanging the spins"):
        testing.assert_spin_symmetric(Toy(lambda d: LDA.edens(d) * (1 + 1e-9 * d.rho[0])), variables(1))
    with pytest.raises(InvalidInput, match="3 variables"):
        testing.assert_spin_symmetric(PBE, variables(0))


def test_spin_symmetry_sees_the_potentials():
    """An energy that is symmetric where it is evaluated, with a derivative that is not."""
    skew = Toy(lambda d: LDA.edens(d) + 1e-3 * (d.rho[0] - d.rho[0].detach()))
    with pytest.raises(AssertionError):
        testing.assert_spin_symmetric(skew, variables(1))


def test_closed_shell_consistency_accepts_and_refuses():
    testing.assert_closed_shell_consistent(PBE, variables(0))
    once = Toy(lambda d: LDA.edens(d) * (0.5 if d.closed_shell else 1.0))
    with pytest.raises(AssertionError, match="closed shell"):
        testing.assert_closed_shell_consistent(once, variables(0))


def test_obeys_accepts_and_refuses():
    functional = random_functional()
    testing.assert_obeys(functional, "long_range_exchange")
    functional.__class__ = type("Short", (RangeSeparated,), {"lr_fraction": 0.9})
    with pytest.raises(AssertionError, match="long_range_exchange .* violated by 1.0e-01"):
        testing.assert_obeys(functional, "long_range_exchange")
    with pytest.raises(InvalidInput, match="did you mean uniform_gas"):
        testing.assert_obeys(functional, "uniform-gas")
