"""End to end: densities, two steps of the fit, a model file, and a calculation by the new name."""

import re
import sys
import tomllib
from dataclasses import replace

import numpy as np
import pytest
from pyscf import dft, gto

import mlxc
from mlxc import zoo
from mlxc.errors import InvalidInput
from mlxc.units import KCAL
from mlxc.xc.constraints import CLAIMS, measure
from tests.functionals import random_functional
from tests.training.conftest import SPECIES, TARGETS, TINY
from training import configuration, data, ensemble, member, train
from training.data import Target
from training.model_card import card

NAME = "tiny_rs"

CONFIG = f"""
[model]
name = "{NAME}"
version = "0.0.1"
kind = "rs"
description = "two steps on two species"
data = "made by the test"

[exchange]
omega = 0.3
sr_fraction = 0.1

[network]
width = 3
depth = 1

[dispersion]
s6 = 1.0
s8 = 0.5
s9 = 1.0
a1 = 0.4
a2 = 5.0

[fit]
seed = 3
ridge = 0.03
steps = 2

[tolerance]
atomisation = 1.0
one_electron = 1.0
"""


FUNCTIONAL = random_functional()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(printed text, folder) of the command line on H and H₂."""
    folder = tmp_path_factory.mktemp("train")
    (folder / "config.toml").write_text(CONFIG)
    chosen = {key: SPECIES[key] for key in ("H", "H2")}
    targets = [t for t in TARGETS if {key for key, _ in t.terms} <= chosen.keys()]
    arguments = ["train", str(folder / "config.toml"), "--data", str(folder), "--features", str(folder / "features"),
                 "--out", str(folder / "out")]
    lines: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", arguments)
        patch.setattr(data, "from_config", lambda *_: data.Dataset(chosen, targets))
        patch.setattr("builtins.print", lambda *words, **_: lines.append(" ".join(map(str, words))))
        patch.setattr(ensemble.fitted, "__defaults__", (*ensemble.fitted.__defaults__[:-1], lines.append))
        train.main()
    return "\n".join(lines), folder / "out"


def test_training_lowers_the_loss_and_prints_its_table(trained):
    text, _ = trained
    steps = re.findall(r"step +\d+ +loss +([\d.]+) -> +([\d.]+)", text)
    assert len(steps) == 2 and all(float(new) < float(old) for old, new in steps)
    assert "2 species, 2 of 2 targets" in text
    assert re.search(r"^roughness .*: exchange \d", text, re.MULTILINE)
    assert re.search(r"^atomisation +1 ", text, re.MULTILINE) and re.search(r"^one_electron +1 ", text, re.MULTILINE)


def test_trained_model_runs_in_an_scf_by_its_name(trained):
    """The model file gives the functional that was fitted: the SCF's error is nearly that on the fit's densities."""
    text, folder = trained
    model = zoo.load(str(folder / f"{NAME}.toml"))
    assert mlxc.register(model) == NAME
    mol = gto.M(atom=list(SPECIES["H2"].atoms), basis=SPECIES["H2"].basis, verbose=0)
    mf = dft.RKS(mol, xc=NAME)
    mf.grids.level = 2
    mf.kernel()
    atom = dft.UKS(gto.M(atom="H 0 0 0", basis="6-31g", spin=1, verbose=0), xc=NAME).run()
    assert mf.converged and atom.converged
    scf_error = KCAL * (2 * atom.e_tot - mf.e_tot - mlxc.dispersion_energy(mol, NAME) - TARGETS[0].reference)
    fit_error = float(re.search(r"^atomisation .* ([+-][\d.]+) TAE", text, re.MULTILINE)[1])
    assert scf_error == pytest.approx(fit_error, abs=0.3)
    assert all(m.ok for m in measure(model) if m.claimed)


def test_card_says_what_the_model_was_trained_on(trained):
    card = zoo.load(str(trained[1] / f"{NAME}.toml")).card
    assert (card["name"], card["version"], card["kind"]) == (NAME, "0.0.1", "rs")
    assert card["claims"] == CLAIMS["rs"]
    assert card["exchange"] == {"omega": 0.3, "sr_fraction": 0.1, "lr_fraction": 1.0}
    assert card["domain"] == {"elements": ["H"], "charges": [0], "spins": [0, 1]}
    assert card["training"]["summary"] == (
        "2 targets (1 atomisation, 1 one_electron) of 2 species; densities of wb97x; made by the test")
    assert card["training"]["fit"] == {"seed": 3, "ridge": 0.03, "steps": 2}


def config() -> dict:
    return tomllib.loads(CONFIG)


def test_constraints_can_be_soft_or_absent(records, tmp_path):
    """Without them the fraction of long-range exchange is fitted; a penalty pulls it back; the card claims neither."""
    fractions = {}
    for how, penalty in (("off", {}), ("soft", {"long_range_exchange": 1e-3})):
        relaxed = config() | {"penalty": penalty}
        relaxed["network"] = relaxed["network"] | {"relaxed": ["bounds", "long_range"]}
        dataset = data.Dataset(SPECIES, [t for t in TARGETS if t.group in relaxed["tolerance"]])
        functional, used, _ = member.fitted(configuration.checked(relaxed), dataset, records, TINY, lambda _: None)
        path = zoo.save(tmp_path / how, functional, card(relaxed, functional, dataset, used, TINY))
        found = zoo.load(str(path))
        fractions[how] = found.lr_fraction
        assert found.card["network"]["relaxed"] == ["bounds", "long_range"]
        assert not {"lieb_oxford", "long_range_exchange"} & set(found.card["claims"])
        assert {"uniform_gas", "spin_scaling"} <= set(found.card["claims"])
    assert abs(fractions["soft"] - 1) < 0.02 < abs(fractions["off"] - 1)


def test_the_model_is_left_and_the_checkpoint_is_not(trained):
    assert sorted(p.name for p in trained[1].iterdir()) == [
        f"{NAME}.{ending}" for ending in ("jsonl", "png", "safetensors", "toml")]


def test_data_hash_depends_on_species_and_targets():
    def data_hash(species, targets):
        return card(config(), FUNCTIONAL, data.Dataset(species, targets), targets, TINY)["training"]["data_hash"]

    other_basis = SPECIES | {"H2": replace(SPECIES["H2"], basis="sto-3g")}
    hashes = {data_hash(SPECIES, TARGETS), data_hash(SPECIES, TARGETS[:-1]), data_hash(other_basis, TARGETS),
              data_hash(SPECIES, [*TARGETS[:-1], Target("x", "g", (), 1.0)])}
    assert len(hashes) == 4
    assert data_hash(SPECIES, TARGETS) in hashes


def test_domain_leaves_out_fractional_and_one_electron_charges():
    """A bare proton's electron says nothing about cations."""
    domain = card(config(), FUNCTIONAL, data.Dataset(SPECIES, TARGETS), TARGETS, TINY)["domain"]
    assert domain == {"elements": ["H", "He"], "charges": [0], "spins": [0, 1]}


def test_same_seed_gives_the_same_start():
    settings = config() | {"fit": {"seed": 3, "ridge": 0.03, "steps": 0}}
    starts = [member.fitted(settings, data.Dataset({}, []), "nowhere", TINY, log=lambda _: None)[0] for _ in range(2)]
    reseeded = settings | {"fit": settings["fit"] | {"seed": 4}}
    other = member.fitted(reseeded, data.Dataset({}, []), "nowhere", TINY, log=lambda _: None)[0]
    one, two, three = ([p.detach().numpy() for p in f.parameters()] for f in (*starts, other))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(one, three, strict=True))


def test_table_names_the_worst_of_each_group():
    targets = [Target("a", "g", (), 0.0), Target("b", "g", (), 0.0), Target("c", "h", (), 0.0)]
    lines = member.table(targets, np.array([1.0, -3.0, 0.5])).splitlines()
    assert lines[1].split() == ["g", "2", "2.00", "-1.00", "-3.00", "b"]
    assert lines[2].split() == ["h", "1", "0.50", "+0.50", "+0.50", "c"]


def test_the_card_says_that_test_data_were_trained_on():
    def said(section):
        made = card(config() | section, FUNCTIONAL, data.Dataset(SPECIES, TARGETS), TARGETS, TINY)
        return made["training"].get("train_on_test")

    assert said({"data": {"train_on_test": True}}) is True
    assert said({"data": {"train_on_test": False}}) is said({}) is None


def test_the_card_says_what_the_training_set_shares_with_the_test():
    found = {"compared": "benchmark.json", "sha256": "0" * 64, "shared_species": 2, "trained_reactions": ["R"]}
    made = card(config(), FUNCTIONAL, data.Dataset(SPECIES, TARGETS, found), TARGETS, TINY)
    assert made["training"]["leakage"] == found
    assert "leakage" not in card(config(), FUNCTIONAL, data.Dataset(SPECIES, TARGETS), TARGETS, TINY)["training"]


@pytest.mark.parametrize("target, reason", [
    (Target("R7", "atomisation", (("H2", -1), ("H_", 2)), 0.1),
     r"target R7 of group atomisation needs species H_, which is not among .* did you mean H\?"),
    (Target("R8", "atomisation", (("H2", -1), ("H", 2)), float("nan")), r"target R8 .* has the reference nan"),
    (Target("R9", "barrier", (("H2", -1), ("H", 2)), 0.1), r"\[tolerance\] has no barrier, which 1 targets"),
])
def test_a_target_that_cannot_be_fitted_is_named(records, target, reason):
    with pytest.raises(InvalidInput, match=reason):
        member.fitted(config(), data.Dataset(SPECIES, [target]), records, TINY, log=lambda _: None)


def test_curvature_between_whole_charges_is_fitted_where_it_has_a_tolerance(records):
    lines: list[str] = []
    settings = config() | {"tolerance": {"fractional": 1.0, "curvature": 5.0}}
    fractional = [t for t in TARGETS if t.group == "fractional"]
    used = member.fitted(settings, data.Dataset(SPECIES, fractional), records, TINY, lines.append)[1]
    assert [t.id for t in used] == ["H_0.75", "curvature(H_0.75)"] and "curvature" in lines[-2]


def test_checkpoints_of_a_fit_and_of_its_members_are_removed(tmp_path):
    name = f"{NAME}.checkpoint.npz"
    kept = [tmp_path / "other.checkpoint.npz", tmp_path / "round1" / name]
    for path in (tmp_path / name, tmp_path / "0" / name, tmp_path / "12" / name, *kept):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    member.remove_checkpoints(tmp_path, config())
    assert sorted(p for p in tmp_path.rglob("*") if p.is_file()) == kept


def test_errors_end_the_command_with_one_sentence(tmp_path, monkeypatch):
    path = tmp_path / "config.toml"
    path.write_text(CONFIG.replace("ridge", "rigde"))
    monkeypatch.setattr(sys, "argv", ["train", str(path), "--data", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"train: .*config.toml: \[fit\] has no key rigde; .*did you mean ridge\?"):
        train.main()
