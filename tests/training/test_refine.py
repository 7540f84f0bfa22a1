"""Self-consistent refinement."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from tests.functionals import random_functional, random_local_hybrid
from training import features, fit
from training.data import Species
from training.density import record_of
from training.scf import mean_field

#: One grid for the calculation, its local part and the record, without points left out.
SETTINGS = replace(features.STANDARD, scf_grid=1, grid=1, cutoff=0.0, conv_tol=1e-12, omegas=(0.4,))

DAMPING = {"s6": 1.0, "s8": 0.5, "s9": 1.0, "a1": 0.4, "a2": 5.0}

LIH = Species("lih", (("Li", (0.0, 0.0, 0.0)), ("H", (0.0, 0.0, 1.6))), 2.0, 2.0, "6-31g")
LIH_CATION = replace(LIH, key="lih+", n_beta=1.0)
MAKERS = {"lh": random_local_hybrid, "rs": random_functional}


def self_consistent(functional, species):
    mf, _ = mean_field(species, SETTINGS, functional)
    assert mf.converged
    return mf


@pytest.mark.parametrize(("kind", "species"), [("lh", LIH), pytest.param("rs", LIH, marks=pytest.mark.slow),
                                               pytest.param("lh", LIH_CATION, marks=pytest.mark.slow)])
def test_the_slope_of_the_scf_energy_is_that_at_its_density(kind, species, tmp_path):
    """dE_SCF/dθ = ∂E[D_SCF; θ]/∂θ along a random direction of the parameters."""
    functional = MAKERS[kind]().requires_grad_(True)
    theta = parameters_to_vector(functional.parameters()).detach()
    direction = torch.from_numpy(np.random.default_rng(1).normal(size=len(theta)))
    settings = SETTINGS if kind == "lh" else replace(SETTINGS, omegas=(functional.omega,))
    features.save(tmp_path, species, settings, record_of(self_consistent(functional, species), settings))
    (prepared,) = fit.prepare(functional, [species], tmp_path, DAMPING, settings).values()
    fit.energy(functional, prepared).backward()
    slope = float(sum((p.grad * d).sum() for p, d in zip(
        functional.parameters(), split(direction, functional), strict=True) if p.grad is not None))
    h, energies = 1e-3, []
    for x in (-h, h):
        vector_to_parameters(theta + x * direction, functional.parameters())
        energies.append(self_consistent(functional, species).e_tot)
    assert abs(slope) > 1e-3
    assert (energies[1] - energies[0]) / (2 * h) == pytest.approx(slope, rel=1e-4)


def split(vector, functional):
    """A vector of all parameters in the shapes of the functional's."""
    start = 0
    for p in functional.parameters():
        yield vector[start:start + p.numel()].reshape(p.shape)
        start += p.numel()
