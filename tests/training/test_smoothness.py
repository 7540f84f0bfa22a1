"""Smoothness: the same energy on two grids, and a measure that sees wiggles."""

from dataclasses import replace

import pytest
import torch

from mlxc.xc import violations
from mlxc.xc.ensemble import combine
from tests.functionals import random_functional, random_local_hybrid
from tests.training.conftest import SPECIES, TINY
from training import features, fit, smoothness

NO_D4 = {"s6": 0.0, "s8": 0.0, "s9": 0.0, "a1": 0.4, "a2": 5.0}
FINE = replace(TINY, grid=1)


def test_atoms_and_diatomics_with_whole_electrons_take_part():
    assert set(smoothness.small(SPECIES)) == {"H2", "He", "Li"}


def test_the_target_is_the_difference_of_the_energy_on_two_grids(tmp_path):
    assert smoothness.coarser(FINE) == TINY
    few = smoothness.small(SPECIES)
    for settings in (FINE, TINY):
        features.build(few, tmp_path, settings)
    functional = random_local_hybrid(0.3)
    prepared = fit.prepare(functional, few.values(), tmp_path, NO_D4, FINE)
    fine = fit.energies(functional, dict(prepared))
    targets = smoothness.on_two_grids(functional, SPECIES, prepared, tmp_path, NO_D4, FINE)
    found = fit.energies(functional, prepared)
    alone = fit.energies(functional, fit.prepare(functional, few.values(), tmp_path, NO_D4, TINY))
    assert len(targets) == len(few)
    for target, error in zip(targets, fit.residuals(targets, found), strict=True):
        key = target.terms[1][0]
        assert target.group == "grid" and target.reference == 0.0
        assert error / 627.5 == pytest.approx(alone[key] - fine[key], abs=1e-6) and error != 0


@pytest.mark.parametrize("make", (random_functional, random_local_hybrid))
def test_roughness_is_small_for_linear_forms_and_grows_with_wiggles(make):
    """A network tanh(k x) bends k² times as much: every network of the functional shows in its own number."""
    smooth = make(0.0, depth=1)
    before = smoothness.roughness(smooth)
    assert set(before) == set(smooth.networks)
    for name in before:
        rough = make(0.0, depth=1)
        network = rough.networks[name]
        torch.nn.init.constant_(network.hidden[0].weight, 8.0)
        torch.nn.init.constant_(network.out.weight, 0.1)
        after = smoothness.roughness(rough)
        assert after[name] > before[name] + 0.5
        assert all(after[other] == before[other] for other in after if other != name)


def test_roughness_of_a_mean_is_that_of_the_mean():
    """Two equal members have their own; wiggles of two different ones partly cancel."""
    one, other = random_local_hybrid(0.4, 1), random_local_hybrid(0.4, 2)
    alone = [smoothness.roughness(f) for f in (one, other)]
    assert smoothness.roughness(combine([one, one], "mlxc_twice")) == pytest.approx(alone[0])
    both = smoothness.roughness(combine([one, other], "mlxc_both"))
    assert all(0 < both[name] < (alone[0][name] + alone[1][name]) / 2 for name in both)


def test_roughness_is_the_second_derivative():
    """Of F = 1 + κ tanh(c u) alone, against finite differences in u."""
    functional = random_functional(0.0, depth=0)
    with torch.no_grad():
        for p in functional.networks["exchange"].parameters():
            p.zero_()
        functional.networks["exchange"].linear.bias[0] = 2.0
    terms = [t for t in functional.terms(violations.sampled_density(300)) if t.network == "exchange"]
    u, h = torch.cat([t.u for t in terms]), 1e-4
    f = lambda x: 0.804 * torch.tanh(2 * x)  # noqa: E731
    numerical = (f(u + h) - 2 * f(u) + f(u - h)) / h**2
    expected = float((numerical.square().sum() / (3 * len(u))).sqrt())
    assert smoothness.roughness(functional, 300)["exchange"] == pytest.approx(expected, rel=1e-5)
