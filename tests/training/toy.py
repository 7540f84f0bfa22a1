"""A fit that takes milliseconds: species of a few random grid points, targets that a planted functional meets."""

from dataclasses import replace

import numpy as np
import torch
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from mlxc.xc import violations
from mlxc.xc.density import Density
from tests.functionals import random_functional
from training import fit, loss
from training.data import Target
from training.objective import Objective, theta

CONFIG = {"fit": {"seed": 5, "ridge": 0.01, "steps": 6}, "tolerance": {"odd": 1.0, "even": 2.0}}


def functional(seed: int = 0, width: int = 2, depth: int = 1):
    """Few parameters, all of which matter: the output layer does not start at zero."""
    return random_functional(0.5, seed, width=width, depth=depth).requires_grad_(True)


def energies(functional, count: int = 150) -> dict[str, fit.Energies]:
    """Species made of a few random points each."""
    d = violations.sampled_density(5 * count)
    prepared = {}
    for i in range(count):
        block = slice(5 * i, 5 * i + 5)
        points = Density(d.rho[:, block], d.sigma[:, block], d.tau[:, block])
        weights = 1e-2 * i / (1 + points.n ** (4 / 3))
        with torch.no_grad():
            terms = tuple(replace(t, gas=weights * t.gas) for t in functional.terms(points))
        prepared[str(i)] = fit.Energies(-float(i), terms, -1.0)
    return prepared


def planted(functional, prepared: dict[str, fit.Energies], shift: float = 0.1, noise: float = 1e-3) -> list[Target]:
    """Differences of two species each, as other parameters give them, with noise (Ha); two groups."""
    start = parameters_to_vector(functional.parameters()).detach().clone()
    generator = torch.Generator().manual_seed(1)
    move = shift * torch.randn(len(start), dtype=torch.float64, generator=generator)
    vector_to_parameters(start + move, functional.parameters())
    e = fit.energies(functional, prepared)
    vector_to_parameters(start, functional.parameters())
    keys, scatter = list(prepared), noise * torch.randn(len(prepared), generator=generator).numpy()
    return [Target(f"{a}-{b}", ("even", "odd")[i % 2], ((a, 1), (b, -1)), e[a] - e[b] + float(scatter[i]))
            for i, (a, b) in enumerate(zip(keys[1:], keys, strict=False))]


def objective(count: int = 12, ridge: float = 0.01, **penalty) -> Objective:
    """A toy problem from its start."""
    f = functional()
    prepared = energies(f, count)
    targets = planted(f, prepared)
    return Objective(f, prepared, targets, loss.scale(targets, CONFIG | {"penalty": penalty}), ridge, theta(f))


def largest_difference(a: np.ndarray, b: np.ndarray) -> float:
    """Relative to the largest element."""
    return float(np.abs(a - b).max() / np.abs(b).max())
