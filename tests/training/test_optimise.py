"""The optimisers: planted parameters, descent, the linear stage, checkpoints, repetition bit by bit."""

import json
import os
import resource
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from tests.functionals import random_functional
from tests.training import toy
from training import adam, checkpoint, fit, gauss_newton, loss
from training.checkpoint import CheckpointError
from training.data import Target
from training.log import Log
from training.objective import Objective, theta
from training.optimise import optimise

ADAM = {"method": "adam", "batch": 4, "rate": 0.02}


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    """Plots take most of a toy's time."""
    monkeypatch.setattr("training.log.draw", lambda *_: None)


def linear_forms(functional) -> torch.Tensor:
    """Coefficients of u², uw, w², uv, …, u, w that the parameters of networks without hidden layers amount to."""
    forms = []
    for network in functional.networks.values():
        m = (network.linear.weight + network.out.weight).detach()
        mixed = m[0, 1] + m[1, 0]
        forms += [m[0, :1], mixed[None], m[1, 1:2], m[:, 2:].ravel(), network.linear.bias.detach()]
    return torch.cat(forms)


def test_planted_parameters_are_recovered():
    """In linear forms, which the energies determine."""
    functional = random_functional(0.5, width=1, depth=0).requires_grad_(True)
    start = parameters_to_vector(functional.parameters()).detach().clone()
    shift = 0.2 * torch.randn(len(start), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    prepared = toy.energies(functional)
    at_start = linear_forms(functional)
    vector_to_parameters(start + shift, functional.parameters())
    planted = linear_forms(functional)
    targets = [Target(key, "toy", ((key, 1),), e) for key, e in fit.energies(functional, prepared).items()]
    scale = loss.scale(targets, {"tolerance": {"toy": 0.1}})
    problem = Objective(functional, prepared, targets, scale, 1e-4, start.numpy())
    before = np.abs(problem.at(problem.start)[1]).max()
    steps: list = []
    found = gauss_newton.minimise(problem, gauss_newton.State(problem.start), 40, steps.append)
    value, errors = problem.at(theta(functional))
    assert np.abs(errors).max() < 1e-4 * before and steps
    assert (linear_forms(functional) - planted).norm() < 1e-3 * (planted - at_start).norm()
    assert found == value == pytest.approx(
        np.sum(loss.huber(errors / 0.1)) + 1e-4 * np.sum((theta(functional) - problem.start) ** 2), rel=1e-12)


def test_every_step_lowers_the_loss():
    problem, steps = toy.objective(), []
    gauss_newton.minimise(problem, gauss_newton.State(problem.start), 4, steps.append)
    assert [s.number for s in steps] == [1, 2, 3, 4]
    assert all(s.loss < s.before for s in steps)
    assert all(a.loss == b.before for a, b in zip(steps, steps[1:], strict=False))
    assert steps[-1].errors == problem.mean_errors(problem.at(theta(problem.functional))[1])


@pytest.mark.parametrize("penalty", ({}, {"correlation_sign": 0.01}))
def test_the_slope_of_the_loss_is_its_derivative(penalty):
    """Of all targets as one batch; and batches add up to it."""
    problem = toy.objective(ridge=0.3, **penalty)
    moved = problem.start + 0.3 * np.random.default_rng(2).normal(size=len(problem.start))
    problem.set(moved)
    whole = adam.gradient(problem, moved, np.arange(len(problem.targets)))
    direction = np.random.default_rng(0).normal(size=len(moved))
    h = 1e-6
    numerical = (problem.at(moved + h * direction)[0] - problem.at(moved - h * direction)[0]) / (2 * h)
    assert whole @ direction == pytest.approx(numerical, rel=1e-6)
    problem.set(moved)
    n = len(problem.targets)
    parts = [adam.gradient(problem, moved, batch) * len(batch) / n for batch in (np.arange(4), np.arange(4, n))]
    assert toy.largest_difference(sum(parts), whole) < 1e-12


def test_minibatches_reach_the_loss_of_gauss_newton():
    problem = toy.objective(10, ridge=1.0)
    best = gauss_newton.minimise(problem, gauss_newton.State(problem.start), 50, lambda _: None)
    found = adam.minimise(problem, adam.State(problem.start), 60, 5, 0.02, 5, lambda _: None)
    assert best < 0.5 * problem.at(problem.start)[0]
    assert best <= found < 1.01 * best


def test_the_learning_rate_rises_and_falls_to_zero():
    rates = [adam.schedule(i, 100) for i in range(101)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0]) and rates[5] == 1
    assert all(a > b for a, b in zip(rates[5:], rates[6:], strict=False)) and rates[100] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("settings", ({}, ADAM))
def test_a_strong_ridge_keeps_the_start(settings):
    problem = toy.objective()
    config = toy.CONFIG | {"fit": toy.CONFIG["fit"] | settings | {"ridge": 1e12, "steps": 40}}
    optimise(problem.functional, problem.prepared, problem.targets, config, Log(lambda _: None))
    assert np.abs(theta(problem.functional) - problem.start).max() < (0.01 if settings else 1e-6)


def fitted(folder=None, killed_at: int = 0, write=lambda _: None, begin=None, **settings) -> np.ndarray:
    """Parameters of a toy fit; it stops with KeyboardInterrupt just before a checkpoint is written."""
    problem = toy.objective()
    config = toy.CONFIG | {"fit": toy.CONFIG["fit"] | settings}
    path = None if folder is None else folder / "toy.checkpoint.npz"
    calls = []

    def save(*arguments):
        calls.append(arguments)
        if len(calls) == killed_at:
            raise KeyboardInterrupt
        checkpoint.save(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.optimise.checkpoint", SimpleNamespace(**vars(checkpoint) | {"save": save}))
        optimise(problem.functional, problem.prepared, problem.targets, config, Log(write, folder, "toy"), path, begin)
    assert all(p.requires_grad for p in problem.functional.parameters())
    return theta(problem.functional)


METHODS = pytest.mark.parametrize("settings", ({}, {"linear": True}, ADAM, ADAM | {"linear": True}),
                                  ids=("gauss-newton", "linear", "adam", "linear-adam"))


@METHODS
def test_two_runs_are_equal_bit_by_bit(settings):
    assert np.array_equal(fitted(**settings), fitted(**settings))


@METHODS
@pytest.mark.parametrize("killed_at", (1, 3, 8))
def test_a_fit_that_was_stopped_goes_on_bit_by_bit(tmp_path, settings, killed_at):
    """The log has the steps of an uninterrupted fit, once each."""
    whole = fitted(tmp_path / "whole", **settings)
    steps = losses(tmp_path / "whole")
    killed_at = min(killed_at, len(steps))
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path, killed_at, **settings)
    assert losses(tmp_path) == steps[:killed_at]
    lines: list[str] = []
    assert np.array_equal(fitted(tmp_path, write=lines.append, **settings), whole)
    assert ("goes on after step" in lines[0]) == (killed_at > 1)
    assert losses(tmp_path) == steps


def losses(folder) -> list[float]:
    """Of every step in the log."""
    return [json.loads(line)["loss"] for line in (folder / "toy.jsonl").read_text().splitlines()]


def test_the_linear_stage_moves_the_linear_form_alone_and_is_the_start_of_the_next():
    names = [name for name, p in toy.functional().named_parameters() for _ in range(p.numel())]
    linear = np.array([".linear." in name for name in names])
    start = toy.objective().start
    first = fitted(linear=True, steps=6, ridge=1e-2)
    only = fitted(linear=True, steps=6, ridge=1e9)  # the second stage cannot move
    assert not np.array_equal(first, fitted()) and not np.array_equal(first[~linear], start[~linear])
    assert np.abs(only - start)[~linear].max() < 1e-6

    problem = toy.objective()
    for name, p in problem.functional.named_parameters():
        p.requires_grad_(".linear." in name)
    part = Objective(problem.functional, problem.prepared, problem.targets, problem.scale, 0.01,
                     theta(problem.functional))
    gauss_newton.minimise(part, gauss_newton.State(part.start), 6, lambda _: None)
    problem.functional.requires_grad_(True)
    centre = theta(problem.functional)
    assert np.array_equal(centre[~linear], start[~linear]) and not np.array_equal(centre[linear], start[linear])
    rest = Objective(problem.functional, problem.prepared, problem.targets, problem.scale, 0.01, centre)
    gauss_newton.minimise(rest, gauss_newton.State(centre), 6, lambda _: None)
    assert np.array_equal(theta(problem.functional), first)


def test_a_fit_can_begin_elsewhere_and_is_shrunk_to_the_start_all_the_same():
    start = toy.objective().start
    begun = fitted(begin=start + 0.1, ridge=1e6)
    assert np.abs(begun - start).max() < 1e-4
    assert not np.array_equal(fitted(begin=start + 0.1, steps=1), fitted(steps=1))


def test_a_checkpoint_of_another_fit_is_refused(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path, killed_at=3)
    with pytest.raises(CheckpointError, match="another configuration or other data: delete it to begin anew"):
        fitted(tmp_path, ridge=0.5)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    (tmp_path / "toy.checkpoint.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(CheckpointError, match="toy.checkpoint.npz is not a checkpoint"):
        fitted(tmp_path)


@contextmanager
def small_files(limit: int):
    """No file may grow beyond this many bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path):
    path = tmp_path / "a" / "x.npz"
    checkpoint.save(path, "me", {"theta": np.arange(3.0), "step": 1})
    with small_files(2000), pytest.raises(CheckpointError, match=r"x.npz cannot be written \(File too large\); .*"
                                          "still holds the last step .*: make room and start the command again"):
        checkpoint.save(path, "me", {"theta": np.zeros(1000), "step": 2})
    saved = checkpoint.load(path, "me")
    assert saved is not None and saved["step"] == 1 and np.array_equal(saved["theta"], np.arange(3.0))
    assert os.listdir(path.parent) == ["x.npz"]


def test_identity_covers_every_part():
    targets = [Target("a", "g", (("x", 1),), 1.0)]
    marks = {checkpoint.identity(config={"a": a}, targets=t) for a in (1, 2) for t in (targets, targets * 2)}
    assert len(marks) == 4
