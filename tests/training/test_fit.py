"""Energies of stored densities: exact slopes, streaming, targets that can and cannot be used."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from mlxc.errors import InvalidInput
from mlxc.units import KCAL
from mlxc.xc.density import Density
from tests.functionals import random_functional, random_local_hybrid
from tests.training import toy
from tests.training.conftest import SPECIES, TARGETS, TINY
from training import features, fit, points
from training.data import Target
from training.dispersion import D4

DAMPING = {"s6": 1.0, "s8": 0.5, "s9": 1.0, "a1": 0.4, "a2": 5.0}


def test_jacobian_is_the_slope_of_the_energy():
    functional = toy.functional()
    prepared = toy.energies(functional, 3)
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


def test_parameters_that_are_not_free_have_no_column():
    functional = toy.functional()
    prepared = toy.energies(functional, 3)
    whole = fit.jacobian(functional, prepared)[1]
    sizes = [p.numel() for p in functional.parameters()]
    first = next(functional.parameters()).requires_grad_(False)
    for key, row in fit.jacobian(functional, prepared)[1].items():
        np.testing.assert_array_equal(row, whole[key][first.numel():])
    assert len(row) == sum(sizes) - first.numel()


@pytest.fixture(scope="module")
def functional():
    return random_functional()


@pytest.fixture(scope="module")
def prepared(records, functional):
    return fit.prepare(functional, list(SPECIES.values()), records, DAMPING, TINY)


def test_prepared_energy_is_the_sum_of_its_parts(records, functional, prepared):
    """Rest, exact exchange with the functional's fractions, D4, and the integral of the energy density."""
    for key, species in SPECIES.items():
        record = features.load(species, records, TINY)
        density = Density.from_variables(tuple(torch.from_numpy(record.variables)))
        lr, full, a = record.ex_lr[functional.omega], record.ex_full, functional.sr_fraction
        expected = record.e_rest + lr + a * (full - lr) + D4([species]).energies(DAMPING)[key] \
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
    record = features.compute(SPECIES["H"], TINY)
    monkeypatch.setattr(fit.features, "load", lambda *_: replace(record, converged=False))
    assert fit.prepare(functional, [SPECIES["H"]], "nowhere", DAMPING, TINY) == {}


def test_residuals_are_in_kcal():
    targets = [Target("x", "g", (("a", 2), ("b", -1)), 0.5)]
    assert fit.residuals(targets, {"a": 1.0, "b": 1.0}) == pytest.approx([KCAL * 0.5])


def test_dispersion_is_that_of_molecules_with_pairs_of_electrons():
    """None for atoms, whatever their charge, and none for one electron."""
    energies = D4(SPECIES.values()).energies(DAMPING)
    assert energies["H2"] < 0
    assert not any(e for key, e in energies.items() if key != "H2")


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("make", (random_functional, random_local_hybrid))
def test_species_on_disk_give_the_same_numbers_as_in_memory(records, make):
    functional = make().requires_grad_(True)
    species = list(SPECIES.values())
    kept, streamed, some = (fit.prepare(functional, species, records, DAMPING, TINY, memory)
                            for memory in (1e9, 0, 1e6))
    assert sum(fit.size(e.terms) for e in kept.values()) > 1e6
    in_memory = [isinstance(e.terms, tuple) for e in (*kept.values(), *streamed.values())]
    assert in_memory == [True] * len(species) + [False] * len(species)
    assert 0 < sum(fit.size(e.terms) for e in some.values() if isinstance(e.terms, tuple)) <= 1e6
    for prepared in (streamed, some):
        assert fit.energies(functional, prepared) == fit.energies(functional, kept)
        for one, other in zip(fit.jacobian(functional, prepared), fit.jacobian(functional, kept), strict=True):
            assert same(one, other)


def test_blocks_of_points_add_up(records, functional, prepared, monkeypatch):
    monkeypatch.setattr(points, "BLOCK", 301)
    blocks = fit.prepare(functional, [SPECIES["H2"]], records, DAMPING, TINY)
    assert len(tuple(blocks["H2"].terms)) > len(tuple(prepared["H2"].terms))
    assert float(fit.energy(functional, blocks["H2"])) == pytest.approx(float(fit.energy(functional, prepared["H2"])),
                                                                       abs=1e-12)


def test_a_record_that_is_missing_is_named(tmp_path, functional):
    with pytest.raises(InvalidInput, match="no density of He in "):
        fit.prepare(functional, [SPECIES["He"]], tmp_path, DAMPING, TINY)


def test_an_omega_that_the_records_lack_is_named(records):
    with pytest.raises(InvalidInput, match=r"ω is 0.35, the densities hold exact exchange at 0.3, 0.4: add it"):
        fit.prepare(random_functional(omega=0.35), list(SPECIES.values()), records, DAMPING, TINY)


def test_a_nan_in_a_record_is_named_with_its_file(functional, monkeypatch, records):
    record = features.load(SPECIES["H"], records, TINY)
    monkeypatch.setattr(fit.features, "load", lambda *_: replace(record, weights=record.weights * np.nan))
    name = features.record_path(records, SPECIES["H"], TINY).name
    with pytest.raises(InvalidInput, match=rf"{name}, the record of H, holds NaN or infinity in weights: delete"):
        fit.prepare(functional, [SPECIES["H"]], records, DAMPING, TINY)
