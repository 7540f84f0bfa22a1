"""The density variables and what is refused as a density."""

import numpy as np
import pytest
import torch

from mlxc.errors import InvalidDensity
from mlxc.xc.density import NEGATIVE_DENSITY, Density, variables_from_rows
from tests.densities import sampled


def rows(spin: int) -> torch.Tensor:
    return torch.as_tensor(sampled(spin, size=20))


def test_rows_become_scalar_variables():
    a, b = spin_resolved = rows(1)
    na, nb, saa, sab, sbb, ta, tb = variables_from_rows(spin_resolved)
    assert torch.equal(na, a[0]) and torch.equal(nb, b[0]) and torch.equal(ta, a[4]) and torch.equal(tb, b[4])
    for sigma, x, y in ((saa, a, a), (sab, a, b), (sbb, b, b)):
        torch.testing.assert_close(sigma, torch.einsum("xg,xg->g", x[1:4], y[1:4]), rtol=1e-14, atol=0)


def test_total_density_is_the_sum_of_the_spins():
    spin_resolved = rows(1)
    d = Density.from_variables(variables_from_rows(spin_resolved))
    n, sigma, tau = variables_from_rows(spin_resolved.sum(0))
    for found, expected in ((d.n, n), (d.sigma_total, sigma), (d.tau_total, tau)):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


def test_closed_shell_is_two_equal_channels():
    closed = Density.from_variables(variables_from_rows(rows(0)))
    half = rows(0) / 2
    equal = Density.from_variables(variables_from_rows(torch.stack((half, half))))
    assert closed.closed_shell and not equal.closed_shell
    for name in ("rho", "sigma", "tau"):
        torch.testing.assert_close(getattr(closed, name), getattr(equal, name), rtol=1e-14, atol=0)


def test_spin_sum_adds_the_channels():
    v = variables_from_rows(rows(1))
    d = Density.from_variables(v)
    torch.testing.assert_close(d.spin_sum(lambda n, s, t: n + 2 * s + 3 * t),
                               v[0] + v[1] + 2 * (v[2] + v[4]) + 3 * (v[5] + v[6]), rtol=1e-14, atol=0)


@pytest.mark.parametrize("spin", (0, 1))
def test_laplacian_is_dropped(spin):
    plain = rows(spin)
    with_laplacian = torch.cat((plain[..., :4, :], torch.full_like(plain[..., :1, :], 7.0), plain[..., 4:, :]), -2)
    for one, other in zip(variables_from_rows(plain), variables_from_rows(with_laplacian), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("shape", ((5,), (4, 9), (7, 9), (3, 5, 9), (1, 5, 9), (2, 4, 9), (2, 2, 5, 9)))
def test_wrong_shape_is_refused(shape):
    with pytest.raises(InvalidDensity, match=r"rho has shape .*expected \(5, n\) or \(2, 5, n\)"):
        variables_from_rows(torch.ones(shape, dtype=torch.float64))


@pytest.mark.parametrize("value", (np.nan, np.inf, -np.inf))
@pytest.mark.parametrize("row", range(5))
def test_what_is_not_finite_is_refused(value, row):
    rho = rows(1)
    rho[1, row, 3] = value
    with pytest.raises(InvalidDensity, match="NaN or infinity"):
        variables_from_rows(rho)


def test_negative_density_is_refused_and_its_noise_is_not():
    rho = rows(1)
    rho[1, 0, 3] = -NEGATIVE_DENSITY / 2
    variables_from_rows(rho)
    rho[1, 0, 3] = -2 * NEGATIVE_DENSITY
    with pytest.raises(InvalidDensity, match="negative, down to -2.00e-06"):
        variables_from_rows(rho)


def test_no_points_are_no_error():
    assert all(len(v) == 0 for v in variables_from_rows(torch.empty(5, 0, dtype=torch.float64)))
