"""The small set that the project computed itself, and the script that made it."""

import math
import sys
from pathlib import Path

import pytest

from mlxc.units import EV, KCAL
from training import make_small, manifest

SMALL = Path(__file__).parents[2] / "data" / "small" / "small.json"


def test_small_set_is_what_its_script_lists():
    """Every molecule, ion and point of the script, labels within 3 kcal/mol of well-known values (see its README)."""
    found = manifest.read(SMALL)
    energies = {r["id"]: r["reference"] for r in found["reactions"]}
    known = {"TAE(ch4)": 420.4, "TAE(nh3)": 298.0, "TAE(h2o)": 233.0, "TAE(hf)": 141.6, "TAE(n2)": 228.5,
             "TAE(co)": 259.7, "TAE(hcn)": 313.4, "TAE(c2h2)": 405.5, "IP(O)": 314.0, "EA(F)": 78.4}
    assert {name: energies[name] for name in known} == pytest.approx(known, abs=3)
    assert {name[4:-1] for name in energies if name.startswith("TAE")} == make_small.STARTS.keys()
    assert found["fractional"] == make_small.points()


def test_extrapolation_is_exact_for_its_own_law():
    hf, corr = (lambda x: -76.07 + 0.9 * math.exp(-1.63 * x)), (lambda x: -0.37 + 0.5 / x**3)
    assert make_small.extrapolated([hf(3), corr(3)], [hf(4), corr(4)]) == pytest.approx(-76.44, abs=1e-12)


def test_fractional_points_lie_between_their_end_points():
    found = {p["id"]: p for p in make_small.points()}
    assert (found["O_cation_0.25"]["n_alpha"], found["O_cation_0.25"]["n_beta"]) == (5.0, 2.75)
    assert (found["F_anion_0.5"]["n_alpha"], found["F_anion_0.5"]["n_beta"]) == (5.0, 4.5)
    assert found["H_cation_0.75"]["between"] == {"h": 0.25}


def test_script_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys):
    """Two molecules of one bond in a minimal basis; what is there is not computed again."""
    monkeypatch.setattr(make_small, "job", lambda *job: lambda: calls.append(job[-1]) or [-1.0, 0.0])
    monkeypatch.setattr(make_small, "geometry", lambda name, work: [["H", 0.0, 0.0, 0.0], ["F", 0.0, 0.0, 0.9]])
    monkeypatch.setattr(make_small, "STARTS", {"hf": ""})
    arguments = ["make_small", "--work", str(tmp_path / "work"), "--out", str(tmp_path / "small.json")]
    monkeypatch.setattr(sys, "argv", arguments)
    calls: list[str] = []
    make_small.main()
    total = len(calls)
    first = (tmp_path / "small.json").read_text()
    (tmp_path / "work" / "o_aug_q.json").unlink()
    make_small.main()
    assert len(calls) == total + 1 and calls[-1] == "aug-cc-pvqz"
    assert (tmp_path / "small.json").read_text() == first
    assert f"[1/{total}] h_aug_t: 0 s" in capsys.readouterr().out


def test_coupled_cluster_of_two_electrons_is_exact_in_the_basis():
    """H₂ in STO-3G at 1.4 bohr: full CI, A. Szabo and N. Ostlund, Modern Quantum Chemistry: −1.1373 Ha."""
    e_hf, e_corr = make_small.job([["H", 0.0, 0.0, 0.0], ["H", 0.0, 0.0, 0.740848]], 0, 0, "sto-3g")()
    assert e_hf + e_corr == pytest.approx(-1.1373, abs=2e-4) and e_corr < -0.02
    assert make_small.job([["H", 0.0, 0.0, 0.0]], 0, 1, "sto-3g")()[1] == 0.0


def test_one_label_of_the_small_set_is_computed_again():
    """The electron affinity of hydrogen, experimentally 0.754 eV."""
    totals = {}
    for name, charge, spin in (("h", 0, 1), ("h-", -1, 0)):
        pair = [make_small.job([["H", 0.0, 0.0, 0.0]], charge, spin, f"aug-cc-pv{zeta}z")() for zeta in "tq"]
        totals[name] = make_small.extrapolated(*pair)
    energies = {r["id"]: r["reference"] for r in manifest.read(SMALL)["reactions"]}
    assert KCAL * (totals["h"] - totals["h-"]) == pytest.approx(energies["EA(H)"], abs=1e-3)
    assert EV * (totals["h"] - totals["h-"]) == pytest.approx(0.754, abs=0.01)
