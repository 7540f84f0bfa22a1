"""Values are sums of properties; what has no result has no value."""

import json

import pytest

from mlxc.bench.entries import QUANTITIES, Entry, Set
from mlxc.errors import InvalidInput
from mlxc.units import KCAL

RESULTS = {"a": {"e_scf": -1.0, "e_disp": -0.1, "homo": -0.5, "dipole": 1.5, "e_one": -0.9, "polarizability": 2.0,
                 "excitations": {"singlet": 0.25, "triplet": 0.2}},
           "b": {"e_scf": -2.0, "e_disp": 0.0, "homo": 0.1, "dipole": 0.5},
           "failed": {"failed": "KeyError: x"}}


def entry(quantity: str, *terms, unit="kcal/mol") -> Entry:
    return Entry("id", "s", "f", terms, 0.0, unit, quantity)


@pytest.mark.parametrize("quantity, unit, value", (
    ("energy", "kcal/mol", -2.2 * KCAL), ("scf_energy", "kcal/mol", -2.0 * KCAL), ("minus_homo", "eV", 27.211386),
    ("dipole", "D", 3.0), ("polarizability", "Å³", 4.0), ("singlet", "eV", 13.605693),
    ("triplet", "eV", 10.884554), ("one_electron_error", "kcal/mol", -0.2 * KCAL)))
def test_quantities(quantity, unit, value):
    assert entry(quantity, ("a", 2), unit=unit).value(RESULTS) == pytest.approx(value)
    assert quantity in QUANTITIES


def test_terms_are_added():
    assert entry("energy", ("a", 1), ("b", -0.5)).value(RESULTS) == pytest.approx(KCAL * (-1.1 + 1.0))


@pytest.mark.parametrize("terms, quantity", (((("c", 1),), "energy"), ((("failed", 1),), "energy"),
                                             ((("b", 1),), "polarizability"), ((("a", 1),), "same_spin"),
                                             ((("b", 1),), "singlet"), ((("a", 1), ("failed", 0)), "energy")))
def test_what_is_missing_or_failed_has_no_value(terms, quantity):
    assert entry(quantity, *terms).value(RESULTS) is None


def test_a_level_that_is_no_number_has_no_value():
    assert entry("minus_homo", ("a", 1)).value({"a": RESULTS["a"] | {"homo": float("nan")}}) is None


def test_json_gives_a_set_back(tiny):
    again = Set.from_dict(json.loads(json.dumps(tiny.to_dict())))
    assert again == tiny and again.jobs == tiny.jobs


def test_equal_jobs_are_there_once(tiny):
    assert len(tiny.jobs) == 3 and {key for e in tiny.entries for key, _ in e.terms} == tiny.jobs.keys()


def test_a_sets_name_names_files():
    with pytest.raises(InvalidInput, match="the set's name 'mine/v2' names files"):
        Set("mine/v2", "", (), {})
