"""Every law of the table holds whatever the weights are, and every measure catches a functional that breaks it."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from mlxc import zoo
from mlxc.testing import assert_obeys
from mlxc.xc import constraints, features, violations
from mlxc.xc.functional import RangeSeparated
from mlxc.xc.reference.lda import stoll_partition
from tests.functionals import random_functional

IDS = [c.id for c in constraints.CONSTRAINTS]


@pytest.mark.parametrize("law", IDS)
@pytest.mark.parametrize("make", (lambda: zoo.load("mlxc_rs"), lambda: random_functional(3.0),
                                  lambda: random_functional(10.0, seed=2), lambda: random_functional(0.0)),
                         ids=("mlxc_rs", "random", "saturated", "untrained"))
def test_law_holds(make, law):
    assert_obeys(make(), law)


class Changed(RangeSeparated):
    """A functional each of whose terms is changed."""

    def exchange_terms(self, density):
        return self.all_changed(super().exchange_terms(density), density)

    def correlation_terms(self, density):
        return self.all_changed(super().correlation_terms(density), density)

    def all_changed(self, terms, density):
        seen = Counter()
        for term in terms:
            yield self.changed(term, density, seen[term.network])
            seen[term.network] += 1

    def changed(self, term, density, spin):
        return term


class Offset(Changed):
    """G is not 1 in the uniform gas."""

    def exponent(self, term):
        return super().exponent(term) + (0.01 if term.network == "opposite_spin" else 0)


class WithoutGate(Changed):
    """q = 0: the energy vanishes, for 1 − w_σ and Stoll's partition do, the potential of the empty channel does not."""

    def indicator(self, z, zeta2):
        return torch.zeros_like(z)

    def correlation_terms(self, density):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(constraints, "one_electron", self.indicator)
            yield from super().correlation_terms(density)


class PlainGate(WithoutGate):
    """q = z² ζ²: energy and potential vanish, the kernel does not."""

    def indicator(self, z, zeta2):
        return z**2 * zeta2


class WithoutLikeSpinFactor(Changed):
    """1 − w_σ is left out."""

    def changed(self, term, density, spin):
        if term.network != "same_spin":
            return term
        gate = 1 - constraints.one_electron(features.total(density).z, features.zeta2(density))
        return replace(term, gas=gate * stoll_partition(density)[spin])


class Unbounded(Changed):
    """κ = 1.2 in correlation: G can be negative."""

    def changed(self, term, density, spin):
        return term if term.network == "exchange" else replace(term, kappa=1.2)


class Lopsided(Changed):
    """ζ in place of ζ² among the inputs."""

    def changed(self, term, density, spin):
        if term.network != "opposite_spin":
            return term
        zeta = (density.rho[0] - density.rho[1]) / density.n
        return replace(term, inputs=torch.cat((term.inputs[:, :3], zeta[:, None]), -1))


class TotalDensityExchange(Changed):
    """Exchange of one spin that knows of the other."""

    def changed(self, term, density, spin):
        return replace(term, u=features.total(density).u) if term.network == "exchange" else term


class DimensionalExchange(Changed):
    """Exchange with r_s among its inputs."""

    def changed(self, term, density, spin):
        if term.network != "exchange":
            return term
        r = features.channel(density.rho[spin], density.sigma[2 * spin], density.tau[spin])[1].r
        return replace(term, inputs=torch.cat((term.inputs[:, :2], r[:, None]), -1))


class LooseBound(Changed):
    """F from 0 to 2."""

    def changed(self, term, density, spin):
        return replace(term, kappa=1.0) if term.network == "exchange" else term


class ShortTail(Changed):
    """Nine tenths of long-range exchange."""

    lr_fraction = 0.9


VIOLATORS = (
    (Offset, "uniform_gas"),
    (WithoutGate, "one_electron_correlation"),
    (PlainGate, "one_electron_correlation"),
    (WithoutLikeSpinFactor, "like_spin_correlation"),
    (Unbounded, "correlation_sign"),
    (Lopsided, "spin_symmetry"),
    (TotalDensityExchange, "spin_scaling"),
    (DimensionalExchange, "coordinate_scaling"),
    (LooseBound, "lieb_oxford"),
    (ShortTail, "long_range_exchange"),
)


@pytest.mark.parametrize("kind, law", VIOLATORS)
def test_violator_breaks_its_own_law_and_no_other(kind, law):
    violator = random_functional(3.0, seed=2, kind=kind)
    with pytest.raises(AssertionError, match=f"^{law} "):
        assert_obeys(violator, law)
    assert {m.id for m in constraints.measure(violator) if not m.ok} == {law}


def test_every_law_has_a_violator():
    assert {law for _, law in VIOLATORS} == set(IDS)


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
    assert all(m.claimed for m in constraints.measure(random_functional()))


def test_every_constraint_has_its_equation_and_source():
    for c in constraints.CONSTRAINTS:
        assert c.law and c.enforced and c.tolerance <= 1e-10
        assert c.source.startswith("doi:10.") or c.id == "spin_symmetry"


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
