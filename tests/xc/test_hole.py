"""The exchange hole as an input of a local hybrid's b: its values, its limits, what a card and a configuration say."""

import pytest
import torch

from mlxc.errors import InvalidInput
from mlxc.xc import features, violations
from mlxc.xc.functional import LocalHybrid
from mlxc.xc.reference.lda import short_range_lda_exchange
from mlxc.zoo.store import untrained
from tests.functionals import random_local_hybrid

EXCHANGE = {"local_omega": 0.5, "b_max": 2.0}
NETWORK = {"width": 3, "depth": 1, "hole": True}


def test_it_is_a_half_in_the_uniform_gas_small_where_spread_out_and_one_where_compact():
    gas = torch.tensor([-1e-6, -0.3, -1e3], dtype=torch.float64)
    torch.testing.assert_close(features.hole(gas, gas), torch.full_like(gas, 0.5))
    torch.testing.assert_close(features.hole(0.1 * gas, gas), torch.full_like(gas, 0.01 / 1.01))
    assert (features.hole(10 * gas, gas) > 0.99).all() and (features.hole(0 * gas, gas) == 0).all()


def test_nothing_over_nothing_is_zero_without_a_slope():
    exact = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    h = features.hole(exact, torch.zeros(1, dtype=torch.float64))
    slope, = torch.autograd.grad(h.sum(), exact)
    assert h == 0 and slope == 0


def test_each_channel_sees_its_own_hole_and_that_of_both():
    functional = random_local_hybrid(local_omega=0.5)
    density = violations.sampled_density(50)
    exact = violations.any_exact_exchange(density)
    gas = torch.stack([short_range_lda_exchange(rho, 0.5) for rho in density.rho])
    for spin, term in enumerate(functional.replacement_terms(density, exact)):
        torch.testing.assert_close(term.inputs[:, 3], features.hole(exact[spin], gas[spin]))
        torch.testing.assert_close(term.inputs[:, 4], features.hole(exact.sum(0), gas.sum(0)))


def test_exchange_itself_does_not_see_it():
    functional, density = random_local_hybrid(), violations.sampled_density(50)
    exact = violations.any_exact_exchange(density)
    for some, other in zip(*(functional.replacement_terms(density, f * exact) for f in (1, 2)), strict=True):
        assert (some.inputs[:, 3:] != other.inputs[:, 3:]).any()
        assert torch.equal(functional.exponent(some), functional.exponent(other))


@pytest.mark.parametrize("fade", (1e-3, 1e-6, 1e-9, 0.0))
def test_a_fading_channel_pulls_at_nothing(fade):
    """The derivative in exact exchange does not grow as a channel fades; with the other spin's hole it reaches 5e8."""
    functional = random_local_hybrid(3.0)
    density, exact = violations.sampled_density(200), violations.any_exact_exchange(violations.sampled_density(200))
    few = torch.tensor([1.0, fade], dtype=torch.float64)
    density = type(density)(few[:, None] * density.rho,
                            torch.stack((few[0] ** 2, few.prod(), few[1] ** 2))[:, None] * density.sigma,
                            few[:, None] * density.tau)
    exact = (few[:, None] * exact).requires_grad_()
    slope, = torch.autograd.grad(functional.replacement(density, exact).sum(), exact)
    assert torch.isfinite(slope).all() and slope.abs().max() < 2 * functional.b_max


def test_a_network_without_it_is_another_form():
    with_holes, without = (untrained("lh", EXCHANGE, NETWORK | {"hole": hole}, "x") for hole in (True, False))
    assert isinstance(with_holes, LocalHybrid) and with_holes.network == NETWORK
    assert without.network == {"width": 3, "depth": 1}
    assert sum(p.numel() for p in with_holes.parameters()) > sum(p.numel() for p in without.parameters())


def test_a_functional_without_local_exact_exchange_cannot_have_it():
    with pytest.raises(InvalidInput, match="hole = true is for kind 'lh'"):
        untrained("rs", {"omega": 0.3, "sr_fraction": 0.2}, NETWORK, "x")
