"""The damping of D4: planted parameters are found, outliers do not bend them, the card is written again."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from pyscf import gto

import mlxc
from mlxc import zoo
from mlxc.manifest.species import Species
from mlxc.units import KCAL
from tests.training.conftest import SPECIES, TINY
from training import features, fit, fit_dispersion
from training.data import Target
from training.dispersion import D4, NO_DISPERSION

PLANTED = {"s6": 1.0, "s9": 1.0, "s8": 0.7, "a1": 0.35, "a2": 4.8}


def chain(symbol: str, distance: float, count: int = 2) -> Species:
    """Atoms on a line."""
    atoms = tuple((symbol, (0.0, 0.0, i * distance)) for i in range(count))
    electrons = {"He": 2, "Ne": 10, "Ar": 18, "Kr": 36}[symbol] * count / 2
    return Species(f"{symbol}{count}_{distance}", atoms, electrons, electrons, "none")


def made_up(noise=0.0) -> tuple[dict[str, Species], list[Target], dict[str, float]]:
    """Rare-gas dimers and trimers in three sets, with energies whose errors D4 with PLANTED makes up for."""
    species, targets, energies = {}, [], {}
    for i, symbol in enumerate(("Ne", "Ar", "Kr")):
        single = chain(symbol, 0.0, 1)
        species[single.key], energies[single.key] = single, -100.0 * i
        for count, distance in ((2, 2.8), (2, 3.4), (2, 4.2), (3, 3.6)):
            s = chain(symbol, distance + 0.3 * i, count)
            terms = ((s.key, -1), (single.key, count))
            species[s.key], energies[s.key] = s, count * energies[single.key] + 1e-4 * (distance - 3)
            targets.append(Target(s.key, f"set {i}", terms, 0.0))
    errors = fit_dispersion.interactions(targets, energies, D4(species.values())).errors(PLANTED) + noise
    return species, [fit.replace(t, reference=e / KCAL) for t, e in zip(targets, errors, strict=True)], energies


def data_of(made) -> fit_dispersion.Interactions:
    species, targets, energies = made
    return fit_dispersion.interactions(targets, energies, D4(species.values()))


# ------------------------------------------------------------------------------------------- energies


def test_cached_coefficients_give_the_energy_for_any_damping():
    pair, triple = chain("Ar", 3.5), chain("Kr", 4.0, 3)
    d4 = D4([pair, triple, chain("Ne", 0.0, 1), SPECIES["H2+"]])
    for damping in (PLANTED, PLANTED | {"a2": 6.0}, PLANTED):
        found = d4.energies(damping)
        assert found[pair.key] == D4([pair]).energies(damping)[pair.key] < 0
        assert found[triple.key] == D4([triple]).energies(damping)[triple.key] < 0
        assert found["Ne1_0.0"] == found["H2+"] == 0
    assert set(d4.energies(NO_DISPERSION).values()) == {0.0}


def test_fractional_charges_lie_on_the_line_between_whole_ones():
    dimer = Species("dimer", (("F", (0.0, 0.0, 0.0)), ("F", (0.0, 0.0, 2.6))), 9.0, 9.0, "sto-3g")
    at = {charge: replace(dimer, key=f"{charge}", n_beta=9.0 - charge) for charge in (-1.0, -0.25, 0.0, 0.5, 1.0)}
    found = {float(key): e for key, e in D4(at.values()).energies(PLANTED).items()}
    assert found[0.5] == pytest.approx((found[0.0] + found[1.0]) / 2, abs=1e-15)
    assert found[-0.25] == pytest.approx(0.75 * found[0.0] + 0.25 * found[-1.0], abs=1e-15)
    assert len({round(e, 9) for e in found.values()}) == 5


def test_energies_without_dispersion_are_those_of_the_records(records):
    functional = zoo.load("mlxc_rs")
    chosen = [SPECIES[key] for key in ("H2", "He")]
    with_d4 = fit.energies(functional, fit.prepare(functional, chosen, records, PLANTED, TINY))
    without = fit_dispersion.energies_without_dispersion(functional, chosen, records, TINY)
    d4 = D4(chosen).energies(PLANTED)
    for s in chosen:
        assert without[s.key] == pytest.approx(with_d4[s.key] - d4[s.key], abs=1e-12)
    assert with_d4["H2"] < without["H2"]


def test_unconverged_species_have_no_energy(records, monkeypatch):
    record = features.load(SPECIES["He"], records, TINY)
    monkeypatch.setattr(features, "load", lambda *_: fit.replace(record, converged=False))
    assert fit_dispersion.energies_without_dispersion(zoo.load("mlxc_rs"), [SPECIES["He"]], records, TINY) == {}


def test_members_without_all_energies_are_left_out():
    species, targets, energies = made_up()
    del energies["Ne2_2.8"]
    assert [t.id for t in data_of((species, targets, energies)).targets] == [t.id for t in targets[1:]]


# ------------------------------------------------------------------------------------------------ fit


def test_planted_damping_is_recovered():
    data = data_of(made_up())
    assert np.abs(data.errors(None)).max() > 0.1
    found = fit_dispersion.fit_damping(data)
    assert found == pytest.approx(PLANTED, abs=2e-2)
    assert np.abs(data.errors(found)).max() < 1e-3
    assert fit_dispersion.at_bounds(found) == []


def test_an_outlier_does_not_bend_the_damping():
    noise = np.zeros(12)
    noise[5] = 2.0
    data = data_of(made_up(noise))
    errors = data.errors(fit_dispersion.fit_damping(data))
    assert errors[5] == pytest.approx(-2.0, abs=0.1)
    assert np.abs(np.delete(errors, 5)).max() < 0.1


def test_damping_stays_within_its_bounds():
    """References with no attraction at all, and with far too much."""
    species, targets, energies = made_up()
    for factor in (0.0, 20.0):
        wanted = data_of((species, targets, energies))
        shifted = [fit.replace(t, reference=(r + e + factor * d) / KCAL) for t, r, e, d in
                   zip(targets, wanted.references, wanted.bare, wanted.dispersion(PLANTED), strict=True)]
        found = fit_dispersion.fit_damping(data_of((species, shifted, energies)))
        assert all(low <= found[key] <= high for key, (low, high) in fit_dispersion.BOUNDS.items())
        assert fit_dispersion.at_bounds(found)


def test_a_set_left_out_does_not_enter_its_own_errors():
    noise = np.zeros(12)
    noise[8:] = [0.3, 0.3, 0.3, 0.6]  # of the third set
    data = data_of(made_up(noise))
    left_out = fit_dispersion.leave_one_set_out(data)
    assert left_out[8:] == pytest.approx(-noise[8:], abs=5e-3)
    assert np.abs(left_out[:8]).max() > 1e-2


def test_tolerances_widen_with_the_reference():
    targets = [Target("a", "s", (), 0.0), Target("b", "s", (), 10 / KCAL)]
    data = fit_dispersion.Interactions(targets, np.zeros(2), lambda _: np.zeros(2))
    assert data.tolerances == pytest.approx([0.1, 0.6])


# ----------------------------------------------------------------------------------- table and model card


def test_tables_show_every_set_and_member():
    targets = [Target("a", "S22", (), 1 / KCAL), Target("b", "S22", (), 2 / KCAL), Target("c", "RG18", (), 0.0)]
    data = fit_dispersion.Interactions(targets, np.array([1.0, -2.0, 0.5]), lambda _: np.zeros(3))
    columns = {"without D4": data.bare, "fitted": np.array([0.5, -0.25, 0.125])}
    lines = [line.split() for line in fit_dispersion.table(data, columns).splitlines()]
    assert lines[1] == ["S22", "2", "1.50", "(-0.50)", "0.38", "(+0.12)", "+0.50", "a"]
    assert lines[2] == ["RG18", "1", "0.50", "(+0.50)", "0.12", "(+0.12)", "+0.12", "c"]
    assert lines[3][:2] == ["all", "3"]
    members = [line.split() for line in fit_dispersion.list_members(data, columns).splitlines()]
    assert members[2] == ["b", "2.00", "-2.00", "-0.25"]


def test_the_command_prints_its_tables_and_rewrites_the_model(card_path, monkeypatch, capsys):
    """The model's energy by its name has the fitted D4, the weights are the same, old figures are gone."""
    before = zoo.load(str(card_path))
    fields = {k: v for k, v in before.card.items() if k not in ("format", "weights")}
    summary = "12 targets of the test; D4 damping not fitted; chosen by nobody"
    zoo.save(card_path.parent, before, fields | {"benchmark": {"mae": 1.0}, "training": {"summary": summary}})
    species, targets, energies = made_up()
    monkeypatch.setattr(fit_dispersion.reference, "complexes", lambda folder, heavy_atoms: (species, targets))
    asked: list = []
    monkeypatch.setattr(features, "build", lambda *args, workers: asked.append((args[0], args[2], workers)))
    monkeypatch.setattr(fit_dispersion, "energies_without_dispersion",
                        lambda *args: asked.append(args[3]) or energies)
    arguments = ["fit_dispersion", str(card_path), "--data", "x", "--features", "y", "--workers", "2"]

    monkeypatch.setattr(sys, "argv", [*arguments, "--dry-run"])
    fit_dispersion.main()
    assert "benchmark" in card_path.read_text() and "written" not in capsys.readouterr().out
    assert asked == [(species, features.STANDARD, 2), features.STANDARD]  # what is missing is computed with the same

    monkeypatch.setattr(sys, "argv", arguments)
    fit_dispersion.main()
    printed, after = capsys.readouterr().out, zoo.load(str(card_path))
    assert after.card["dispersion"] == pytest.approx(PLANTED, abs=2e-2) and f"written: {card_path}" in printed
    assert all(column in printed for column in ("without D4", "card", "fitted", "left out"))
    assert after.card["benchmark"] == {}
    assert after.card["training"]["summary"] == (
        "12 targets of the test; chosen by nobody; D4 damping fitted to 12 interaction energies (4 of set 0, "
        "4 of set 1, 4 of set 2), mean absolute error 0.00 kcal/mol")
    for name, tensor in before.state_dict().items():
        assert tensor.equal(after.state_dict()[name])
    mlxc.register(after)
    mol = gto.M(atom="Ar 0 0 0; Ar 0 0 3.4", basis="sto-3g", verbose=0)
    (expected,) = D4([chain("Ar", 3.4)]).energies(after.card["dispersion"]).values()
    assert mlxc.dispersion_energy(mol, after.name) == pytest.approx(expected, abs=1e-12)
