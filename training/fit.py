"""Fits a functional's parameters to targets by damped Gauss–Newton steps.

There are a few hundred targets and about a thousand parameters, so the exact Jacobian of every species' energy costs
one backward pass over the data, and a handful of regularised least-squares steps replaces thousands of gradient
steps. Minimised is

    L(θ) = Σ_t H_δ(r_t / σ_t) + λ |θ − θ_0|²,      r_t = Σ_k c_k E_k(θ) − reference (kcal/mol),

H_δ the Huber loss (δ = 1), σ_t the tolerance of the target's group, θ_0 the start: the networks' last layer at zero.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from mlxc.xc.density import Density
from mlxc.xc.functional import Learned, LocalHybrid, Term
from training import features
from training.data import KCAL, Species, Target
from training.dispersion import d4_energy

#: Relative decrease of the loss that counts as none, and how many such steps in a row end the fit.
STANDSTILL, PATIENCE = 1e-3, 3

#: Damping at which no step is expected to help any more.
LARGEST_DAMPING = 1e8


@dataclass(frozen=True)
class Energies:
    """What a functional's energy of one species is made of: E = constant + Σ_terms Σ_points weight · term."""

    constant: float
    terms: tuple[Term, ...]  # with the grid weights folded into ``gas`` and ``exact``
    hartree_fock: float


def prepare(functional: Learned, species: Sequence[Species], folder: Path, damping: dict[str, float],
            settings: features.Settings = features.STANDARD) -> dict[str, Energies]:
    """Loads the records of converged species and evaluates everything that no parameter changes.

    Args:
        functional: gives the form and ω.
        species: to be loaded.
        folder: of the records.
        damping: D4's parameters; the dispersion energy is part of the constant.
        settings: the records' settings.
    """
    prepared: dict[str, Energies] = {}
    for s in species:
        record = features.load(s, folder, settings)
        if not record.converged:
            continue
        with torch.no_grad():
            terms = tuple(_weighted_terms(functional, record))
        long_range = record.ex_lr[functional.omega] if functional.omega else 0.0
        exact_exchange = long_range + functional.sr_fraction * (record.ex_full - long_range)
        constant = record.e_rest + exact_exchange + d4_energy(s, damping)
        prepared[s.key] = Energies(constant, terms, record.e_rest + record.ex_full)
    return prepared


def _weighted_terms(functional: Learned, record: features.Record) -> Iterator[Term]:
    density = Density.from_variables(tuple(torch.from_numpy(record.variables)))
    weights = torch.from_numpy(record.weights)
    if isinstance(functional, LocalHybrid):
        exact = torch.from_numpy(record.ex_sr[functional.local_omega]).expand(2, -1)
        terms = functional.terms(density, exact)
    else:
        terms = functional.terms(density)  # type: ignore[operator]
    for t in terms:
        yield replace(t, gas=weights * t.gas, exact=None if t.exact is None else weights * t.exact)


def energy(functional: Learned, prepared: Energies) -> torch.Tensor:
    """Total energy of a species, Ha; differentiable in the parameters."""
    xc = sum((functional.term_energy(t).sum() for t in prepared.terms), start=torch.zeros((), dtype=torch.float64))
    return prepared.constant + xc


def energies(functional: Learned, prepared: dict[str, Energies]) -> dict[str, float]:
    """Total energies of all species, Ha."""
    with torch.no_grad():
        return {key: float(energy(functional, p)) for key, p in prepared.items()}


def resolve(targets: Sequence[Target], prepared: dict[str, Energies]) -> list[Target]:
    """Targets whose species are all prepared, with the Hartree–Fock energy where the reference is None."""
    return [replace(t, reference=prepared[t.terms[0][0]].hartree_fock) if t.reference is None else t
            for t in targets if all(key in prepared for key, _ in t.terms)]


def residuals(targets: Sequence[Target], found: dict[str, float]) -> np.ndarray:
    """Σ_k c_k E_k − reference of each target, kcal/mol."""
    return np.array([KCAL * (sum(c * found[k] for k, c in t.terms) - t.reference) for t in targets])


def jacobian(functional: Learned,
             prepared: dict[str, Energies]) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Energy (Ha) and its gradient in the parameters for every species."""
    parameters = list(functional.parameters())
    values, gradients = {}, {}
    for key, p in prepared.items():
        e = energy(functional, p)
        grads = torch.autograd.grad(e, parameters, allow_unused=True)
        values[key] = float(e.detach())
        gradients[key] = np.concatenate([np.zeros(q.numel()) if g is None else g.numpy().ravel()
                                         for g, q in zip(grads, parameters, strict=True)])
    return values, gradients


def gauss_newton(functional: Learned, prepared: dict[str, Energies], targets: Sequence[Target],
                 tolerances: np.ndarray, ridge: float, steps: int, log=print) -> float:
    """Minimises the loss of the module's docstring in place, by the method of Levenberg and Marquardt.

    The damping follows the ratio of the actual to the predicted decrease (H. B. Nielsen's rule, IMM-REP-1999-05).

    Args:
        functional: starts at θ_0 = its parameters.
        prepared: from `prepare`.
        targets: those whose species are all prepared.
        tolerances: σ_t in kcal/mol.
        ridge: λ.
        steps: largest number of accepted steps; fewer where the loss stands still.
        log: receives one line per step.

    Returns:
        The loss at the end.
    """
    start = parameters_to_vector(functional.parameters()).detach().numpy().copy()
    theta, damping, growth, slow = start.copy(), 1.0, 2.0, 0
    loss = _loss(residuals(targets, energies(functional, prepared)) / tolerances, theta - start, ridge)
    for step in range(steps):
        values, gradients = jacobian(functional, prepared)
        r = residuals(targets, values) / tolerances
        jac = np.array([KCAL * sum(c * gradients[k] for k, c in t.terms) for t in targets]) / tolerances[:, None]
        gain = -1.0
        while gain <= 0 and damping < LARGEST_DAMPING:
            change, predicted = _step(jac, r, theta - start, ridge, damping)
            _set(functional, theta + change)
            new = _loss(residuals(targets, energies(functional, prepared)) / tolerances, theta + change - start, ridge)
            gain = (loss - new) / predicted
            damping *= max(1 / 3, 1 - (2 * gain - 1) ** 3) if gain > 0 else growth
            growth = 2.0 if gain > 0 else 2 * growth
        if gain <= 0:
            _set(functional, theta)
            break
        log(f"step {step + 1:3d}  loss {loss:12.4f} -> {new:12.4f}  damping {damping:.1e}")
        slow = slow + 1 if loss - new < STANDSTILL * loss else 0
        theta, loss = theta + change, new
        if slow == PATIENCE:
            break
    return loss


def _step(jac, r, shift, ridge, damping) -> tuple[np.ndarray, float]:
    """The damped step, and the decrease of the loss that its quadratic model predicts."""
    huber = 1 / np.maximum(1, np.abs(r))
    slope = jac.T @ (huber * r) + 2 * ridge * shift
    normal = jac.T @ (huber[:, None] * jac)
    normal[np.diag_indices_from(normal)] += 2 * ridge + damping
    change = -np.linalg.solve(normal, slope)
    return change, float(change @ (damping * change - slope)) / 2


def _loss(r: np.ndarray, shift: np.ndarray, ridge: float) -> float:
    a = np.abs(r)
    return float(np.sum(np.where(a < 1, a**2 / 2, a - 0.5)) + ridge * shift @ shift)


def _set(functional: Learned, theta: np.ndarray):
    vector_to_parameters(torch.from_numpy(theta), functional.parameters())
