"""The command line of the benchmark."""

import json

import pytest
from click.testing import CliRunner

from mlxc import zoo
from mlxc.bench.__main__ import main
from tests.functionals import random_functional

CARD = {"name": "tiny_bench", "version": "0.0.1", "description": "random weights", "kind": "rs", "claims": [],
        "domain": {"elements": ["H"], "charges": [0], "spins": [1]}}


@pytest.fixture
def folder(tmp_path):
    """Reference files with one reaction, H₂⁺ → H, that is trained on, and results folder."""
    species = {"h": {"canonical": "h", "charge": 0, "spin": 1, "atoms": [["H", 0, 0, 0]]}}
    reaction = {"id": "R1", "subset": "X", "cls": "radicals", "stoichiometry": {"h": 1}, "reference": 0.0}
    (tmp_path / "benchmark.json").write_text(json.dumps({"species": species, "reactions": [reaction]}))
    (tmp_path / "benchmark_core_ids.json").write_text(json.dumps({"smoke": ["R1"], "core": []}))
    return tmp_path


def report(folder, model: str):
    return CliRunner().invoke(main, ["report", "--data", str(folder), "--out", str(folder / "out"), "--xc", model])


@pytest.mark.parametrize("trained", (True, False))
def test_a_model_trained_on_the_test_is_not_scored(folder, trained):
    functional = random_functional()
    functional.name = CARD["name"]
    exchange = functional.exchange | {"lr_fraction": functional.lr_fraction}
    fields = CARD | {"exchange": exchange, "network": functional.network}
    training = {"data_hash": "0" * 64, "summary": "none", "date": "2026-01-01"}
    training |= {"train_on_test": True} if trained else {}
    path = zoo.save(folder, functional, fields | {"training": training})
    result = report(folder, str(path))
    assert ("was trained on the test set" in result.output) == trained
    assert result.exit_code != 0 or not trained
