"""The loss of `training.loss` as a function of the parameters, which is all that an optimiser sees."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from mlxc.units import KCAL
from mlxc.xc.functional import Learned
from training import fit, loss
from training.data import Target


@dataclass(frozen=True)
class Step:
    """What is told of a step: its number, the loss before and after, and seconds taken.

    Attributes:
        stage: name of the part of the fit.
        setting: damping of Levenberg and Marquardt, or learning rate, under its name.
        errors: mean absolute error of each group, kcal/mol.
    """

    stage: str
    number: int
    before: float
    loss: float
    setting: dict[str, float]
    errors: dict[str, float]
    seconds: float


@dataclass(frozen=True)
class Objective:
    """L(θ) of a functional whose parameters are set in place.

    Attributes:
        functional: those of its parameters that require a gradient are θ.
        prepared: from `fit.prepare`.
        targets: those whose species are all prepared, with references.
        scale: their tolerances and weights.
        ridge: λ.
        start: θ_0.
    """

    functional: Learned
    prepared: Mapping[str, fit.Energies]
    targets: Sequence[Target]
    scale: loss.Scale
    ridge: float
    start: np.ndarray

    def set(self, theta: np.ndarray) -> None:
        """Gives the functional the parameters θ."""
        vector_to_parameters(torch.from_numpy(theta), fit.parameters(self.functional))

    def at(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """(L, errors of the targets in kcal/mol) at θ, which the functional then has."""
        self.set(theta)
        errors = fit.residuals(self.targets, fit.energies(self.functional, self.prepared))
        with torch.no_grad():
            penalties = self.penalties()
        return self.value(errors, penalties, theta), errors

    def value(self, errors: np.ndarray, penalties: tuple[np.ndarray, np.ndarray], theta: np.ndarray) -> float:
        """L, of errors in kcal/mol and of penalties (r, w)."""
        shift = theta - self.start
        terms = self.scale.weight * loss.huber(errors / self.scale.tolerance)
        total = float(np.sum(terms) + self.ridge * shift @ shift)
        r, w = penalties
        return total + float(w @ loss.huber(r)) if len(r) else total

    def linearised(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(r, w, J) of all terms at the functional's parameters: residuals, weights, ∂r/∂θ."""
        values, gradients = fit.jacobian(self.functional, self.prepared)
        tolerance = self.scale.tolerance
        r = fit.residuals(self.targets, values) / tolerance
        jac = np.array([KCAL * sum(c * gradients[k] for k, c in t.terms) for t in self.targets]) / tolerance[:, None]
        if not self.scale.penalty:
            return r, self.scale.weight, jac
        r_p, w_p, jac_p = self.penalised()
        return np.concatenate((r, r_p)), np.concatenate((self.scale.weight, w_p)), np.vstack((jac, jac_p))

    def penalties(self) -> tuple[np.ndarray, np.ndarray]:
        """(r, w) of the soft constraints, at all their samples; each constraint's weights add up to 1."""
        r = [np.zeros(0), *(self._penalty(name).detach().numpy() for name in self.scale.penalty)]
        return np.concatenate(r), np.concatenate([np.full(len(x), 1 / max(1, len(x))) for x in r])

    def penalised(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(r, w, J) of the soft constraints."""
        variables = fit.parameters(self.functional)
        rows = []
        for name in self.scale.penalty:
            for r in self._penalty(name):
                grads = torch.autograd.grad(r, variables, retain_graph=True, materialize_grads=True)
                rows.append(torch.cat([g.ravel() for g in grads]).numpy())
        return *self.penalties(), np.array(rows)

    def _penalty(self, name: str) -> torch.Tensor:
        return loss.PENALTIES[name](self.functional) / self.scale.penalty[name]

    def mean_errors(self, errors: np.ndarray) -> dict[str, float]:
        """Mean absolute error of each group, kcal/mol."""
        groups = defaultdict(list)
        for target, error in zip(self.targets, errors, strict=True):
            groups[target.group].append(abs(error))
        return {group: float(np.mean(found)) for group, found in groups.items()}


def theta(functional: Learned) -> np.ndarray:
    """A copy of the parameters that are fitted."""
    return parameters_to_vector(fit.parameters(functional)).detach().numpy().copy()
