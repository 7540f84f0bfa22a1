"""The terms of the loss: tolerances, weights, curvature, soft constraints, and what the config may say of them."""

import numpy as np
import pytest
import torch

from mlxc.errors import InvalidInput
from mlxc.units import KCAL
from mlxc.xc.functional import RangeSeparated
from mlxc.xc.relaxed import RELAXABLE
from mlxc.zoo.store import untrained
from tests import violators
from tests.functionals import random_functional, random_local_hybrid, randomised
from tests.training import toy
from training import fit, loss
from training.data import Target
from training.objective import Objective, theta


def test_huber_is_quadratic_within_the_tolerance_and_linear_beyond():
    r = np.array([0.0, 0.5, -0.5, 1.0, 11.0, -11.0])
    assert loss.huber(r) == pytest.approx([0, 0.125, 0.125, 0.5, 10.5, 10.5])
    h = 1e-6
    slope = (loss.huber(r + h) - loss.huber(r - h)) / (2 * h)
    assert loss.huber_weight(r) * r == pytest.approx(slope, abs=1e-6)


def test_tolerances_widen_where_form_or_basis_cannot_follow():
    tolerance = {"total": 10.0, "one_electron": 2.0, "atomisation": 3.0}
    targets = [Target("E(H)", "total", (), -0.5), Target("E(Ar)", "total", (), -527.5),
               Target("H2+_1", "one_electron", (), None), Target("H2+_2", "one_electron", (), None),
               Target("H3_2+_1", "one_electron", (), None), Target("H2+_eq", "one_electron", (), None),
               Target("R", "atomisation", (), 1.0)]
    assert loss.scale(targets, {"tolerance": tolerance}).tolerance == pytest.approx([10, 52.75, 2, 24, 10, 2, 3])


def line(name: str, points: tuple, ends: tuple = ("n", "i"), group: str = "fractional") -> list[Target]:
    """Points of a line as `training.data` makes them."""
    return [Target(f"{name}_{f}", group, ((f"{name}{f}", 1.0), *zip(ends, (f - 1, -f), strict=False)), 0.0)
            for f in points]


@pytest.mark.parametrize("points", ((0.5,), (0.25, 0.5, 0.75), (0.1, 0.6)))
def test_curvature_is_the_second_derivative_in_the_electron_number(points):
    """Of a parabola, with any straight line added."""
    def e(f):
        return 7.0 - 3.0 * f + 0.4 * f**2

    targets = line("x", points)
    found = {"n": e(0), "i": e(1)} | {f"x{f}": e(f) for f in points}
    curvatures = loss.curvatures(targets[::-1])
    assert [t.id for t in curvatures] == [f"curvature(x{f})" for f in points]
    assert fit.residuals(curvatures, found) / KCAL == pytest.approx([0.8] * len(points))


def test_curvatures_keep_lines_apart_and_leave_other_groups_alone():
    other = line("y", (0.5,), ("n", "j"), "fractional_molecule")
    proton = line("h", (0.25, 0.75), ("n",))
    reaction = Target("R", "atomisation", (("n", -1), ("i", 2)), 1.0)
    found = loss.curvatures([*line("x", (0.5,)), *other, *proton, reaction])
    assert [t.id for t in found] == ["curvature(x0.5)", "curvature(y0.5)", "curvature(h0.25)", "curvature(h0.75)"]
    assert dict(found[1].terms) == pytest.approx({"y0.5": -8, "n": 4, "j": 4})


@pytest.mark.parametrize("config, reason", [
    ({"tolerance": {"evne": 1.0}}, r"\[tolerance\] has no even, which 6 targets belong to; .* did you mean evne\?"),
    ({"weight": {"eve": 1.0}}, r"\[weight\] eve is unknown; there are odd, even; did you mean even\?"),
    ({"penalty": {"uniformgas": 1.0}}, r"\[penalty\] uniformgas is unknown; .* did you mean uniform_gas\?"),
    ({"tolerance": {"odd": 1.0, "even": 0}}, r"\[tolerance\] even is 0, expected a positive number"),
    ({"tolerance": {"odd": 1.0, "even": float("nan")}}, r"even is nan, expected a positive number"),
    ({"weight": {"even": "2"}}, r"\[weight\] even is '2', expected a positive number"),
    ({"factor": {"1": -1}}, r"\[factor\] 1 is -1, expected a positive number"),
])
def test_groups_that_do_not_fit_are_named(config, reason):
    targets = [Target(str(i), ("even", "odd")[i % 2], (), 0.0) for i in range(12)]
    with pytest.raises(InvalidInput, match=reason):
        loss.scale(targets, toy.CONFIG | config)


def test_a_factor_is_of_the_tolerance_of_targets_whose_ids_begin_so():
    """The longest beginning counts, in every group; what begins otherwise keeps its group's tolerance."""
    targets = [Target(name, group, (), 0.0) for name, group in (
        ("N_cation_0.5", "even"), ("N_anion_0.5", "even"), ("N_", "odd"), ("Na_cation_0.5", "even"))]
    config = toy.CONFIG | {"tolerance": {"even": 6.0, "odd": 2.0}}
    found = loss.scale(targets, config | {"factor": {"N_": 0.5, "N_cation": 0.25}})
    assert found.tolerance == pytest.approx([1.5, 3.0, 1.0, 6.0]) and (found.weight == 1).all()
    assert loss.scale(targets, config).tolerance == pytest.approx([6.0, 6.0, 2.0, 6.0])


def test_a_weight_counts_a_group_as_often():
    """Twice the weight is every target of the group twice."""
    one = toy.objective(ridge=0.5)
    even = [t for t in one.targets if t.group == "even"]
    weighted = loss.scale(one.targets, toy.CONFIG | {"weight": {"even": 2.0}})
    twice = [*one.targets, *even]
    moved = one.start + 0.1
    values = [Objective(one.functional, one.prepared, targets, scale, 0.5, one.start).at(moved)[0]
              for targets, scale in ((one.targets, weighted), (twice, loss.scale(twice, toy.CONFIG)))]
    assert values[0] == pytest.approx(values[1], rel=1e-12)
    assert values[0] > one.at(moved)[0]


def test_members_of_an_ensemble_weigh_targets_at_random():
    """Mean and standard deviation 1; the same for the same seed, on top of the groups' weights."""
    weights = loss.resampled(20000, 3)
    assert np.std(loss.resampled(20000, 3, 0.5)) == pytest.approx(0.5, rel=0.03)
    assert np.array_equal(loss.resampled(3, 3, 0.0), np.ones(3))
    assert (weights.mean(), weights.std()) == pytest.approx((1, 1), abs=0.03) and weights.min() > 0
    targets = [Target(str(i), ("even", "odd")[i % 2], (), 0.0) for i in range(12)]
    scales = [loss.scale(targets, toy.CONFIG | {"weight": {"odd": 2.0}, "fit": fit}) for fit in (
        {}, {"resample": 0}, {"resample": 0}, {"resample": 1})]
    plain, one, same, other = (s.weight for s in scales)
    assert np.array_equal(one, plain * loss.resampled(12, 0)) and np.array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("kind", ("rs", "lh"))
@pytest.mark.parametrize("law", loss.PENALTIES)
def test_penalties_vanish_where_a_constraint_is_hard_and_see_its_absence(law, kind):
    """One electron's correlation vanishes with either of two factors; so everything is relaxed at once."""
    if (law, kind) == ("one_electron_exchange", "rs"):
        pytest.skip("no range-separated hybrid obeys it")
    lawful = random_functional() if kind == "rs" else random_local_hybrid()
    assert loss.PENALTIES[law](lawful).abs().max() < 1e-12
    network = {"width": 6, "depth": 2, "relaxed": list(RELAXABLE)}
    unlawful = randomised(lambda: untrained(kind, lawful.exchange, network, "x"), 3.0, 1).requires_grad_(True)
    error = loss.PENALTIES[law](unlawful)
    assert error.abs().max() > 1e-3
    grads = torch.autograd.grad(error.square().sum(), list(unlawful.parameters()), materialize_grads=True)
    assert all(torch.isfinite(g).all() for g in grads) and any(g.abs().max() > 0 for g in grads)


def test_a_soft_constraint_enters_the_loss_and_its_slope():
    functional = violators.violator(violators.Unbounded, RangeSeparated).requires_grad_(True)
    scale = loss.Scale(np.zeros(0), np.zeros(0), {"correlation_sign": 0.1})
    problem = Objective(functional, {}, [], scale, 0.0, theta(functional))
    r, w, jac = problem.penalised()
    assert w.sum() == pytest.approx(1) and r.max() > 1
    assert problem.at(problem.start)[0] == pytest.approx(float(w @ loss.huber(r)))
    slope = jac.T @ (w * loss.huber_weight(r) * r)
    direction = np.random.default_rng(0).normal(size=len(slope))
    h = 1e-6
    numerical = (problem.at(problem.start + h * direction)[0] - problem.at(problem.start - h * direction)[0]) / (2 * h)
    assert slope @ direction == pytest.approx(numerical, rel=1e-5) and abs(numerical) > 1e-3
