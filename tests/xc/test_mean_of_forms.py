"""The mean of a range-separated and a local hybrid: it is the mean in every derivative, and obeys what both obey."""

import pytest
import torch

from mlxc import zoo
from mlxc.errors import InvalidInput
from mlxc.testing import assert_closed_shell_consistent, assert_derivative, assert_spin_symmetric
from mlxc.xc import constraints, mean_of_forms, pointwise, violations
from mlxc.xc.density import Density, variables_from_rows
from mlxc.xc.derivatives import xc_rows
from mlxc.xc.ensemble import combine
from mlxc.xc.mean_of_forms import RangeSeparatedLocalHybrid
from mlxc.xc.relaxed import RelaxedRangeSeparated
from mlxc.zoo.store import untrained
from tests.densities import sampled
from tests.functionals import random_functional, random_local_hybrid

spins = pytest.mark.parametrize("spin", (0, 1))


def halves(scale: float = 0.4, seed: int = 1):
    return random_functional(scale, seed), random_local_hybrid(scale, seed + 10, hole=False)


def several(scale: float = 0.4):
    """Of three members each."""
    rs, lh = zip(*(halves(scale, seed) for seed in range(3)), strict=True)
    return combine(rs, "several_rs"), combine(lh, "several_lh")


def relaxed():
    network = {"width": 6, "depth": 2, "relaxed": ["bounds"]}
    return RelaxedRangeSeparated({"omega": 0.3, "sr_fraction": 0.2}, network, "relaxed")


MAKE = {"one of each": halves, "ensembles": several}
makes = pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)


@makes
@spins
def test_what_pyscf_evaluates_is_the_mean_with_its_derivatives(make, spin):
    rs, lh = make()
    variables = variables_from_rows(torch.as_tensor(sampled(spin)))
    each = torch.stack([xc_rows(f, variables, 2) for f in (rs, lh)])
    found = xc_rows(RangeSeparatedLocalHybrid(rs, lh), variables, 2)
    assert ((found - each.mean(0)).abs() <= 1e-12 * each.abs().amax(0) + 1e-300).all()


@makes
@spins
def test_the_local_part_is_half_of_the_local_hybrids(make, spin):
    """In the potential and the response too."""
    rs, lh = make()
    both, rho = RangeSeparatedLocalHybrid(rs, lh), torch.as_tensor(sampled(spin))
    drawn = violations.any_exact_exchange(Density.from_variables(variables_from_rows(rho)))
    exact = drawn[0] if spin == 0 else drawn
    for calculate, change in ((pointwise.value_and_gradient, ()),
                              (pointwise.hessian_product, (0.1 * rho, 0.2 * exact))):
        for found, whole in zip(calculate(both, rho, exact, *change), calculate(lh, rho, exact, *change), strict=True):
            torch.testing.assert_close(found, whole / 2, rtol=1e-12, atol=1e-14)


def test_one_electron_is_half_as_wrong_as_with_the_range_separated_hybrid():
    rs, lh = halves()
    both = RangeSeparatedLocalHybrid(rs, lh)
    found = [violations.exact_exchange_violation(f) for f in (both, rs, lh)]
    assert found[0] == pytest.approx(found[1] / 2, rel=1e-9) and found[1] > 0.1 > 1e-10 > found[2]


def test_exact_exchange_is_the_mean():
    both = RangeSeparatedLocalHybrid(*halves())
    assert (both.omega, both.sr_fraction, both.lr_fraction) == (0.3, 0.6, 1.0)
    assert (both.local_omega, both.b_max) == (0.4, 1.0)


@makes
@pytest.mark.parametrize("scale", (0.4, 3.0))
def test_every_law_of_both_holds(make, scale):
    measured = constraints.measure(RangeSeparatedLocalHybrid(*make(scale)))
    assert {m.id: m.violation for m in measured if m.claimed and not m.ok} == {}
    for some in ({m.id for m in measured if not m.claimed}, {m.id for m in measured if not m.ok}):
        assert some == {"one_electron_exchange"}


@pytest.mark.parametrize("half", ("rs", "lh"))
def test_a_broken_half_is_seen(half):
    both = RangeSeparatedLocalHybrid(*halves())
    with torch.no_grad():
        getattr(both, half).networks["exchange"].linear.weight[0, 0] = float("nan")
    assert {m.id for m in constraints.measure(both) if not m.ok} >= {"uniform_gas", "spin_scaling", "lieb_oxford"}


def test_spins_are_equal_and_potentials_derivatives():
    both = RangeSeparatedLocalHybrid(*several()).requires_grad_(False)
    assert_spin_symmetric(both, variables_from_rows(torch.as_tensor(sampled(1))))
    assert_closed_shell_consistent(both, variables_from_rows(torch.as_tensor(sampled(0))))
    assert_derivative(both, variables_from_rows(torch.as_tensor(sampled(1))[..., :20]), 1)


def test_members_are_means_of_members():
    rs, lh = several()
    both, density = RangeSeparatedLocalHybrid(rs, lh, "both"), violations.sampled_density(50)
    exact = violations.any_exact_exchange(density)
    assert both.members == 3
    for m in range(3):
        alone = both.member(m)
        assert alone.name == f"both_{m}" and alone.members == 1
        each = torch.stack([f.member(m).edens(density) for f in (rs, lh)])
        torch.testing.assert_close(alone.edens(density), each.mean(0))
        torch.testing.assert_close(both.member_edens(density)[m], alone.edens(density))
        torch.testing.assert_close(both.member_replacement(density, exact)[m], alone.replacement(density, exact))
    with pytest.raises(InvalidInput, match="has no members"):
        RangeSeparatedLocalHybrid(*halves()).member(0)


@pytest.mark.parametrize("members", (1, 2))
def test_it_is_made_from_what_a_card_says(members):
    exchange = {"omega": 0.3, "sr_fraction": 0.6, "local_omega": 0.4, "b_max": 1.0}
    made = mean_of_forms.untrained(exchange, {"width": 6, "depth": 2}, "made", members)
    like = RangeSeparatedLocalHybrid(*(halves() if members == 1 else (combine([f] * members, "x") for f in halves())))
    assert {k: v.shape for k, v in made.state_dict().items()} == {k: v.shape for k, v in like.state_dict().items()}
    assert (made.omega, made.local_omega, made.b_max, made.members) == (0.3, 0.4, 1.0, members)
    assert made.sr_fraction == pytest.approx(0.6, abs=1e-15)


@pytest.mark.parametrize("make, reason", [
    (lambda: halves()[::-1], "the mean of LocalHybrid and RangeSeparated: expected"),
    (lambda: (several()[0], halves()[1]), "the mean of RangeSeparatedEnsemble and LocalHybrid"),
    (lambda: (relaxed(), halves()[1]), "the mean of RelaxedRangeSeparated and LocalHybrid"),
    (lambda: (random_functional(width=5), halves()[1]), "'width': 5"),
    (lambda: (halves()[0], random_local_hybrid()), "'hole': True"),
    (lambda: (untrained("rs", {"omega": 0.3, "sr_fraction": 0.2}, halves()[0].network | {"zeta2": False}, "x"),
              halves()[1]), "'zeta2': False.* the first with ζ²"),
    (lambda: (several()[0], combine([halves()[1]] * 2, "two")), "has 3 members .* two 2 of"),
])
def test_what_has_no_mean_is_refused(make, reason):
    with pytest.raises(InvalidInput, match=reason):
        RangeSeparatedLocalHybrid(*make())


def test_the_shipped_one_is_the_mean_of_the_shipped_two():
    shipped, expected = zoo.load("mlxc_rslh"), {}
    for part in ("rs", "lh"):
        model = zoo.load(f"mlxc_{part}")
        expected |= {f"{part}.{key}": value for key, value in model.state_dict().items()}
        named = shipped.card["training"]["parts"][model.name]
        assert (named["version"], named["sha256"]) == (model.card["version"], model.card["weights"]["sha256"])
    assert shipped.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[key]) for key, value in shipped.state_dict().items())
