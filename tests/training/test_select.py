"""What is picked from a pool: what members disagree on, unless something like it is known."""

import sys

import numpy as np
import pytest

from mlxc.errors import InvalidInput
from mlxc.manifest.species import occupied
from mlxc.units import KCAL
from tests.functionals import random_functional
from tests.training.conftest import SPECIES, TARGETS, TINY
from tests.training.test_ensemble import DATASET, config
from training import ensemble, fit, select
from training.data import Dataset, Target


def diatomic(name: str, a: str, b: str, distance: float):
    return occupied(name, ((a, (0.0, 0.0, 0.0)), (b, (0.0, 0.0, distance))), 0, 0, "sto-3g")


TRAINED = [diatomic("hf", "H", "F", 0.92), diatomic("hcl", "H", "Cl", 1.28), diatomic("h2", "H", "H", 0.74)]
POOL = {s.key: s for s in (diatomic("hf'", "H", "F", 0.93), diatomic("f2", "F", "F", 1.41),
                           diatomic("f2'", "F", "F", 1.42), diatomic("lih", "Li", "H", 1.6))}
REACTIONS = Dataset(POOL, [Target(f"D({key})", "atomisation", ((key, -1.0),), 0.0) for key in POOL])


def test_the_widest_spread_of_what_is_far_comes_first():
    spread = {"D(hf')": 9.0, "D(f2)": 3.0, "D(f2')": 2.9, "D(lih)": 1.0}
    found = select.pick(spread, REACTIONS, TRAINED, 2)
    assert [p.id for p in found] == ["D(f2)", "D(lih)"]


def test_scores_are_those_of_the_docstring():
    known = select._molecules(TRAINED)
    first = select.pick({"D(f2)": 3.0, "D(hf')": 1.0}, REACTIONS, TRAINED, 1)[0]
    assert first.spread == 3.0
    assert first.score == pytest.approx(3.0 * first.distance / (first.distance + select.typical_distance(known)))


def test_no_more_is_picked_than_there_is():
    assert len(select.pick({"D(f2)": 3.0}, REACTIONS, TRAINED, 5)) == 1


def test_a_training_set_of_one_molecule_says_nothing():
    with pytest.raises(InvalidInput, match="has 1 molecules, two are needed"):
        select.pick({"D(f2)": 3.0}, REACTIONS, TRAINED[:1], 1)


def test_a_spread_is_that_of_the_members(records):
    functional = ensemble.fitted(config(3), DATASET, records, TINY, log=lambda _: None)[0]
    damping = config(3)["dispersion"]
    prepared = fit.prepare(functional, SPECIES.values(), records, damping, TINY)
    found = select.spreads(functional, prepared, DATASET.targets)
    alone = [fit.energies(f, prepared) for f in ensemble.members(functional)]
    target = next(t for t in TARGETS if len(t.terms) > 1)
    energies = [sum(c * e[key] for key, c in target.terms) for e in alone]
    assert found[target.id] == pytest.approx(KCAL * np.std(energies, ddof=1)) and found[target.id] > 1e-4


def test_a_single_functional_is_refused():
    with pytest.raises(InvalidInput, match="is no ensemble.*members = 5"):
        select.spreads(random_functional(), {}, REACTIONS.targets)


def test_command_refuses_a_pool_that_is_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["select", "mlxc_rs", "--config", "training/configs/toy.toml", "--pool",
                                      str(tmp_path / "pool.json")])
    with pytest.raises(SystemExit, match="no manifest"):
        select.main()
