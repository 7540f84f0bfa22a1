"""The mean of a range-separated and a local hybrid as a model: energies, D4, spread and card are those of the mean."""

import sys

import numpy as np
import pytest

from mlxc import zoo
from mlxc.errors import InvalidInput
from mlxc.xc import violations
from mlxc.xc.ensemble import combine
from tests.functionals import random_functional, random_local_hybrid
from tests.training.conftest import SPECIES, TARGETS, TINY
from tests.training.test_dispersion import PLANTED, made_up
from training import average, calibrate, fit, fit_dispersion, noncovalent
from training.data import PROJECT, Dataset
from training.dispersion import NO_DISPERSION
from training.model_card import card

OMEGA, LOCAL_OMEGA = TINY.omegas[0], TINY.omegas[-1]


def config(kind: str, exchange: dict) -> dict:
    return {"model": {"name": f"toy_{kind}", "version": "0.3", "description": "x", "kind": kind, "data": "y"},
            "exchange": exchange, "network": {"width": 3, "depth": 1}, "tolerance": {}, "fit": {"seed": 0},
            "dispersion": PLANTED, "data": {"train_on_test": kind == "lh"}}


@pytest.fixture
def parts(tmp_path):
    """A range-separated and a local hybrid of two members each."""
    made = {"rs": (random_functional, {"omega": OMEGA}, {"omega": OMEGA, "sr_fraction": 0.2}),
            "lh": (lambda **more: random_local_hybrid(hole=False, **more), {"local_omega": LOCAL_OMEGA},
                   {"local_omega": LOCAL_OMEGA, "b_max": 2.0})}
    paths = []
    for kind, (make, omega, exchange) in made.items():
        functional = combine([make(seed=seed, width=3, depth=1, **omega) for seed in (1, 2)], f"toy_{kind}")
        leakage = {"trained_reactions": ["R2"] if kind == "rs" else ["R1", "R2"]}
        fields = card(config(kind, exchange), functional, Dataset(SPECIES, TARGETS, leakage), TARGETS, TINY)
        paths.append(zoo.save(tmp_path, functional, fields | {"network": functional.network}))
    return paths


def test_energies_are_the_means_of_what_each_record_gives(parts, records):
    models = [zoo.load(str(path)) for path in parts]
    species = [SPECIES[key] for key in ("H2", "He")]
    each = [fit.energies(f, fit.prepare(f, species, records, NO_DISPERSION, TINY)) for f in models]
    found = average.energies(models, species, records)
    for s in species:
        assert found[s.key] == pytest.approx((each[0][s.key] + each[1][s.key]) / 2, abs=1e-12)
    assert abs(each[0]["He"] - each[1]["He"]) > 1e-6
    members = average.member_energies(models, species, records, NO_DISPERSION)
    assert len(members) == 2 and members[0]["He"] != members[1]["He"]
    assert np.mean([e["He"] for e in members]) == pytest.approx(found["He"], abs=1e-12)
    assert average.mean([{"a": 1.0, "b": 2.0}, {"a": 2.0}]) == {"a": 1.5}


def test_the_command_writes_the_mean_with_its_d4_and_spread(parts, records, monkeypatch, tmp_path, capsys):
    species, targets, bare = made_up()
    monkeypatch.setattr(noncovalent, "members", lambda _: (species, targets))
    shift = {"toy_rs": 0.01, "toy_lh": -0.01}
    monkeypatch.setattr(fit_dispersion, "energies_without_dispersion",
                        lambda f, *_: {key: e * (1 + shift[f.name]) for key, e in bare.items()})
    dataset, asked = Dataset(SPECIES, [t for t in TARGETS if t.reference is not None]), []
    monkeypatch.setattr(calibrate, "reactions", lambda _, fitted: asked.append(fitted) or dataset)
    monkeypatch.setattr(sys, "argv", ["average", *map(str, parts), "--name", "toy_rslh", "--data", "x",
                                      "--features", str(records), "--out", str(tmp_path / "out"), "--version", "0.7"])
    average.main()
    path = tmp_path / "out" / "toy_rslh.toml"
    assert f"written: {path}" in capsys.readouterr().out
    model, (rs, lh) = zoo.load(str(path)), (zoo.load(str(p)) for p in parts)
    made = model.card
    assert made["dispersion"] == pytest.approx(PLANTED, abs=2e-2) and made["version"] == "0.7"
    members = average.member_energies([rs, lh], SPECIES.values(), records, made["dispersion"])
    assert made["uncertainty"] == calibrate.calibration(members, dataset.targets)
    assert asked == [["R1", "R2"]] and made["training"]["leakage"] == {"trained_reactions": ["R1", "R2"]}
    assert (made["kind"], made["ensemble"]) == ("rslh", {"members": 2})
    assert made["exchange"] == {"omega": OMEGA, "sr_fraction": 0.6, "lr_fraction": 1.0, "local_omega": LOCAL_OMEGA,
                                "b_max": 1.0}
    assert made["domain"] == rs.card["domain"] and made["grid"] == rs.card["grid"]
    assert made["training"]["train_on_test"] and "mean of toy_rs 0.3 and toy_lh 0.3" in made["training"]["summary"]
    assert made["training"]["parts"]["toy_lh"]["sha256"] == lh.card["weights"]["sha256"]
    density = violations.sampled_density(20)
    assert model.edens(density).equal((rs.edens(density) + lh.edens(density)) / 2)


def test_without_densities_nothing_is_written(parts, monkeypatch, tmp_path):
    monkeypatch.setattr(noncovalent, "members", lambda _: made_up()[:2])
    monkeypatch.setattr(calibrate, "reactions", lambda *_: Dataset(SPECIES, TARGETS))
    with pytest.raises(InvalidInput, match="densities are not in"):
        average.averaged(parts, "toy_rslh", tmp_path, tmp_path / "none", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", [calibrate, fit_dispersion])
def test_other_commands_ask_for_its_parts(command, monkeypatch, tmp_path):
    monkeypatch.setattr(calibrate, "reactions", lambda *_: Dataset(SPECIES, TARGETS))
    config = PROJECT / "training" / "configs" / "mlxc_rs.toml"
    monkeypatch.setattr(sys, "argv", ["command", "mlxc_rslh", "--config", str(config), "--data", str(tmp_path)])
    with pytest.raises(SystemExit, match="mlxc_rslh is of kind 'rslh'.*give one of its parts"):
        command.main()


def test_two_of_one_form_are_refused(parts, monkeypatch, tmp_path):
    with pytest.raises(InvalidInput, match="expected a range-separated and a local hybrid"):
        average.averaged([parts[0]] * 2, "toy", tmp_path, tmp_path, tmp_path)
    more = ["--name", "x", "--data", "x", "--out", "x"]
    monkeypatch.setattr(sys, "argv", ["average", str(parts[0]), "mlxc_lh_9", *more])
    with pytest.raises(SystemExit, match="unknown functional 'mlxc_lh_9'"):
        average.main()
