"""The spread of members against the errors: numbers known by hand."""

import json

import numpy as np
import pytest

from mlxc.bench import spread
from mlxc.bench.sets import Reaction
from mlxc.errors import InvalidInput
from mlxc.units import KCAL

REACTIONS = [Reaction("one", "S", "ions", (("a", 1), ("b", -1)), 10.0),
             Reaction("two", "S", "ions", (("c", 2), ("a", -1)), -4.0),
             Reaction("three", "T", "radicals", (("c", 1),), 2.5)]

#: kcal/mol: energies by member; the SCF energy is their mean.
MEMBERS = {"a": [12.0, 12.0, 15.0], "b": [1.0, 1.0, 4.0], "c": [2.0, 3.0, 4.0]}


@pytest.fixture
def out(tmp_path):
    for name in ("ensemble", "plain"):
        (tmp_path / name).mkdir()
        for key, energies in MEMBERS.items():
            result = {"e_scf": np.mean(energies) / KCAL, "e_disp": 0.0, "converged": True,
                      "members": [e / KCAL for e in energies] if name == "ensemble" else None}
            (tmp_path / name / f"{key}.json").write_text(json.dumps(result))
    return tmp_path


def test_what_members_share_cancels(out):
    found = spread.deviations(out, "ensemble", REACTIONS)
    assert found["one"] == pytest.approx(0, abs=1e-9)  # a and b differ by 11 for every member
    assert found["two"] == pytest.approx(np.std([-8, -6, -7], ddof=1))
    assert found["three"] == pytest.approx(1.0)


def test_the_scale_of_the_card_counts(out, monkeypatch):
    monkeypatch.setattr(spread.zoo, "names", lambda: ["ensemble"])
    monkeypatch.setattr(spread.zoo, "card", lambda name: {"uncertainty": {"scale": 3.0}})
    assert spread.deviations(out, "ensemble", REACTIONS)["three"] == pytest.approx(3.0)


def test_correlation_and_coverage(out):
    """Errors: 1 with σ 0, −3 with σ 1, ½ with σ 1."""
    row = spread.table(out, ["ensemble"], REACTIONS).splitlines()[-1]
    assert row.startswith("| ensemble | 3 | 0.67 |") and row.endswith("| 33 % |")


def test_a_functional_without_members_is_refused(out):
    with pytest.raises(InvalidInput, match="no energies by member of plain"):
        spread.table(out, ["plain"], REACTIONS)


def test_a_picture_is_drawn(out, tmp_path):
    spread.draw(out, "ensemble", REACTIONS, tmp_path / "spread.png")
    assert (tmp_path / "spread.png").stat().st_size > 5000
