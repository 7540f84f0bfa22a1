"""The spread of members against the errors: numbers known by hand."""

import numpy as np
import pytest

from mlxc.bench import spread
from mlxc.bench.entries import Entry, Set
from mlxc.bench.metrics import Column
from mlxc.units import KCAL

ENTRIES = (Entry("one", "S", "ions", (("a", 1), ("b", -1)), 10.0),
           Entry("two", "S", "ions", (("c", 2), ("a", -1)), -4.0),
           Entry("three", "T", "radicals", (("c", 1),), 2.5),
           Entry("level", "T", "radicals", (("c", 1),), 2.5, "eV", "minus_homo"))

#: kcal/mol: energies by member.
MEMBERS = {"a": [12.0, 12.0, 15.0], "b": [1.0, 1.0, 4.0], "c": [2.0, 3.0, 4.0]}


def column(members: bool = True) -> Column:
    results = {key: {"members": [e / KCAL for e in energies] if members else None} for key, energies in MEMBERS.items()}
    return Column("x", {}, (), (), (), results)


def test_what_members_share_cancels():
    found = spread.deviations(Set("s", "", ENTRIES, {}), column(), 1.0)
    assert found.keys() == {"one", "two", "three"}  # levels have no members
    assert found["one"] == pytest.approx(0, abs=1e-9)  # a and b differ by 11 for every member
    assert found["two"] == pytest.approx(np.std([-8, -6, -7], ddof=1)) and found["three"] == pytest.approx(1.0)


def test_the_scale_of_the_card_counts():
    assert spread.deviations(Set("s", "", ENTRIES, {}), column(), 3.0)["three"] == pytest.approx(3.0)


def test_a_functional_without_members_has_no_spread():
    assert spread.deviations(Set("s", "", ENTRIES, {}), column(False), 1.0) == {}


def test_correlation_and_coverage():
    rank, below = spread.quality(np.array([0.1, 1.0, 2.0]), np.array([1.0, 1.5, 3.0]))
    assert rank == pytest.approx(1.0) and below == pytest.approx(2 / 3)
