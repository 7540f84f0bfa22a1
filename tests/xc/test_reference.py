"""Laws of the reference functionals that need no other program."""

from itertools import combinations_with_replacement

import numpy as np
import pytest
import torch

from mlxc.errors import UnknownFunctional
from mlxc.xc import derivatives
from mlxc.xc.density import Density, variables_from_rows
from mlxc.xc.derivatives import xc_rows
from mlxc.xc.reference import lda, reference
from tests.densities import extreme_densities, oh_radical, sampled

NAMES = ("lda_pw", "pbe", "wb97", "r2scan")


def variables(rho: np.ndarray) -> tuple[torch.Tensor, ...]:
    return variables_from_rows(torch.as_tensor(rho))


@pytest.mark.parametrize("name", NAMES)
def test_reference_declares_what_the_host_needs(name):
    functional = reference(name)
    assert functional.name == name
    assert functional.xc_type in ("LDA", "GGA", "MGGA")
    assert (functional.omega, functional.lr_fraction, functional.sr_fraction) == (
        (0.4, 1.0, 0.0) if name == "wb97" else (0, 0, 0))


def test_unknown_reference_names_the_closest_one():
    with pytest.raises(UnknownFunctional, match="'r2scn'.*did you mean r2scan"):
        reference("r2scn")


@pytest.mark.parametrize("name", NAMES)
def test_closed_shell_equals_equal_spins(name):
    rho = sampled(spin=0)
    half = Density.from_variables(variables(np.stack((rho, rho)) / 2))
    closed = Density.from_variables(variables(rho))
    edens = reference(name).edens
    torch.testing.assert_close(edens(closed), edens(half), rtol=1e-13, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_energy_is_symmetric_in_spin(name):
    rho = sampled(spin=1)
    edens = reference(name).edens
    one, other = (edens(Density.from_variables(variables(r))) for r in (rho, rho[::-1].copy()))
    torch.testing.assert_close(one, other, rtol=1e-13, atol=0)


def test_stoll_parts_add_up_and_vanish_with_a_channel():
    na = torch.logspace(-10, 3, 40, dtype=torch.float64)
    for nb in (na.flip(0), torch.zeros_like(na)):
        zeros = torch.zeros(3, 40, dtype=torch.float64)
        aa, bb, ab = lda.stoll_partition(Density(torch.stack((na, nb)), zeros, zeros[:2]))
        torch.testing.assert_close(aa + bb + ab, lda.pw92_energy_density(na, nb), rtol=1e-13, atol=0)
    assert torch.equal(bb, torch.zeros_like(bb))
    torch.testing.assert_close(ab / aa, torch.zeros_like(ab), rtol=0, atol=1e-15)


def test_short_range_exchange_without_range_separation_is_slater():
    n = torch.logspace(-25, 6, 32, dtype=torch.float64)
    assert torch.equal(lda.short_range_lda_exchange(n, 0.0), lda.lda_exchange(n))


def assert_third_derivatives(functional, rho: np.ndarray, step=2e-4, tol=1e-6):
    """Third derivatives equal differences of second ones, to ``tol`` of the largest term at the point.

    Terms are made commensurate by the sizes of their variables. The central differences of fourth order have an
    error of their own, up to 1e-7 in r2SCAN.
    """
    v = variables(rho)
    k = len(v)
    pairs, triples = (list(combinations_with_replacement(range(k), order)) for order in (2, 3))
    order2, order3 = 1 + k, 1 + k + len(pairs)
    exact = dict(zip(triples, xc_rows(functional, v, 3)[order3:], strict=True))
    weight = {t: v[t[0]] * v[t[1]] * v[t[2]] for t in triples}
    largest = torch.stack([(exact[t] * weight[t]).abs() for t in triples]).amax(0)
    for i in range(k):
        moved = {m: xc_rows(functional, (*v[:i], v[i] * (1 + m * step), *v[i + 1:]), 2)[order2:order3]
                 for m in (-2, -1, 1, 2)}
        slope = (8 * (moved[1] - moved[-1]) - (moved[2] - moved[-2])) / (12 * step * v[i])
        for pair, values in zip(pairs, slope, strict=True):
            triple = tuple(sorted((i, *pair)))
            error = ((values - exact[triple]) * weight[triple] / largest).abs().max()
            assert error < tol, f"third derivative {triple}: off by {error:.1e} of the largest term"


class Detached:
    """Violator: a gradient enhancement whose derivative was lost on the way."""

    def edens(self, density):
        return density.n ** (4 / 3) * (1 + density.sigma_total.detach() / density.n ** (8 / 3))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("spin", (0, 1))
def test_third_derivatives_are_differences_of_second(name, spin):
    """Away from ᾱ = 0 and 5/2, where r2SCAN's third derivatives jump."""
    assert_third_derivatives(reference(name), sampled(spin, size=30, alpha=(0.3, 2)))


def test_a_detached_derivative_is_caught():
    with pytest.raises(AssertionError):
        assert_third_derivatives(Detached(), sampled(0, size=30))


def assert_finite(functional, v: np.ndarray, deriv: int = 3):
    rows = xc_rows(functional, tuple(torch.as_tensor(x) for x in v), deriv)
    bad = ~torch.isfinite(rows).all(0)
    assert not bad.any(), f"not finite at {v[:, bad.numpy()][:, :3].T}"


@pytest.mark.parametrize("name", NAMES)
def test_derivatives_are_finite_for_every_density(name, monkeypatch):
    monkeypatch.setattr(derivatives, "RHO_CUTOFF", 0.0)
    v = extreme_densities()
    assert_finite(reference(name), v)
    assert_finite(reference(name), np.stack((v[0] + v[1], abs(v[2] + 2 * v[3] + v[4]), v[5] + v[6])))


class PlainRoot:
    """Violator: |∇n| is not differentiable at ∇n = 0."""

    def edens(self, density):
        return density.n + density.sigma_total.sqrt()


def test_a_plain_root_is_caught():
    with pytest.raises(AssertionError):
        assert_finite(PlainRoot(), extreme_densities()[[0, 2, 5]], deriv=1)


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_channel_adds_nothing(name):
    """E(n, 0) is the energy of one channel, and no density has no energy."""
    zero = torch.zeros(1, dtype=torch.float64)
    assert reference(name).edens(Density.from_variables((zero,) * 7)).item() == 0
    v = variables(sampled(1))
    empty, almost = ((v[0], v[1] * x, v[2], v[3] * x, v[4] * x**2, v[5], v[6] * x) for x in (0, 1e-30))
    assert torch.equal(*(reference(name).edens(Density.from_variables(x)) for x in (empty, almost)))


def test_real_densities_give_no_nan():
    for name in NAMES:
        assert torch.isfinite(xc_rows(reference(name), variables(oh_radical()[..., ::20]), 3)).all()
