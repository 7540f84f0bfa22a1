"""Folds that share no ion and no radical, each predicted by a fit that has not seen it."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from mlxc.errors import InvalidInput
from mlxc.manifest.species import occupied
from mlxc.xc.ensemble import seeing
from tests.training.conftest import TINY
from tests.training.test_ensemble import DATASET, config
from training import leave_out, refine
from training.data import Dataset, Target

OH, LI_H = [("O", (0.0, 0.0, 0.0)), ("H", (0.0, 0.0, 0.97))], [("Li", (0.0, 0.0, 0.0)), ("H", (0.0, 0.0, 1.6))]
POOL = {s.key: s for s in (
    occupied("oh__small", tuple(OH), 0, 1, "sto-3g"),
    occupied("hydroxyl", (("O", (0.0, 0.0, 0.0)), ("H", (0.0, 0.98, 0.0))), 0, 1, "6-31g"),
    occupied("oh-__large", tuple(OH), -1, 0, "6-31g"), occupied("lih+__small", tuple(LI_H), 1, 1, "sto-3g"),
    occupied("lih__small", tuple(LI_H), 0, 0, "sto-3g"), occupied("h__small", (OH[1],), 0, 1, "sto-3g"))}


def target(id_: str, *keys: str) -> Target:
    return Target(id_, "core", tuple((key, 1.0) for key in keys), 0.0)


REACTIONS = Dataset(POOL, [
    target("a-1", "oh__small", "h__small"), target("b-1", "oh-__large"), target("b-2", "oh-__large", "hydroxyl"),
    target("c-1", "lih+__small", "lih__small"), target("c-2", "lih__small", "h__small"),
    Target("other", "atomisation", (("lih__small", 1.0),), 0.0)])


def test_targets_with_a_common_ion_or_radical_are_in_one_fold():
    found = [sorted(t.id for t in fold) for fold in leave_out.folds(REACTIONS, "core", 3)]
    assert sorted(found) == [["a-1", "b-1", "b-2"], ["c-1"], ["c-2"]]  # OH has two names; LiH and H are shared


def test_more_folds_than_there_can_be_are_refused():
    with pytest.raises(InvalidInput, match="only 3 sets"):
        leave_out.folds(REACTIONS, "core", 4)
    with pytest.raises(InvalidInput, match="at least 2"):
        leave_out.folds(REACTIONS, "core", 1)
    with pytest.raises(InvalidInput, match="unknown group 'cores'"):
        leave_out.folds(REACTIONS, "cores", 2)


def test_what_is_left_out_is_not_fitted(records, monkeypatch):
    held = [t for t in DATASET.targets if t.id == "TAE(H2)"]
    seen, fitted = [], leave_out.member.fitted

    def watched(settings, dataset, *rest, **named):
        seen.append(({t.id for t in dataset.targets}, "ensemble" in settings))
        return fitted(settings, dataset, *rest, **named)

    monkeypatch.setattr(leave_out.member, "fitted", watched)
    monkeypatch.setattr(leave_out.features.Settings, "of", lambda _: TINY)
    found = leave_out.predicted(config(3), DATASET, held, records, log=lambda _: None)
    assert seen == [({t.id for t in DATASET.targets} - {"TAE(H2)"}, False)]
    assert set(found) == {"TAE(H2)"} and 0.1 < abs(found["TAE(H2)"]) < 100


def test_the_table_has_the_mean_of_all_and_of_the_subsets():
    lines = leave_out.table({"A-1-001": 1.0, "A-1-002": -3.0, "B-001": 6.0}).splitlines()
    assert lines[1].split() == ["A-1", "2", "2.00", "-1.00"] and lines[2].split() == ["B", "1", "6.00", "+6.00"]
    assert lines[3].split() == ["all", "3", "3.33", "+1.33"] and lines[4].split()[-1] == "4.00"


def test_finished_folds_are_kept(monkeypatch, tmp_path, capsys):
    ids = ["SIE4x4-001", "X-001", "X-002"]
    dataset = Dataset(POOL, [target(id_, "h__small") for id_ in ids])
    monkeypatch.setattr(leave_out.configuration, "read", lambda _: {"model": {"name": "tiny"}})
    monkeypatch.setattr(leave_out.data, "from_config", lambda *_: dataset)
    monkeypatch.setattr(leave_out.features.Settings, "of", lambda _: TINY)
    monkeypatch.setattr(leave_out.member, "make_densities", lambda *_: None)
    asked: list[str] = []

    def predicted(config, dataset, held, folder, begin, device):
        asked.extend(t.id for t in held)
        return {t.id: 2.0 for t in held}

    monkeypatch.setattr(leave_out, "predicted", predicted)
    command = ["leave_out", "tiny.toml", "--group", "core", "--folds", "3", "--out", str(tmp_path)]
    for part, known in ((["--part", "0", "2"], 2), (["--part", "1", "2"], 3), ([], 3)):
        monkeypatch.setattr(sys, "argv", command + part)
        leave_out.main()
        assert f"{known} of 3 folds" in capsys.readouterr().out
    assert sorted(asked) == ids and len(found := list(tmp_path.glob("tiny-*of3.json"))) == 3
    leave_out.main()
    assert "all                 2     2.00" in capsys.readouterr().out  # without what is never scored
    assert all(json.loads(path.read_text()) for path in found)
    monkeypatch.setattr(leave_out.configuration, "read", lambda _: {"model": {"name": "tiny"}, "fit": {"ridge": 1.0}})
    leave_out.main()
    assert sorted(asked) == sorted(2 * ids)  # another configuration finds nothing that is finished


@pytest.mark.parametrize("parts", ([[i] for i in range(12)], [[0, 3, 4], [1], [2, 5, 6, 7, 11]]))
def test_leaving_out_is_exact_for_a_linear_fit(parts):
    """A weighted ridge regression of 12 numbers, done again without each of them, or without several."""
    generator = np.random.default_rng(0)
    jac, y, weight = generator.normal(size=(12, 3)), generator.normal(size=12), generator.uniform(0.5, 2, 12)

    def solved(kept):
        j, w = jac[kept], weight[kept]
        return np.linalg.solve(j.T @ (w[:, None] * j) + 0.6 * np.eye(3), j.T @ (w * y[kept]))

    found = leave_out.without_parts(jac @ solved(np.arange(12)) - y, weight, jac, 0.3, parts)
    again = {i: jac[i] @ solved(np.delete(np.arange(12), part)) - y[i] for part in parts for i in part}
    assert found == pytest.approx(again)


def test_each_alone_is_a_fold_of_its_own():
    assert [[t.id for t in fold] for fold in leave_out.alone(REACTIONS, "core")] == [
        [t.id] for t in REACTIONS.targets if t.group == "core"]
    with pytest.raises(InvalidInput, match="did you mean core"):
        leave_out.alone(REACTIONS, "cores")


ATOMS = {s.key: s for s in (
    occupied("f__a", (("F", (0.0, 0.0, 0.0)),), 0, 1, "a"), occupied("f-__a", (("F", (0.0, 0.0, 0.0)),), -1, 0, "a"),
    occupied("o__a", (("O", (0.0, 0.0, 0.0)),), 0, 2, "a"), POOL["oh__small"], POOL["h__small"])}


def test_an_elements_atoms_and_ions_are_left_out_together_and_its_molecules_stay():
    dataset = Dataset(ATOMS, [
        Target("E(F)", "total", (("f__a", 1.0),), 0.0), Target("E(O)", "total", (("o__a", 1.0),), 0.0),
        Target("EA(F)", "affinity", (("f__a", 1.0), ("f-__a", -1.0)), 0.0),
        Target("OH", "atomisation", (("o__a", 1.0), ("h__small", 1.0), ("oh__small", -1.0)), 0.0),
        Target("F + O", "reaction", (("f__a", 1.0), ("o__a", 1.0)), 0.0)])
    assert [[t.id for t in fold] for fold in leave_out.elements(dataset)] == [["E(F)", "EA(F)"], ["E(O)"]]
    with pytest.raises(InvalidInput, match="1 elements with atoms"):
        leave_out.elements(dataset.only(t for t in dataset.targets if "F" in t.id))
    lines = leave_out.table({"E(F)": 2.0, "E(O)": -4.0, "EA(F)": 1.0}, {t.id: t.group for t in dataset.targets})
    assert [line.split()[:4] for line in lines.splitlines()[1:3]] == [
        ["affinity", "1", "1.00", "+1.00"], ["total", "2", "3.00", "-1.00"]]


@pytest.mark.parametrize(("option", "asked"), (("--elements", ["--elements"]),
                                               ("--densities", ["--group", "core", "--densities", "before.toml"])))
def test_what_needs_a_model_says_so(monkeypatch, capsys, option, asked):
    monkeypatch.setattr(leave_out.configuration, "read", lambda _: {"model": {"name": "tiny"}})
    monkeypatch.setattr(leave_out.data, "from_config", lambda *_: REACTIONS)
    monkeypatch.setattr(sys, "argv", ["leave_out", "tiny.toml", *asked])
    with pytest.raises(SystemExit):
        leave_out.main()
    assert f"{option} needs --model" in capsys.readouterr().err


def test_a_refined_model_is_left_out_at_the_densities_that_it_was_refined_at(monkeypatch, capsys):
    """Those that `training.refine` keys its records of a round by."""
    seen = {}
    monkeypatch.setattr(leave_out.configuration, "read", lambda _: {"model": {"name": "tiny"}, "features": {}})
    monkeypatch.setattr(leave_out.data, "from_config", lambda *_: REACTIONS)
    monkeypatch.setattr(leave_out.features.Settings, "of", lambda _: TINY)
    monkeypatch.setattr(leave_out.zoo, "load", lambda _: "refined")
    monkeypatch.setattr(leave_out.member, "make_densities", lambda *args: seen.update(made=args[3]))

    def estimated(config, dataset, functional, folder, divided, settings, device):
        return seen.update(used=settings) or {"A-1-001": 1.0}

    monkeypatch.setattr(leave_out, "estimated", estimated)
    monkeypatch.setattr(sys, "argv", ["leave_out", "tiny.toml", "--group", "core", "--folds", "0",
                                      "--model", "after.toml", "--densities", "before.toml"])
    leave_out.main()
    assert seen["made"] == seen["used"] == refine.own_settings({}, Path("before.toml"))
    assert seen["used"].xc == "before.toml" and seen["used"].conv_tol == refine.LOOSE["conv_tol"]


def test_a_fit_begins_with_a_mean_that_sees_more(records, monkeypatch):
    """Its first member's parameters, without the inputs that only others see."""
    monkeypatch.setattr(leave_out.features.Settings, "of", lambda _: TINY)
    given = config(2) | {"network": config(2)["network"] | {"zeta2": False}}
    given["ensemble"]["variants"] = [{"network": {"zeta2": True}}]
    begin = leave_out.ensemble.fitted(given, DATASET, records, TINY, log=lambda _: None)[0]
    held, still = [t for t in DATASET.targets if t.id == "TAE(H2)"], given | {"fit": given["fit"] | {"steps": 0}}
    first = seeing(begin.member(0), given["network"])
    prepared = leave_out.fit.prepare(first, DATASET.species.values(), records, given["dispersion"], TINY)
    expected = leave_out.fit.residuals(held, leave_out.fit.energies(first, prepared))[0]
    found = leave_out.predicted(still, DATASET, held, records, begin, log=lambda _: None)
    assert begin.zeta2 and found == {"TAE(H2)": pytest.approx(expected, abs=1e-9)}


def test_every_member_counts_with_its_own_weights(records):
    functional = leave_out.ensemble.fitted(config(2), DATASET, records, TINY, log=lambda _: None)[0]
    held = [[t] for t in DATASET.targets if t.group == "atomisation"]
    found = leave_out.estimated(config(2), DATASET, functional, records, held, TINY)
    alone = [leave_out.estimated(leave_out.ensemble.member_config(config(2), m), DATASET, f, records, held, TINY)
             for m, f in enumerate(leave_out.ensemble.members(functional))]
    assert found.keys() == {"TAE(H2)"}
    assert found["TAE(H2)"] == pytest.approx(np.mean([a["TAE(H2)"] for a in alone]))
