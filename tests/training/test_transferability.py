"""The experiment: what its arms differ in, and what its tables say."""

import json
from types import SimpleNamespace

import pytest

from mlxc.bench import runner
from mlxc.bench.entries import Builder
from mlxc.bench.protocol import STANDARD
from mlxc.errors import InvalidInput
from tests.bench.conftest import H2, H2_CATION, PROTOCOL
from tests.functionals import random_local_hybrid
from training.data import HELD_OUT_IONS
from training.experiments.transferability import __main__ as command
from training.experiments.transferability import report, selfconsistent, stored
from training.experiments.transferability.arms import ARMS, CONSTRAINTS, PENALTIES, SEEDS, config, dataset

BY_NAME = {arm.name: arm for arm in ARMS}


def test_arms_differ_in_what_their_names_say():
    found = {name: config(arm, 1) for name, arm in BY_NAME.items()}
    relaxed = {name: set(c["network"].get("relaxed", ())) for name, c in found.items()}
    assert {name for name in relaxed if relaxed[name] == set(CONSTRAINTS)} == set("abcf")
    assert relaxed["d"] == relaxed["e"] == set()
    assert {name for name, c in found.items() if "penalty" in c} == {"c"}
    assert set(found["c"]["penalty"]) == set(PENALTIES)
    assert {name for name, c in found.items() if "fractional" in c["data"]["sources"]} == set("ef")
    assert {c["fit"]["seed"] for c in found.values()} == {1} and len(SEEDS) == 3
    plain = {name: {k: v for k, v in c.items() if k in ("exchange", "dispersion", "fit")} for name, c in found.items()}
    assert all(p == plain["a"] for p in plain.values())


def test_all_but_one_see_the_same_third(reference_folder):
    data = {name: dataset(arm, reference_folder, lambda _: None) for name, arm in BY_NAME.items()}
    molecules = {name: {t.id for t in d.targets if t.group == "atomisation"} for name, d in data.items()}
    assert len(molecules["b"]) == 98 and len(molecules["a"]) == 33 and molecules["a"] < molecules["b"]
    assert all(found == molecules["a"] for name, found in molecules.items() if name != "b")
    for name in "abcd":  # neutral closed shells, and the atoms that they are made of
        assert all(s.charge == 0 and (len(s.atoms) == 1 or s.n_alpha == s.n_beta) for s in data[name].species.values())
    ions = {key for key, s in data["e"].species.items() if s.charge and float(s.charge).is_integer()}
    labelled = {key for t in data["e"].targets if t.reference for key, _ in t.terms}
    assert ions and not ions & labelled  # their energies are nowhere given


def test_the_test_holds_nothing_that_an_arm_was_trained_on(reference_folder):
    tested = stored.tests(reference_folder)
    groups = {t.group for t in tested.targets}
    assert groups == set(stored.GROUPS)
    trained = set().union(*(dataset(arm, reference_folder, lambda _: None).species for arm in ARMS))
    for t in tested.targets:
        if t.group in ("ions", "stretched cations"):
            unusual = {key for key, _ in t.terms if len(tested.species[key].atoms) > 1 and tested.species[key].charge}
            assert not unusual & trained
    known = [t for t in tested.targets if t.group == "neutral molecules" and stored._known(
        t, tested.species, [stored.Fingerprint(s) for s in dataset(BY_NAME["b"], reference_folder).species.values()])]
    assert not known and sum(t.group == "neutral molecules" for t in tested.targets) == 105
    symbols = {a[0] for t in stored.lines().targets for key, _ in t.terms for a in stored.lines().species[key].atoms}
    assert set(HELD_OUT_IONS) < symbols and {"F", "Cl"}.isdisjoint(symbols)


def test_lines_keep_their_electrons():
    found = stored.lines()
    for t in found.targets:
        (middle, _), (left, a), (right, b) = ((found.species[key], c) for key, c in t.terms)
        assert middle.is_fractional and middle.electrons == pytest.approx(-a * left.electrons - b * right.electrons)


def test_self_consistent_sets_are_parts_of_the_benchmarks(reference_folder):
    smoke, others = selfconsistent.wanted(reference_folder)
    assert len(smoke.entries) == 50 and [s.name for s in others] == ["charges", "cations"]
    for s in others:
        assert {key for e in s.entries for key, _ in e.terms} == s.jobs.keys()
    assert {e.subset for e in others[1].entries} == {"H2+", "He2+", "SIE4x4"}
    assert selfconsistent.PROTOCOL.hash != STANDARD.hash


def test_a_table_has_means_and_deviations():
    table = report.table("kcal/mol", {"ions": {"a": [1.0, 2.0, 3.0], "b": [4.0]}, "radicals": {"a": [2.0]}})
    assert table.header == ("kcal/mol", "ions", "radicals")
    assert table.rows == (("a: no constraints", "2.00 ± 1.00", "2.00"), ("b: no constraints, 3 × the data", "4.00", ""))


def test_the_figure_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    values = {arm.name: [1.0, 2.0, 1.5] for arm in ARMS}
    report.draw({"ions": values, "radicals": values}, tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_both_ways_are_reported(tmp_path, monkeypatch):
    """Two models through the runner: errors at stored densities are given, those of the SCF computed."""
    from mlxc import zoo

    build = Builder()
    build.add("IP", "s", "ions", [(H2_CATION, 1), (H2, -1)], 350.0)
    build.add("E", "s", "radicals", [(H2, 1)], -700.0)
    smoke, charges = build.finished("ions-radicals-smoke", ""), build.finished("charges", "")
    monkeypatch.setattr(selfconsistent, "wanted", lambda _: (smoke, [charges]))
    monkeypatch.setattr(selfconsistent, "PROTOCOL", PROTOCOL)
    models, at_stored = {}, {}
    for name in "ad":
        functional = random_local_hybrid(name=f"exp_{name}0")
        exchange = functional.exchange | {"omega": 0.0, "sr_fraction": 1.0, "lr_fraction": 1.0}
        models[name, 0] = zoo.save(tmp_path / "models", functional, {
            "name": functional.name, "version": "1.0", "description": "x", "kind": "lh", "claims": [],
            "exchange": exchange, "network": functional.network,
            "domain": {"elements": ["H"], "charges": [0, 1], "spins": [0, 1]},
            "training": {"data_hash": "0" * 64, "summary": "none", "date": "2026-01-01"}})
        at_stored[name, 0] = {group: {"IP": 1.0, "E": -3.0} for group in stored.GROUPS}
    selfconsistent.run(models, tmp_path, tmp_path / "scf")
    text = command.written(models, at_stored, tmp_path)
    assert (tmp_path / "report.md").read_text() == text and (tmp_path / "transferability.png").is_file()
    assert (tmp_path / "selfconsistent.png").is_file()
    lines = [line for line in text.splitlines() if line.startswith("| a: no constraints |")]
    assert len(lines) == 3 and lines[0].count("2.00") == len(stored.GROUPS)
    errors = selfconsistent.errors(tmp_path / "scf", "exp_a0")
    assert errors["ions"].keys() == {"IP"} and {"IP", "E"} == errors[
        "fractional charges of atoms in e and f"].keys()
    assert "a0 0 of 4" in text and json.loads((tmp_path / "scf" / "protocol.json").read_text())["grid_level"] == 0

    command.publish(command.Results(tmp_path / "scf"), tmp_path / command.ENERGIES)
    monkeypatch.setattr(runner, "attempt", lambda *_: pytest.fail("computed again"))
    selfconsistent.run(models, tmp_path, tmp_path / "elsewhere", known=tmp_path / command.ENERGIES)
    assert selfconsistent.errors(tmp_path / "elsewhere", "exp_a0") == errors


def test_what_is_fitted_and_measured_is_kept(tmp_path, monkeypatch):
    fits, measured = [], []

    def fit(chosen, *_, out, **__):
        out.mkdir(exist_ok=True)
        fits.append(chosen["model"]["name"])
        return random_local_hybrid(), [], ""

    def save(folder, functional, fields):
        folder.mkdir(exist_ok=True)
        (folder / f"{fields}.toml").touch()

    monkeypatch.setattr(command, "densities", lambda *_: None)
    monkeypatch.setattr(command, "dataset", lambda *_: None)
    monkeypatch.setattr(command.member, "fitted", fit)
    monkeypatch.setattr(command, "card", lambda chosen, *_: chosen["model"]["name"])
    monkeypatch.setattr(command.zoo, "save", save)
    monkeypatch.setattr(command.zoo, "load", lambda path: SimpleNamespace(card={"dispersion": {}}, path=path))
    monkeypatch.setattr(stored, "errors", lambda f, *_: measured.append(f.path) or {"ions": {"IP": 1.0}})
    keys = [(BY_NAME["a"], 0), (BY_NAME["d"], 1)]
    command.fit_all(keys, tmp_path, tmp_path, tmp_path, 1)
    assert sorted(fits) == ["exp_a0", "exp_d1"] and len(measured) == 2
    command.stored_path(*keys[0], tmp_path).unlink()
    command.fit_all(keys, tmp_path, tmp_path, tmp_path, 1)
    assert len(fits) == 2 and len(measured) == 3
    command.model_path(*keys[0], tmp_path).unlink()  # errors of another fit are none of this one's
    command.fit_all(keys, tmp_path, tmp_path, tmp_path, 1)
    assert len(fits) == 3 and len(measured) == 4
    assert command.fitted(*keys[1], tmp_path, tmp_path, tmp_path) == {"ions": {"IP": 1.0}} and len(measured) == 4


def test_a_fit_that_fails_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "densities", lambda *_: None)
    monkeypatch.setattr(command, "fitted", lambda *_: (_ for _ in ()).throw(InvalidInput("no record")))
    with pytest.raises(InvalidInput, match="no record"):
        command.fit_all([(BY_NAME["a"], 0)], tmp_path, tmp_path, tmp_path, 1)


def test_a_folder_of_another_experiment_is_refused(tmp_path, reference_folder, monkeypatch):
    command._claim(tmp_path, reference_folder)
    command._claim(tmp_path, reference_folder)
    monkeypatch.setattr(command, "SEEDS", (0, 1))
    with pytest.raises(InvalidInput, match="other configurations or data"):
        command._claim(tmp_path, reference_folder)


def test_means_are_over_what_all_have():
    found = {("a", 0): {"ions": {"x": 1.0, "y": 3.0}}, ("b", 0): {"ions": {"x": -2.0}},
             ("b", 1): {"ions": {"x": 4.0}}}
    assert command._by_group(found) == {"ions": {"a": [1.0], "b": [2.0, 4.0]}}
    stored_ = {("a", 0): {"ions": {"x": 0.5}}, ("b", 0): {}, ("b", 1): {"ions": {"x": 4.0}}}
    assert command._differences(found, stored_) == {("a", 0): {"ions": {"x": 0.5}}, ("b", 1): {"ions": {"x": 0.0}}}


def test_one_electron_is_told_apart():
    """Hard constraints make H₂⁺ exact, which would flatter them among the stretched cations."""
    found = stored.apart({"stretched cations": {"SIE4x4-001": 20.0, "SIE4x4-005": 5.0}, "radicals": {"x": 1.0}})
    assert found == {"stretched cations": {"SIE4x4-005": 5.0}, stored.ONE_ELECTRON: {"SIE4x4-001": 20.0},
                     "radicals": {"x": 1.0}}


def test_finished_parts_are_kept(tmp_path):
    calls = []
    for _ in range(2):
        assert stored.kept(tmp_path / "x.json", lambda: calls.append(1) or {"ions": {"r": 1.0}}) == {"ions": {"r": 1.0}}
    assert len(calls) == 1 and not list(tmp_path.glob("*.tmp"))




def test_molecules_of_one_name_and_two_geometries_are_both_computed(tmp_path, monkeypatch):
    built = []
    monkeypatch.setattr(stored, "tests", lambda _: SimpleNamespace(species={"CH4": "of the test"}))
    monkeypatch.setattr(command, "dataset", lambda *_: SimpleNamespace(species={"CH4": "of train.json"}))
    monkeypatch.setattr(command.features, "build", lambda species, *_: built.extend(species.values()))
    command.densities(tmp_path, tmp_path, 1)
    assert sorted(built) == ["of the test", "of train.json"]
