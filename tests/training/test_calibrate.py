"""The factor that makes a spread honest."""

import json
import sys

import numpy as np
import pytest

from mlxc import zoo
from mlxc.errors import InvalidModel
from mlxc.units import KCAL
from tests.training.conftest import SPECIES, TARGETS, TINY
from tests.training.test_ensemble import DATASET, config
from training import calibrate, ensemble, fit
from training.data import Dataset
from training.model_card import card


@pytest.fixture(scope="module")
def functional(records):
    """The mean of three members."""
    return ensemble.fitted(config(3), DATASET, records, TINY, log=lambda _: None)[0]


def test_two_thirds_of_normal_errors_lie_within_the_scaled_spread():
    generator = np.random.default_rng(1)
    sigma = generator.uniform(0.1, 2.0, 20000)
    found = calibrate.scaled(np.abs(2.5 * sigma * generator.normal(size=20000)), sigma)
    assert found["scale"] == pytest.approx(2.5, rel=0.02) and found["below_two_sigma"] == pytest.approx(0.954, abs=0.01)
    assert 0.3 < found["rank_correlation"] < 0.8 and found["reactions"] == 20000


def test_the_scale_is_that_of_the_reactions(functional, records):
    dataset = Dataset(SPECIES, [t for t in TARGETS if t.reference is not None])
    damping = config(3)["dispersion"]
    members = ensemble.energies(functional, fit.prepare(functional, SPECIES.values(), records, damping, TINY))
    found = calibrate.calibration(members, dataset.targets)
    values = KCAL * np.array([[sum(c * e[key] for key, c in t.terms) - t.reference for t in dataset.targets]
                              for e in members])
    assert found == calibrate.scaled(np.abs(values.mean(0)), values.std(0, ddof=1))
    assert found["reactions"] == len(dataset.targets) and found["scale"] > 0
    fewer = [{key: energy for key, energy in e.items() if key != "He"} for e in members]
    assert 0 < calibrate.calibration(fewer, dataset.targets)["reactions"] < len(dataset.targets)


def test_the_card_keeps_everything_else(functional, tmp_path):
    path = zoo.save(tmp_path, functional, card(config(3), functional, DATASET, TARGETS, TINY))
    before = zoo.load(str(path)).card
    found = {"scale": 4.0, "reactions": 3, "rank_correlation": 0.2, "below_two_sigma": 1.0}
    after = zoo.load(str(zoo.rewrite(path, {"uncertainty": found}))).card
    assert after["uncertainty"] == found
    assert {k: v for k, v in after.items() if k != "uncertainty"} == {k: v for k, v in before.items()
                                                                       if k != "uncertainty"}


def test_a_scale_that_is_no_number_is_refused(functional, tmp_path):
    fields = card(config(3), functional, DATASET, TARGETS, TINY) | {"uncertainty": {"scale": "large"}}
    with pytest.raises(InvalidModel, match="scale is 'large', expected a finite number"):
        zoo.save(tmp_path, functional, fields)


def test_the_list_is_the_projects_own(reference_folder):
    dataset = calibrate.reactions(reference_folder)
    assert {t.id for t in dataset.targets} == set(json.loads(calibrate.SELECTION.read_text())["benchmark"])


def test_what_the_model_was_fitted_to_does_not_count(reference_folder):
    """The `_all` models know five of the reactions by name, and are calibrated on the others."""
    listed = set(json.loads(calibrate.SELECTION.read_text())["benchmark"])
    for name, seen in (("mlxc_lh", 0), ("mlxc_lh_all", 5)):
        fitted = zoo.load(name).card["training"]["leakage"]["trained_reactions"]
        left = {t.id for t in calibrate.reactions(reference_folder, fitted).targets}
        assert left == listed - set(fitted) and len(listed - left) == seen


def test_command_says_which_file_is_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["calibrate", "mlxc_rs", "--data", str(tmp_path)])
    with pytest.raises(SystemExit, match="no reference file"):
        calibrate.main()
