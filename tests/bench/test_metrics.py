"""Means of known errors."""

import pytest

from mlxc.bench import metrics
from mlxc.bench.entries import Entry, Set
from mlxc.bench.results import Results, write
from mlxc.units import KCAL

ENTRIES = (Entry("one", "S", "ions", (("a", 1), ("b", -1)), 10.0, related=True),
           Entry("two", "S", "ions", (("c", 2), ("a", -1)), -4.0, related=False),
           Entry("three", "T", "radicals", (("c", 1),), 2.0, related=False),
           Entry("seen", "T", "radicals", (("b", 1),), 0.0, trained=True))

#: Energies in kcal/mol, the second the dispersion.
ENERGIES = {"x": {"a": (12.0, 1.0), "b": (1.0, 0.5), "c": (5.0, 0.0)},
            "y": {"a": (10.0, 0.0), "b": (0.0, 0.0), "c": (7.0, 0.0)}}


@pytest.fixture
def s() -> Set:
    return Set("known", "", ENTRIES, {key: None for key in "abc"})


@pytest.fixture
def results(tmp_path) -> Results:
    write(tmp_path / "protocol.json", {"hash": "h"})
    for name, species in ENERGIES.items():
        write(tmp_path / name / "method.json", {"xc": name})
        for key, (scf, dispersion) in species.items():
            write(tmp_path / name / f"{key}.json", {
                "format": 1, "protocol": "h", "identity": {"xc": name}, "e_scf": scf / KCAL,
                "e_disp": dispersion / KCAL, "stable": None, "cycles": 8, "cpu_seconds": 2.0,
                "converged": (name, key) != ("y", "b")})
    return Results(tmp_path)


def test_errors_are_those_of_the_energies(results, s):
    x, y = (metrics.column(results, name, s) for name in "xy")
    assert x.errors == pytest.approx({"one": 1.5, "two": 1.0, "three": 3.0, "seen": 1.5})
    assert x.unconverged == x.failed == x.missing == ()
    assert y.errors["one"] == pytest.approx(0) and y.unconverged == ("one", "seen")


def test_what_is_missing_or_failed_has_no_error(results, s):
    (results.folder / "x" / "b.json").unlink()
    write(results.folder / "x" / "c.json", {
        "format": 1, "protocol": "h", "identity": {"xc": "x"}, "failed": "ValueError: no"})
    found = metrics.column(results, "x", s)
    assert found.errors == {} and found.missing == ("one", "seen") and found.failed == ("two", "three")
    assert metrics.scored(s, [found]) == []


def test_what_a_table_compares(results, s):
    """Entries of every functional, without those that are trained on."""
    columns = [metrics.column(results, name, s) for name in "xy"]
    assert [e.id for e in metrics.scored(s, columns)] == ["one", "two", "three"]


def test_means(results, s):
    errors = metrics.column(results, "x", s).errors
    assert metrics.mean_absolute(errors, ENTRIES[:3]) == pytest.approx(5.5 / 3)
    assert metrics.mean_signed({"one": 1.0, "two": -3.0}, ENTRIES[:2]) == -1
    assert metrics.mean_over_subsets(errors, ENTRIES[:3]) == pytest.approx((1.25 + 3.0) / 2)
    assert metrics.worst(errors, ENTRIES[:3]).id == "three"
    # subsets S: 2 entries, mean |reference| 7; T: 1 entry, 2; the mean of both 4.5
    assert metrics.weighted(errors, ENTRIES[:3]) == pytest.approx((2 * 4.5 / 7 * 1.25 + 4.5 / 2 * 3.0) / 3)


def test_relative_errors_of_small_dipoles_are_those_of_one_debye():
    entries = [Entry("small", "S", "f", (), 0.1, "D", "dipole"), Entry("large", "S", "f", (), -2.0, "D", "dipole")]
    found = metrics.relative({"small": 0.3, "large": 0.8}, entries)
    assert found == pytest.approx(100 * ((0.3**2 + 0.4**2) / 2) ** 0.5)
    entry = Entry("He", "S", "f", (), 0.2, "Å³", "polarizability")
    assert metrics.relative({"He": -0.01}, [entry]) == pytest.approx(5.0)


def test_groups_are_sorted():
    assert {k: [e.id for e in v] for k, v in metrics.groups(ENTRIES, "family").items()} == {
        "ions": ["one", "two"], "radicals": ["three", "seen"]}


def test_intervals_hold_the_difference():
    entries = [Entry(str(i), "s", "f", (), 0.0) for i in range(200)]
    errors, other = {e.id: 1.0 + i % 2 for i, e in enumerate(entries)}, {e.id: 0.5 for e in entries}
    low, high = metrics.interval(errors, other, entries)
    assert 0.8 < low < 1.0 < high < 1.2  # mean 1, standard error 0.5/√200
    assert metrics.interval({"0": 2.0}, {"0": 1.0}, entries[:1]) == (1.0, 1.0)


def test_scf_statistics():
    found = metrics.scf([{"converged": True, "stable": False, "cycles": 4, "cpu_seconds": 1.0},
                         {"converged": False, "stable": None, "cycles": 8, "cpu_seconds": 3.0}, {"failed": "x"}])
    assert found == metrics.Scf(3, 1, 1, 1, 1, 6.0, 4.0)
    assert metrics.scf([]) == metrics.Scf(0, 0, 0, 0, 0, 0.0, 0.0)
