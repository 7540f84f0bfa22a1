"""Spin states of atoms, and the script that made them."""

import json
import sys
from pathlib import Path

import pytest

from mlxc.units import EV, KCAL
from training import data, make_small, make_spins, manifest

SPINS = Path(__file__).parents[2] / "data" / "spins.json"


def test_splittings_are_those_of_experiment():
    """Within 0.07 eV of measured levels, means over J (NIST Atomic Spectra Database), which have relativity in them."""
    measured = {"Be": 2.725, "C": 4.179, "C+": 5.331, "N+": 5.790, "Mg": 2.714,
                "Al": 3.598, "Al+": 4.651, "Si": 4.113, "Si+": 5.308}
    found = {r["id"][3:-1]: r["reference"] * EV / KCAL for r in manifest.read(SPINS)["reactions"]}
    assert {name: found[name] for name in measured} == pytest.approx(measured, abs=0.07)
    assert found.keys() - measured.keys() == {"B"}


def test_manifest_is_what_the_script_lists():
    found = manifest.read(SPINS)
    assert len(found["reactions"]) == sum(map(len, make_spins.STATES.values()))
    assert not {(s, q) for s, lower in make_spins.STATES.items() for q, _ in lower if q and s in data.HELD_OUT_IONS}


def test_ground_states_are_the_atoms_of_other_sources():
    found = manifest.dataset(manifest.read(SPINS), "def2-tzvpd", "aug-cc-pvtz")
    assert found.species["C_4_2_aug-cc-pvtz"] == data.atom("C", 4, 2)
    assert all(sum(c for _, c in t.terms) == 0 for t in found.targets)


def test_one_splitting_is_computed_again(tmp_path):
    totals = [make_small.extrapolated(*(make_spins.energy("Be", 0, spin, zeta, tmp_path, "") for zeta in "tq"))
              for spin in (0, 2)]
    label = next(r["reference"] for r in manifest.read(SPINS)["reactions"] if r["id"] == "SS(Be)")
    assert KCAL * (totals[1] - totals[0]) == pytest.approx(label, abs=2e-3)


def test_script_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys):
    calls: list[tuple] = []

    def job(atoms, charge, spin, basis, core):
        calls.append((atoms[0][0], charge, spin, basis, core))
        return lambda: [-1.0 + 0.1 * spin, 0.0]

    monkeypatch.setattr(make_spins, "job", job)
    monkeypatch.setattr(make_spins, "STATES", {"Be": ((0, 0),), "C": ((1, 1),)})
    arguments = ["make_spins", "--work", str(tmp_path / "work"), "--out", str(tmp_path / "s.json")]
    monkeypatch.setattr(sys, "argv", arguments)
    make_spins.main()
    assert "[1/4] be_1_t: 0 s" in capsys.readouterr().out
    assert ("Be", 0, 2, "cc-pcvqz", True) in calls and ("C", 1, 3, "cc-pcvtz", True) in calls
    (tmp_path / "work" / "c+_4_q.json").unlink()
    make_spins.main()
    assert capsys.readouterr().out.startswith("[4/4] c+_4_q: 0 s")
    found = json.loads((tmp_path / "s.json").read_text())["reactions"]
    assert [r["reference"] for r in found] == pytest.approx([0.2 * KCAL] * 2, abs=1e-3)
