"""Adam with minibatches of targets: the optimiser for large networks and data sets.

The gradient of a batch's loss is Σ_k (∂L/∂E_k) ∂E_k/∂θ over its species, summed one species at a time; the batch's loss
counts as that of all targets, times their number over its. After a rise over the first twentieth of the steps the
learning rate falls as a cosine to zero. Batches depend on the seed and the epoch alone, so that a fit can go on from
any epoch. D. P. Kingma, J. Ba, doi:10.48550/arXiv.1412.6980.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from mlxc.units import KCAL
from training import fit, loss, parallel
from training.objective import Objective, Step

#: Decay of the gradient's running mean and mean square, and what keeps the quotient finite.
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8

#: Part of the steps over which the learning rate rises.
WARM_UP = 0.05


@dataclass
class State:
    """Where the iteration is: all that the next epoch depends on."""

    theta: np.ndarray
    step: int = 0  # epochs done
    loss: float = np.nan  # not yet known
    mean: np.ndarray = field(default_factory=lambda: np.zeros(0))
    square: np.ndarray = field(default_factory=lambda: np.zeros(0))


def minimise(objective: Objective, state: State, epochs: int, batch: int, rate: float, seed: int,
             told: Callable[[Step], None], stage: str = "fit") -> float:
    """Goes on from a state, which changes in place.

    Args:
        objective: the loss; its functional has the parameters of the end.
        state: State(θ) for a new fit.
        epochs: passes over the targets.
        batch: targets per step.
        rate: largest learning rate.
        seed: of the batches.
        told: called after every epoch, when the state is complete.
        stage: the fit's name in what is told.

    Returns:
        The loss at the end.
    """
    if not len(state.mean):
        state.mean, state.square = np.zeros_like(state.theta), np.zeros_like(state.theta)
        state.loss, _ = objective.at(state.theta)
    count = len(objective.targets)
    per_epoch = math.ceil(count / batch)
    while state.step < epochs:
        begun, before = time.perf_counter(), state.loss
        order = np.random.default_rng((seed, state.step)).permutation(count)
        for i in range(per_epoch):
            n = state.step * per_epoch + i
            now = rate * schedule(n, epochs * per_epoch)
            objective.set(state.theta)
            slope = gradient(objective, state.theta, order[i * batch : (i + 1) * batch])
            state.mean = BETA_1 * state.mean + (1 - BETA_1) * slope
            state.square = BETA_2 * state.square + (1 - BETA_2) * slope**2
            mean, square = state.mean / (1 - BETA_1 ** (n + 1)), state.square / (1 - BETA_2 ** (n + 1))
            state.theta = state.theta - now * mean / (np.sqrt(square) + EPSILON)
        state.loss, errors = objective.at(state.theta)
        state.step += 1
        told(Step(stage, state.step, before, state.loss, {"rate": now}, objective.mean_errors(errors),
                  time.perf_counter() - begun))
    objective.set(state.theta)
    return state.loss


def schedule(step: int, steps: int) -> float:
    """Learning rate over its largest value."""
    rise = max(1, round(WARM_UP * steps))
    return (step + 1) / rise if step < rise else (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise))) / 2


def gradient(objective: Objective, theta: np.ndarray, batch: Sequence[int] | np.ndarray) -> np.ndarray:
    """∂L/∂θ, estimated from the targets of a batch, the same in every process."""
    targets = [objective.targets[i] for i in batch]
    species = {key: objective.prepared[key] for t in targets for key, _ in t.terms}
    values, slopes = fit.slopes(objective.functional, species)
    tolerance, weight = objective.scale.tolerance[batch], objective.scale.weight[batch]
    r = fit.residuals(targets, values) / tolerance
    factors = len(objective.targets) / len(targets) * weight * loss.huber_weight(r) * r * KCAL / tolerance
    slope = np.zeros_like(theta)
    for t, factor in zip(targets, factors, strict=True):
        for key, c in t.terms:
            if key in slopes:
                slope += factor * c * slopes[key]
    slope = parallel.total(slope) + 2 * objective.ridge * (theta - objective.start)
    if objective.scale.penalty:
        r, w, jac = objective.penalised()
        slope += jac.T @ (w * loss.huber_weight(r) * r)
    return slope
