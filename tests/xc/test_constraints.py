"""Every law of the table holds whatever the weights are, and every measure catches a functional that breaks it."""

import functools
import re

import numpy as np
import pytest
import torch

import mlxc.xc.derivatives
import mlxc.xc.features
import mlxc.xc.functional
import mlxc.xc.pointwise
from mlxc import zoo
from mlxc.host import physics
from mlxc.testing import assert_obeys
from mlxc.xc import constraints, violations
from tests.functionals import random_functional, random_local_hybrid
from tests.violators import VIOLATORS, violator

IDS = [c.id for c in constraints.CONSTRAINTS]

MAKE = {
    "mlxc_rs": lambda: zoo.load("mlxc_rs"),
    "random": lambda: random_functional(3.0),
    "saturated": lambda: random_functional(10.0, seed=2),
    "untrained": lambda: random_functional(0.0),
    "local hybrid, random": lambda: random_local_hybrid(3.0),
    "local hybrid, saturated": lambda: random_local_hybrid(10.0, seed=2),
    "local hybrid, without the hole": lambda: random_local_hybrid(3.0, hole=False),
    "local hybrid, untrained": lambda: random_local_hybrid(0.0),
}


def claims_of(functional) -> list[str]:
    return constraints.CLAIMS[functional.kind]


@pytest.mark.parametrize("law", IDS)
@pytest.mark.parametrize("kind", MAKE)
def test_law_holds(kind, law):
    functional = MAKE[kind]()
    if law not in claims_of(functional):
        pytest.skip("not claimed")
    assert_obeys(functional, law)


@pytest.mark.parametrize("mixin, law, base", VIOLATORS)
def test_violator_breaks_its_own_law_and_no_other(mixin, law, base):
    functional = violator(mixin, base)
    with pytest.raises(AssertionError, match=f"^{law} "):
        assert_obeys(functional, law)
    assert {m.id for m in constraints.measure(functional) if m.claimed and not m.ok} == {law}


@pytest.mark.parametrize("seed", range(3))
def test_replacement_vanishes_for_one_orbital_whatever_its_exact_exchange_is(seed, monkeypatch):
    """In energy, potential and response."""
    drawn = functools.partial(violations.any_exact_exchange, seed=10 + seed)
    monkeypatch.setattr(violations, "any_exact_exchange", drawn)
    assert violations.exact_exchange_violation(random_local_hybrid(3.0, seed=seed)) < 1e-10


def test_a_range_separated_hybrid_does_not_claim_what_it_cannot_hold():
    measured = {m.id: m for m in constraints.measure(random_functional(3.0))}
    law = measured.pop("one_electron_exchange")
    assert not law.claimed and law.violation > 0.5
    assert all(m.claimed for m in measured.values())


def test_every_law_has_a_violator():
    assert {law for _, law, _ in VIOLATORS} == set(IDS)


def test_every_claim_has_a_measure():
    measured = {*IDS, *(c.id for c in physics.CONSTRAINTS)}
    assert set(constraints.CLAIMS["lh"]) == measured
    assert set(constraints.CLAIMS["rs"]) < measured


def test_no_range_separation_has_no_long_range_exchange():
    functional = random_functional(omega=0.0)
    with pytest.raises(AssertionError):
        assert_obeys(functional, "long_range_exchange")


def test_nan_is_a_violation():
    functional = random_functional()
    with torch.no_grad():
        functional.networks["exchange"].linear.weight[0, 0] = float("nan")
    assert {m.id for m in constraints.measure(functional) if not m.ok} >= {"uniform_gas", "spin_scaling"}


def test_claims_come_from_the_card():
    model = zoo.load("mlxc_rs")
    measured = constraints.measure(model)
    assert [m.id for m in measured] == IDS
    assert {m.id for m in measured if m.claimed} == set(model.card["claims"]) & set(IDS)
    assert all(m.claimed for m in constraints.measure(random_local_hybrid()))


def test_every_constraint_has_its_equation_and_source():
    for c in constraints.CONSTRAINTS:
        assert c.law and c.enforced and c.tolerance <= 1e-10
        assert c.source.startswith("doi:10.") or c.id == "spin_symmetry"


@pytest.mark.parametrize("constraint", constraints.CONSTRAINTS + physics.CONSTRAINTS, ids=lambda c: c.id)
def test_the_table_names_code_that_exists(constraint):
    """`functional.Learned.exponent` and the like resolve in `mlxc.xc`."""
    names = re.findall(r"\b(?:constraints|derivatives|features|functional|pointwise)(?:\.\w+)+", constraint.enforced)
    assert names or constraint.enforced == "the training data"
    for name in names:
        functools.reduce(getattr, name.split("."), mlxc.xc)


def indicator(x: float, order: int) -> float:
    """S(x) or a derivative, through z with ζ = 1."""
    z = torch.tensor([x ** (1 / constraints.Z_POWER)], dtype=torch.float64, requires_grad=True)
    value = constraints.one_electron(z, torch.ones_like(z))
    for _ in range(order):
        (value,) = torch.autograd.grad(value.sum(), z, create_graph=True)
    return value.item()


def test_indicator_is_one_without_slope_or_curvature_at_one_orbital():
    assert [indicator(1.0, order) for order in range(3)] == pytest.approx([1, 0, 0], abs=1e-12)
    assert abs(indicator(1.0, 3)) > 100  # the third derivative is the first that stays


def test_indicator_is_between_0_and_1_and_rises():
    values = [indicator(x, 0) for x in np.linspace(0, 1, 101)]
    assert values[0] == 0 and all(a < b <= 1 for a, b in zip(values, values[1:], strict=False))


def test_indicator_is_one_for_noise_above_one():
    z = torch.tensor([1 + 1e-12, 1.5], dtype=torch.float64)
    assert constraints.one_electron(z, torch.ones_like(z)).tolist() == [1, 1]


def test_indicator_is_zero_in_closed_shells():
    z = torch.linspace(0, 1, 11, dtype=torch.float64)
    assert not constraints.one_electron(z, torch.zeros_like(z)).any()


def test_sampled_densities_are_those_of_electrons():
    """τ_σ ≥ τ_Wσ and |∇n_a·∇n_b| ≤ |∇n_a||∇n_b|: no law is measured where no density can be."""
    d = violations.sampled_density()
    assert (d.tau >= d.sigma[::2] / (8 * d.rho) * (1 - 1e-12)).all()
    assert (d.sigma[1] ** 2 <= d.sigma[0] * d.sigma[2] * (1 + 1e-12)).all()
