"""The dimensionless variables: their definitions, bounds, limits and invariances."""

from math import pi

import pytest
import torch

from mlxc.testing import assert_derivative, assert_finite
from mlxc.xc import features, violations
from mlxc.xc.density import Density

SAMPLED = violations.sampled_density(500)
FIELDS = ("u", "w", "z", "r")


def channels(d: Density):
    return [features.channel(d.rho[s], d.sigma[2 * s], d.tau[s]) for s in (0, 1)]


def test_variables_equal_their_definitions():
    d, x = SAMPLED, features.total(SAMPLED)
    kf = (3 * pi**2 * d.n) ** (1 / 3)
    s2 = d.sigma_total / (2 * kf * d.n) ** 2
    tau_w = d.sigma_total / (8 * d.n)
    tau_ueg = 0.3 * (6 * pi**2) ** (2 / 3) * (d.rho ** (5 / 3)).sum(0)
    rs = (3 / (4 * pi * d.n)) ** (1 / 3)
    mu_over_kappa = 0.06672455060314922 * pi**2 / 3 / 0.804
    expected = {"kf": kf, "s2": s2, "u": mu_over_kappa * s2 / (1 + mu_over_kappa * s2), "z": tau_w / d.tau_total,
                "w": 1 - 2 * (d.tau_total - tau_w) / (d.tau_total + tau_ueg), "r": rs / (1 + rs)}
    for name, value in expected.items():
        torch.testing.assert_close(getattr(x, name), value, rtol=1e-13, atol=1e-13)


def test_channel_is_the_closed_shell_made_of_it():
    """Spin scaling: the variables of n_σ are those of the total density 2n_σ."""
    for spin, (occupied, x) in enumerate(channels(SAMPLED)):
        doubled = features.total(violations.channel_doubled(SAMPLED, spin))
        assert occupied.all()
        for name in ("kf", "s2", *FIELDS):
            torch.testing.assert_close(getattr(x, name), getattr(doubled, name), rtol=1e-12, atol=1e-13)


def test_inputs_are_bounded():
    for x in (features.total(SAMPLED), *(x for _, x in channels(SAMPLED))):
        assert (x.u >= 0).all() and (x.u < 1).all()
        assert (x.w > -1).all() and (x.w <= 1).all()
        assert (x.z >= 0).all() and (x.z <= 1 + 1e-12).all()
        assert (x.r > 0).all() and (x.r < 1).all()


def test_gradient_and_kinetic_variables_vanish_together_in_the_uniform_gas():
    gas = violations.uniform_gas()
    for x in (features.total(gas), *(x for _, x in channels(gas))):
        assert not x.u.any()
        assert x.w.abs().max() < 1e-15


def test_one_orbital_has_z_and_w_of_one():
    for d in (violations.one_orbital(), violations.swapped(violations.one_orbital())):
        x = features.total(d)
        for value in (x.z, x.w):
            torch.testing.assert_close(value, torch.ones_like(value), rtol=0, atol=1e-14)


def test_dimensionless_variables_do_not_change_under_scaling():
    for factor in (0.01, 3.0):
        x, scaled = (features.total(d) for d in (SAMPLED, violations.scaled(SAMPLED, factor)))
        for name in ("s2", "u", "w", "z"):
            torch.testing.assert_close(getattr(scaled, name), getattr(x, name), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(scaled.kf, factor * x.kf, rtol=1e-13, atol=0)


def test_polarisation_is_symmetric_and_between_0_and_1():
    zeta2 = features.zeta2(SAMPLED)
    torch.testing.assert_close(features.zeta2(violations.swapped(SAMPLED)), zeta2, rtol=1e-14, atol=0)
    assert (zeta2 >= 0).all() and (zeta2 <= 1).all()
    assert torch.equal(features.zeta2(violations.one_orbital()), torch.ones(4000, dtype=torch.float64))


def test_polarisation_of_closed_shells_is_zero():
    n = torch.rand(9, dtype=torch.float64)
    assert not features.zeta2(Density.unpolarized(n, n, n)).any()


def test_empty_channel_is_switched_off_without_a_gradient():
    zero = torch.zeros(3, 1, dtype=torch.float64, requires_grad=True)
    occupied, x = features.channel(*zero)
    assert not occupied.any() and occupied.dtype == torch.float64
    assert all(torch.isfinite(getattr(x, name)).all() for name in ("kf", *FIELDS))
    total = sum(getattr(x, name).sum() for name in ("kf", *FIELDS))
    assert not torch.autograd.grad(total, zero)[0].any()


def test_stationary_point_of_an_orbital_counts_as_one_orbital():
    """Where ∇φ = 0, τ and τ_W vanish together."""
    n, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    x = features.total(Density.from_variables((n, zero, zero, zero, zero, zero, zero)))
    assert (x.z.item(), x.w.item()) == (1, 1)


def test_negative_noise_of_tau_counts_as_zero():
    n, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    noise, none = (features.total(Density.unpolarized(n, zero, tau)) for tau in (zero - 1e-12, zero))
    assert all(torch.equal(getattr(noise, name), getattr(none, name)) for name in FIELDS)


class Sum:
    """n times the sum of the variables as a functional, so that their derivatives can be tested."""

    def edens(self, density):
        x = features.total(density)
        return density.n * (x.u + x.w + x.z + x.r + features.zeta2(density))


@pytest.mark.parametrize("order", (1, 2, 3))
def test_variables_are_smooth(order):
    variables = tuple(v[:40] for v in (*SAMPLED.rho, *SAMPLED.sigma, *SAMPLED.tau))
    assert_derivative(Sum(), variables, order)


def test_derivatives_are_finite_at_zero_gradient_and_zero_minority():
    """No square root of σ, no |ζ|, no n_b^(5/3) whose second derivative is infinite at n_b = 0."""
    n = torch.logspace(-12, 4, 9, dtype=torch.float64)
    zero, tau = torch.zeros_like(n), n ** (5 / 3)
    assert_finite(Sum(), (n, zero, zero, zero, zero, tau, zero))
    assert_finite(Sum(), (n, n, zero, zero, zero, tau, tau))
