"""Damped Gauss–Newton steps: the optimiser for up to a few thousand parameters and targets.

The exact Jacobian of every species' energy costs one backward pass over the data, and a handful of regularised
least-squares steps replaces thousands of gradient steps. The damping follows the ratio of the actual to the predicted
decrease (H. B. Nielsen's rule, IMM-REP-1999-05).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from training import loss
from training.objective import Objective, Step

#: Relative decrease of the loss that counts as none, and how many such steps in a row end the fit.
STANDSTILL, PATIENCE = 1e-3, 3

#: Damping at which no step is expected to help any more.
LARGEST_DAMPING = 1e8


@dataclass
class State:
    """Where the iteration is: all that the next step depends on."""

    theta: np.ndarray
    step: int = 0
    loss: float = np.nan  # not yet known
    damping: float = 1.0
    growth: float = 2.0
    slow: int = 0


def minimise(objective: Objective, state: State, steps: int, told: Callable[[Step], None], stage: str = "fit") -> float:
    """Goes on from a state, which changes in place, by the method of Levenberg and Marquardt.

    Args:
        objective: the loss; its functional has the parameters of the end.
        state: State(θ) for a new fit.
        steps: largest number of accepted steps; fewer where the loss stands still.
        told: called after every accepted step, when the state is complete.
        stage: the fit's name in what is told.

    Returns:
        The loss at the end.
    """
    if np.isnan(state.loss):
        state.loss, _ = objective.at(state.theta)
    while state.step < steps and state.slow < PATIENCE and state.damping < LARGEST_DAMPING:
        begun = time.perf_counter()
        objective.set(state.theta)
        r, weight, jac = objective.linearised()
        before, gain = state.loss, -1.0
        while not gain > 0 and state.damping < LARGEST_DAMPING:
            change, predicted = _step(jac, r, weight, state.theta - objective.start, objective.ridge, state.damping)
            new, errors = objective.at(state.theta + change)
            gain = (before - new) / predicted
            state.damping *= max(1 / 3, 1 - (2 * gain - 1) ** 3) if gain > 0 else state.growth
            state.growth = 2.0 if gain > 0 else 2 * state.growth
        if not gain > 0:  # no step helps, or none gives a number
            break
        state.slow = state.slow + 1 if before - new < STANDSTILL * before else 0
        state.theta, state.loss, state.step = state.theta + change, new, state.step + 1
        told(Step(stage, state.step, before, new, {"damping": state.damping}, objective.mean_errors(errors),
                  time.perf_counter() - begun))
    objective.set(state.theta)
    return state.loss


def _step(jac, r, weight, shift, ridge, damping) -> tuple[np.ndarray, float]:
    """The damped step, and the decrease of the loss that its quadratic model predicts."""
    huber = weight * loss.huber_weight(r)
    slope = jac.T @ (huber * r) + 2 * ridge * shift
    normal = jac.T @ (huber[:, None] * jac)
    normal[np.diag_indices_from(normal)] += 2 * ridge + damping
    change = -np.linalg.solve(normal, slope)
    return change, float(change @ (damping * change - slope)) / 2
