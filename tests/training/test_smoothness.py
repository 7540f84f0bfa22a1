"""Targets that compare two grids: a functional that a coarse grid cannot integrate is pulled back."""

from dataclasses import replace

import pytest

from tests.functionals import random_local_hybrid
from tests.training.conftest import SPECIES, TINY
from training import features, fit, train

NO_D4 = {"s6": 0.0, "s8": 0.0, "s9": 0.0, "a1": 0.4, "a2": 5.0}


def test_atoms_and_diatomics_with_whole_electrons_take_part():
    assert set(train.small(SPECIES)) == {"H2", "He", "Li"}


def test_the_target_is_the_difference_of_the_energy_on_two_grids(tmp_path, monkeypatch):
    coarse = replace(TINY, grid=1)
    monkeypatch.setattr(train, "COARSE", coarse)
    few = train.small(SPECIES)
    for settings in (TINY, coarse):
        features.build(few, tmp_path, settings)
    functional = random_local_hybrid(0.3)
    prepared = fit.prepare(functional, list(few.values()), tmp_path, NO_D4, TINY)
    fine = fit.energies(functional, dict(prepared))
    targets = train._on_two_grids(functional, few, prepared, tmp_path, {"dispersion": NO_D4})
    found = fit.energies(functional, prepared)
    alone = fit.energies(functional, fit.prepare(functional, list(few.values()), tmp_path, NO_D4, coarse))
    for target, error in zip(targets, fit.residuals(targets, found), strict=True):
        key = target.terms[1][0]
        assert target.group == "grid" and target.reference == 0.0
        assert error / 627.5 == pytest.approx(alone[key] - fine[key], abs=1e-6) and error != 0
