"""Self-consistent refinement."""

import re
import tomllib
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from mlxc import zoo
from mlxc.manifest.species import Species
from tests.functionals import random_functional, random_local_hybrid
from tests.training.conftest import SPECIES, TARGETS
from tests.training.test_train import CONFIG
from training import configuration, features, fit, member, refine
from training.data import Dataset
from training.density import record_of
from training.model_card import card
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


@pytest.mark.slow
def test_rounds_make_densities_measure_and_fit_until_it_does_not_help(tmp_path):
    """From a saved model, whose parameters are not free; nothing is done twice."""
    found = tomllib.loads(CONFIG)
    found["tolerance"] |= dict.fromkeys(sorted({t.group for t in TARGETS}), 3.0)
    config = configuration.checked(found | {"features": {"scf_grid": 0, "grid": 0}})
    dataset, records, lines = Dataset(SPECIES, TARGETS), tmp_path / "features", []
    settings = features.Settings.of(config)
    features.build(SPECIES, records, settings)
    start = member.fitted(config, dataset, records, settings, log=lambda _: None)[0]
    saved = zoo.save(tmp_path, start, card(config, start, dataset, TARGETS, settings))
    end = refine.refine(config, dataset, saved, records, tmp_path / "out", rounds=1, log=lines.append)
    merits = [float(x) for x in re.findall(r"round \d: merit ([\d.]+)", "\n".join(lines))]
    assert len(merits) == 2 and len(list(records.glob("*.h5"))) == 3 * len(SPECIES)
    again, failed = refine.own_densities(config, dataset, end, records)
    kept = refine.measured(config, dataset, zoo.load(str(end)), records, again)
    assert not failed and zoo.card(end)["training"]["features"]["xc"] == (settings.xc if end == saved else refine.OWN)
    assert kept.merit == pytest.approx(min(merits), abs=1e-4) and not kept.failures


def test_what_does_not_converge_counts_as_many_tolerances(tmp_path, monkeypatch):
    config = {"tolerance": {"atomisation": 2.0}}
    target = TARGETS[0]
    monkeypatch.setattr(member, "prepared", lambda *_: ({}, [target]))
    found = refine.measured(config, Dataset(SPECIES, [target]), None, tmp_path, SETTINGS)
    assert found.merit == refine.FAILURE and set(found.failures) == {key for key, _ in target.terms}


def test_so_does_what_cannot_be_computed_while_the_rest_is_fitted(tmp_path, monkeypatch):
    """An SCF that ends with an exception costs its targets; that of every species ends the refinement."""
    target, *others = TARGETS
    lost = target.terms[0][0]
    monkeypatch.setattr(features, "build_for", lambda *_, **__: (_ for _ in ()).throw(
        features.SomeFailed({lost: "LinAlgError: not positive"}, len(SPECIES))))
    monkeypatch.setattr(refine, "replace", lambda settings, **changes: settings)
    config, dataset = {"tolerance": {t.group: 2.0 for t in TARGETS}}, Dataset(SPECIES, TARGETS)
    _, failed = refine.own_densities(config, dataset, tmp_path / "x.toml", tmp_path)
    assert failed == {lost: "LinAlgError: not positive"}
    left = [t for t in others if all(key != lost for key, _ in t.terms)]
    assert refine.without(dataset, failed).targets == left
    monkeypatch.setattr(member, "prepared", lambda _, there, *__: ({}, list(there.targets)))
    assert refine.measured(config, dataset, None, tmp_path, SETTINGS, failed=failed).merit == refine.FAILURE
    with pytest.raises(features.SomeFailed):
        refine.own_densities(config, Dataset({lost: SPECIES[lost]}, [target]), tmp_path / "x.toml", tmp_path)


def split(vector, functional):
    """A vector of all parameters in the shapes of the functional's."""
    start = 0
    for p in functional.parameters():
        yield vector[start:start + p.numel()].reshape(p.shape)
        start += p.numel()
