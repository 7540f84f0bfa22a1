"""The mean of several functionals: it is the mean, of each kind and in every derivative, and obeys what they obey."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from mlxc.errors import InvalidInput
from mlxc.testing import assert_closed_shell_consistent, assert_derivative, assert_spin_symmetric
from mlxc.xc import constraints, pointwise, violations
from mlxc.xc.density import Density, variables_from_rows
from mlxc.xc.derivatives import xc_rows
from mlxc.xc.ensemble import combine, seeing
from mlxc.xc.network import Network, StackedNetwork
from mlxc.zoo.store import untrained
from tests.densities import sampled
from tests.functionals import random_functional, random_local_hybrid, randomised

MAKE = {"rs": random_functional, "lh": random_local_hybrid}

EXCHANGE = {"rs": {"omega": 0.3, "sr_fraction": 0.2}, "lh": {"local_omega": 0.5, "b_max": 2.0}}

kinds = pytest.mark.parametrize("kind", MAKE)
spins = pytest.mark.parametrize("spin", (0, 1))


def members(kind: str, scale: float = 0.4):
    return [MAKE[kind](scale, seed=seed) for seed in range(3)]


def rows(spin: int) -> torch.Tensor:
    return torch.as_tensor(sampled(spin))


def exact_exchange(rho: torch.Tensor) -> torch.Tensor:
    """Some e_x^{SR,HF} at the points of `rows`: one spin's of a closed shell."""
    density = Density.from_variables(variables_from_rows(rho))
    drawn = violations.any_exact_exchange(density)
    return drawn[0] if rho.ndim == 2 else drawn


def mean(values):
    return torch.stack(list(values)).mean(0)


@kinds
@spins
def test_energy_and_derivatives_are_the_means(kind, spin):
    alone, variables = members(kind), variables_from_rows(rows(spin))
    expected = mean(xc_rows(f, variables, 2) for f in alone)
    scale = torch.stack([xc_rows(f, variables, 2).abs() for f in alone]).amax(0)
    found = xc_rows(combine(alone, "mean"), variables, 2)
    assert ((found - expected).abs() <= 1e-10 * scale + 1e-300).all()


@spins
def test_replacement_is_the_mean_of_products(spin):
    """b_m (e_m − e_HF), and not the product of the members' means; potential and response too."""
    alone, rho = members("lh"), rows(spin)
    exact, whole = exact_exchange(rho), combine(alone, "mean")
    for found, *each in zip(*(pointwise.value_and_gradient(f, rho, exact) for f in (whole, *alone)), strict=True):
        torch.testing.assert_close(found, mean(each), rtol=1e-10, atol=1e-12)
    change = rho * 0.1, exact * 0.2
    for found, *each in zip(*(pointwise.hessian_product(f, rho, exact, *change) for f in (whole, *alone)),
                            strict=True):
        torch.testing.assert_close(found, mean(each), rtol=1e-9, atol=1e-9)


@kinds
def test_members_energies_come_side_by_side(kind):
    alone = members(kind)
    whole, density = combine(alone, "mean"), violations.sampled_density(200)
    exact = violations.any_exact_exchange(density)
    torch.testing.assert_close(whole.member_edens(density).detach(), torch.stack([f.edens(density) for f in alone]),
                               rtol=1e-12, atol=0)
    if kind == "lh":
        expected = torch.stack([f.replacement(density, exact) for f in alone])
        torch.testing.assert_close(whole.member_replacement(density, exact).detach(), expected, rtol=1e-10, atol=1e-13)


@kinds
def test_a_member_by_itself_is_what_was_combined(kind):
    alone, density = members(kind), violations.sampled_density(50)
    whole = combine(alone, "mean")
    for m, f in enumerate(alone):
        again = whole.member(m)
        assert type(again) is type(f) and again.name == f"mean_{m}" and again.members == 1
        assert torch.equal(again.edens(density), f.edens(density))


@kinds
@pytest.mark.parametrize("scale", (0.4, 3.0))
def test_every_law_of_the_members_holds_for_the_mean(kind, scale):
    measured = [m for m in constraints.measure(combine(members(kind, scale), "mean")) if m.claimed]
    assert len(measured) >= 9
    assert {m.id: m.violation for m in measured if not m.ok} == {}


def test_one_broken_member_is_seen():
    whole = combine(members("rs"), "mean")
    with torch.no_grad():
        whole.networks["exchange"].linear.weight[1, 0, 0] = float("nan")
    assert {m.id for m in constraints.measure(whole) if not m.ok} >= {"uniform_gas", "spin_scaling"}


@kinds
def test_spins_are_equal_and_potentials_derivatives(kind):
    whole = combine(members(kind), "mean").requires_grad_(False)
    assert_spin_symmetric(whole, variables_from_rows(rows(1)))
    assert_closed_shell_consistent(whole, variables_from_rows(rows(0)))
    assert_derivative(whole, variables_from_rows(rows(1)[..., :20]), 1)


@pytest.mark.parametrize("kind, seen", [("rs", {"zeta2": False}), ("lh", {"zeta2": True}), ("lh", {"hole": True}),
                                        ("lh", {"zeta2": True, "hole": True})])
def test_members_may_see_different_things(kind, seen):
    """The mean has every input that one of them sees, and each member is what it was, with its laws."""
    size = {"width": 3, "depth": 1}
    alone = [randomised(lambda network=network: untrained(kind, EXCHANGE[kind], network, "x"), 0.4, seed)
             for seed, network in enumerate((size, size | seen, size))]
    whole, density = combine(alone, "mean"), violations.sampled_density(200)
    assert (whole.zeta2, getattr(whole, "hole", False)) == (kind == "rs" or "zeta2" in seen, "hole" in seen)
    torch.testing.assert_close(whole.member_edens(density), torch.stack([f.edens(density) for f in alone]),
                               rtol=1e-12, atol=0)
    if kind == "lh":
        exact = violations.any_exact_exchange(density)
        torch.testing.assert_close(whole.member_replacement(density, exact),
                                   torch.stack([f.replacement(density, exact) for f in alone]), rtol=1e-10, atol=1e-13)
    assert {m.id: m.violation for m in constraints.measure(whole) if m.claimed and not m.ok} == {}
    for m, f in enumerate(alone):
        again = seeing(whole.member(m), f.network | {"zeta2": f.zeta2})
        assert again.network == f.network and again.networks.keys() == f.networks.keys()
        assert all(torch.equal(value, f.state_dict()[key]) for key, value in again.state_dict().items())
    odd, lacking = (0, 1) if kind == "rs" else (1, 0)
    with pytest.raises(InvalidInput, match="which see more than"):
        seeing(whole.member(odd), alone[lacking].network)


@kinds
def test_the_mean_can_be_trained(kind):
    """∂E/∂θ_m is 1/M of the member's own, term by term."""
    alone, density = members(kind), violations.sampled_density(50)
    whole = combine(alone, "mean")
    term = next(iter(whole.correlation_terms(density)))
    whole.term_energy(term).sum().backward()
    for m, f in enumerate(alone):
        f.requires_grad_(True)
        f.term_energy(term).sum().backward()
        expected = f.networks[term.network].linear.weight.grad / 3
        torch.testing.assert_close(whole.networks[term.network].linear.weight.grad[m], expected)


def test_stacked_networks_are_those_of_the_stack_and_smooth():
    torch.manual_seed(0)
    alone = [Network(2, (0.3, 1.0), width=3, depth=2).double() for _ in range(3)]
    for network in alone:
        torch.nn.init.normal_(network.out.weight)
    stacked = StackedNetwork(alone)
    x = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(stacked(x), torch.stack([network(x) for network in alone]))
    assert gradcheck(stacked, x) and gradgradcheck(stacked, x)
    assert {key: values.shape[1:] for key, values in stacked.state_dict().items()} == {
        key: values.shape for key, values in alone[0].state_dict().items()}


@pytest.mark.parametrize("functionals, reason", [
    (lambda: [random_functional()], "an ensemble of 1 functionals: expected two or more"),
    (lambda: [random_functional(), random_local_hybrid()], "differ in form: mlxc_random_lh is LocalHybrid"),
    (lambda: [random_functional(), random_functional(width=5)], "'width': 5"),
    (lambda: [random_functional(), random_functional(omega=0.4)], "'omega': 0.4"),
    (lambda: [combine(members("rs"), "mean")] * 2, "'mean' is a RangeSeparatedEnsemble, expected one of RangeSep"),
    (lambda: ["mlxc_rs", "mlxc_lh"], "'mlxc_rs' is a str"),
])
def test_what_is_not_of_one_form_is_refused(functionals, reason):
    with pytest.raises(InvalidInput, match=reason):
        combine(functionals(), "mean")
