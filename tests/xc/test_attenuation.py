"""The attenuation factor against many-digit arithmetic, and its limits."""

import mpmath
import pytest
import torch

from mlxc.xc.reference.attenuation import SERIES_FROM, attenuation
from tests.xc.test_safe import derivatives

POINTS = (1e-8, 1e-4, 0.01, 0.0299, 0.0301, 0.1, 0.3, 0.6, 0.9999, SERIES_FROM, 1.0001, 1.3, 4.0, 60.0, 1e4, 1e12)
"""x = ω/k_F, with both sides of every border between formulas."""


def exact_derivatives(x: float) -> list[mpmath.mpf]:
    """A, A′, A″, A‴ by the closed form and numerical differentiation in 300 digits."""
    def closed_form(x):
        y = 1 / x
        gauss = mpmath.exp(-y * y)
        brace = mpmath.sqrt(mpmath.pi) * mpmath.erf(y) + (x - x**3 / 2) * gauss - 3 * x / 2 + x**3 / 2
        return 1 - 4 * x / 3 * brace

    with mpmath.workdps(300):
        step = x * mpmath.mpf(10) ** -60
        taylor = mpmath.taylor(closed_form, mpmath.mpf(x), 3, h=step)
        return [mpmath.factorial(k) * coefficient for k, coefficient in enumerate(taylor)]


def assert_attenuation(f, points=POINTS, rtol=1e-13):
    ours = derivatives(f, torch.tensor(points, dtype=torch.float64))
    for i, x in enumerate(points):
        for k, exact in enumerate(exact_derivatives(x)):
            error = abs(mpmath.mpf(float(ours[k, i])) / exact - 1)
            assert error < rtol, f"derivative {k} at x = {x}: {float(ours[k, i])!r}, relative error {float(error):.1e}"


def test_attenuation_and_three_derivatives_agree_with_exact_values():
    assert_attenuation(attenuation)


def test_a_factor_of_two_in_its_argument_is_caught():
    with pytest.raises(AssertionError):
        assert_attenuation(lambda x: attenuation(x / 2), points=(0.3,))


def test_no_attenuation_without_range_separation():
    assert derivatives(attenuation, torch.zeros(1, dtype=torch.float64))[0] == 1


def test_attenuation_falls_to_the_gaussian_limit():
    x = torch.logspace(8, 12, 5, dtype=torch.float64)
    torch.testing.assert_close(attenuation(x), 1 / (9 * x * x), rtol=1e-14, atol=0)
