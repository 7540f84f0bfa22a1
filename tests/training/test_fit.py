"""The fit: exact Jacobians, planted parameters, targets that can and cannot be used."""

import numpy as np
import pytest
import torch
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from mlxc.xc import violations
from mlxc.xc.density import Density
from tests.functionals import random_functional
from tests.training.conftest import SPECIES, TARGETS, TINY
from training import fit
from training.data import KCAL, Target

DAMPING = {"s6": 1.0, "s8": 0.5, "s9": 1.0, "a1": 0.4, "a2": 5.0}


def toy_functional(seed: int = 0):
    """Few parameters, all of which matter: the output layer does not start at zero."""
    return random_functional(0.5, seed, width=2, depth=1).requires_grad_(True)


def toy_energies(functional, count: int = 150) -> dict[str, fit.Energies]:
    """Species made of a few random points each."""
    d = violations.sampled_density(5 * count)
    prepared = {}
    for i in range(count):
        block = slice(5 * i, 5 * i + 5)
        points = Density(d.rho[:, block], d.sigma[:, block], d.tau[:, block])
        weights = 1e-2 * i / (1 + points.n ** (4 / 3))
        with torch.no_grad():
            terms = tuple(fit.replace(t, gas=weights * t.gas) for t in functional.terms(points))
        prepared[str(i)] = fit.Energies(-float(i), terms, -1.0)
    return prepared


def test_jacobian_is_the_slope_of_the_energy():
    functional = toy_functional()
    prepared = toy_energies(functional, 3)
    values, gradients = fit.jacobian(functional, prepared)
    theta, h = parameters_to_vector(functional.parameters()).detach(), 1e-4
    numerical = {key: np.zeros(len(theta)) for key in prepared}
    for i in range(len(theta)):
        for m, weight in ((-2, 1), (-1, -8), (1, 8), (2, -1)):
            moved = theta.clone()
            moved[i] += m * h
            vector_to_parameters(moved, functional.parameters())
            for key, e in fit.energies(functional, prepared).items():
                numerical[key][i] += weight * e / (12 * h)
    vector_to_parameters(theta, functional.parameters())
    assert values == pytest.approx(fit.energies(functional, prepared), abs=1e-14)
    for key in prepared:
        np.testing.assert_allclose(gradients[key], numerical[key], rtol=1e-7, atol=1e-11)


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
    prepared = toy_energies(functional)
    at_start = linear_forms(functional)
    vector_to_parameters(start + shift, functional.parameters())
    planted = linear_forms(functional)
    targets = [Target(key, "toy", ((key, 1),), e) for key, e in fit.energies(functional, prepared).items()]
    vector_to_parameters(start, functional.parameters())
    before = np.abs(fit.residuals(targets, fit.energies(functional, prepared))).max()
    lines: list[str] = []
    loss = fit.gauss_newton(functional, prepared, targets, np.full(len(targets), 0.1), 1e-4, 40, lines.append)
    after = np.abs(fit.residuals(targets, fit.energies(functional, prepared))).max()
    assert after < 1e-4 * before and lines
    assert (linear_forms(functional) - planted).norm() < 1e-3 * (planted - at_start).norm()
    found = parameters_to_vector(functional.parameters()).detach()
    residuals = fit.residuals(targets, fit.energies(functional, prepared)) / 0.1
    assert loss == pytest.approx(fit._loss(residuals, (found - start).numpy(), 1e-4), rel=1e-9)


def test_every_step_lowers_the_loss():
    functional = toy_functional()
    prepared = toy_energies(functional, 20)
    targets = [Target(key, "toy", ((key, 1),), p.constant) for key, p in prepared.items()]
    lines: list[str] = []
    fit.gauss_newton(functional, prepared, targets, np.ones(20), 0.01, 4, lines.append)
    steps = [(float(line.split()[3]), float(line.split()[5])) for line in lines]
    assert steps and all(new < old for old, new in steps)


def test_a_strong_ridge_keeps_the_start():
    functional = toy_functional()
    prepared = toy_energies(functional, 10)
    targets = [Target(key, "toy", ((key, 1),), p.constant - 1) for key, p in prepared.items()]
    start = parameters_to_vector(functional.parameters()).detach().clone()
    fit.gauss_newton(functional, prepared, targets, np.ones(10), 1e12, 3, lambda _: None)
    assert (parameters_to_vector(functional.parameters()).detach() - start).abs().max() < 1e-6


def test_loss_is_quadratic_within_the_tolerance_and_linear_beyond():
    none = np.zeros(1)
    loss = [fit._loss(np.array([r]), none, 0.0) for r in (0.0, 0.5, -0.5, 1.0, 11.0, -11.0)]
    assert loss == pytest.approx([0, 0.125, 0.125, 0.5, 10.5, 10.5])
    assert fit._loss(none, np.array([3.0]), 0.5) == pytest.approx(4.5)


@pytest.fixture(scope="module")
def functional():
    return random_functional()


@pytest.fixture(scope="module")
def prepared(records, functional):
    return fit.prepare(functional, list(SPECIES.values()), records, DAMPING, TINY)


def test_prepared_energy_is_the_sum_of_its_parts(records, functional, prepared):
    """Rest, exact exchange with the functional's fractions, D4, and the integral of the energy density."""
    for key, species in SPECIES.items():
        record = fit.features.load(species, records, TINY)
        density = Density.from_variables(tuple(torch.from_numpy(record.variables)))
        lr, full, a = record.ex_lr[functional.omega], record.ex_full, functional.sr_fraction
        expected = record.e_rest + lr + a * (full - lr) + fit.d4_energy(species, DAMPING) \
            + float(functional.edens(density) @ torch.from_numpy(record.weights))
        assert float(fit.energy(functional, prepared[key])) == pytest.approx(expected, abs=1e-12)
        assert prepared[key].hartree_fock == pytest.approx(record.e_rest + full, abs=1e-12)


def test_targets_of_missing_species_are_dropped_and_hartree_fock_is_filled_in(prepared):
    missing = {key: p for key, p in prepared.items() if key != "H2"}
    assert [t.id for t in fit.resolve(TARGETS, missing)] == ["E(He)", "H", "H_0.75"]
    resolved = {t.id: t for t in fit.resolve(TARGETS, prepared)}
    assert resolved.keys() == {t.id for t in TARGETS}
    assert resolved["H"].reference == prepared["H"].hartree_fock
    assert resolved["E(He)"] == TARGETS[2]


def test_unconverged_species_are_not_used(functional, monkeypatch):
    record = fit.features.compute(SPECIES["H"], TINY)
    monkeypatch.setattr(fit.features, "load", lambda *_: fit.replace(record, converged=False))
    assert fit.prepare(functional, [SPECIES["H"]], "nowhere", DAMPING, TINY) == {}


def test_residuals_are_in_kcal():
    targets = [Target("x", "g", (("a", 2), ("b", -1)), 0.5)]
    assert fit.residuals(targets, {"a": 1.0, "b": 1.0}) == pytest.approx([KCAL * 0.5])


def test_dispersion_is_that_of_molecules_with_pairs_of_electrons():
    """None for atoms, whatever their charge, and none for one electron."""
    energies = {key: fit.d4_energy(s, DAMPING) for key, s in SPECIES.items()}
    assert energies["H2"] < 0
    assert not any(e for key, e in energies.items() if key != "H2")
