"""The table: errors of known results, what is left out and what is named."""

import json

import pytest

from mlxc.bench.figure import subset_errors
from mlxc.bench.report import KCAL, errors, summary, table
from mlxc.bench.sets import Reaction
from mlxc.errors import InvalidInput

REACTIONS = [
    Reaction("one", "S", "ions", (("a", 1), ("b", -1)), 10.0),
    Reaction("two", "S", "ions", (("c", 2), ("a", -1)), -4.0),
    Reaction("three", "T", "radicals", (("c", 1),), 0.0),
]

#: Energies in kcal/mol, the second the dispersion.
ENERGIES = {"x": {"a": (12.0, 1.0), "b": (1.0, 0.5), "c": (3.0, 0.0)},
            "y": {"a": (10.0, 0.0), "b": (0.0, 0.0), "c": (5.0, 0.0)}}


@pytest.fixture
def out(tmp_path):
    for functional, species in ENERGIES.items():
        (tmp_path / functional).mkdir()
        for key, (scf, dispersion) in species.items():
            result = {"e_scf": scf / KCAL, "e_disp": dispersion / KCAL, "converged": (functional, key) != ("y", "b")}
            (tmp_path / functional / f"{key}.json").write_text(json.dumps(result))
    return tmp_path


def cells(text: str, row: str) -> list[str]:
    return [cell.strip() for cell in next(x for x in text.splitlines() if x.startswith(f"| {row} ")).split("|")[2:-1]]


def test_errors_are_those_of_the_energies(out):
    found, unconverged = errors(out, "x", REACTIONS)
    assert found == pytest.approx({"one": 1.5, "two": -3.0, "three": 3.0}) and unconverged == []
    assert errors(out, "x", REACTIONS, dispersion=False)[0] == pytest.approx({"one": 1.0, "two": -2.0, "three": 3.0})


def test_unconverged_species_count_with_their_last_energy_and_are_named(out):
    found, unconverged = errors(out, "y", REACTIONS)
    assert found["one"] == pytest.approx(0) and unconverged == ["one"]


def test_rows_are_means_of_the_members(out):
    text = table(out, ["x", "y"], REACTIONS)
    assert cells(text, "S") == ["2", "2.25 (-0.75)", "2.00 (+2.00)"]
    assert cells(text, "T") == cells(text, "radicals") == ["1", "3.00 (+3.00)", "5.00 (+5.00)"]
    assert cells(text, "all") == ["3", "2.50 (+0.50)", "3.00 (+3.00)"]
    assert cells(text, "SCF not converged") == ["3", "0", "1"]
    assert cells(text, "worst") == ["", "+3.0 three", "+5.0 three"]
    assert "not finished" not in text


def test_only_reactions_that_every_functional_has_are_compared(out):
    (out / "x" / "b.json").unlink()
    text = table(out, ["x", "y"], REACTIONS)
    assert cells(text, "all")[0] == "2" and cells(text, "SCF not converged") == ["2", "0", "0"]
    assert "2 of 3 reactions: the run is not finished" in text


def test_an_empty_run_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="no reaction that is finished with all of x, y"):
        table(tmp_path, ["x", "y"], REACTIONS)


def test_only_the_chosen_rows_are_printed(out):
    text = table(out, ["x"], REACTIONS, only=["radicals"])
    assert "| radicals " in text and "| S " not in text and "| all " not in text


def test_a_cards_summary_counts_reactions_and_failures(out):
    found = summary(out, "y", REACTIONS)
    assert found == {"reactions": 3, "not_converged": 1, "mae_ions_kcal": 2.0, "mae_radicals_kcal": 5.0,
                     "mae_all_kcal": 3.0}


def test_the_picture_is_written(out, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "figures" / "errors.png"
    subset_errors(out, ["x", "y"], REACTIONS, path)
    assert path.read_bytes().startswith(b"\x89PNG")
