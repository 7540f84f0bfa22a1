"""Conditions on fractional occupations."""

import json
from itertools import combinations

import numpy as np
import pytest

from training.sources import occupations


def distance(one, two) -> float:
    return float(np.linalg.norm(np.subtract(one[1], two[1])))


def test_a_line_goes_from_the_closed_shell_to_one_electron_less_and_more():
    species, target = occupations._line("x", (("F", (0.0, 0.0, 0.0)), ("H", (0.0, 0.0, 0.9))), "sto-3g", -1)
    occupied = {s.key: (s.n_alpha, s.n_beta) for s in species.values()}
    middle, whole, ion = (key for key, _ in target.terms)
    assert [occupied[key] for key in (whole, middle, ion)] == [(5, 5), (5, 4.5), (5, 4)]
    species, target = occupations._line("x", (("F", (0.0, 0.0, 0.0)), ("H", (0.0, 0.0, 0.9))), "sto-3g", +1)
    assert [(s.n_alpha, s.n_beta) for s in species.values()] == [(5, 5), (5.5, 5), (6, 5)]


@pytest.mark.parametrize("change", (-1, 1))
def test_whatever_is_linear_in_the_electron_number_meets_the_condition(change):
    species, target = occupations._line("x", (("He", (0.0, 0.0, 0.0)),), "sto-3g", change, fraction=0.25)
    line = {key: 3.0 - 0.7 * s.electrons for key, s in species.items()}
    bent = {key: e - 0.1 * species[key].electrons**2 for key, e in line.items()}
    assert sum(c * line[key] for key, c in target.terms) == pytest.approx(0, abs=1e-14)
    assert sum(c * bent[key] for key, c in target.terms) > 0.01  # 0.1 f (1 − f)


def test_dimers_are_two_whole_molecules_at_the_distances():
    found = occupations.dimers()
    assert {t.group for t in found.targets} == {"fractional_molecule"}
    for (a, b), distances in occupations.DIMERS.items():
        for d in distances:
            atoms = found.species[f"line_{a}_{b}_{d:g}_0.5__{occupations.BASIS}"].atoms
            first = len(occupations._monomer(a))
            assert distance(atoms[0], atoms[first]) == pytest.approx(d)
            assert min(distance(x, y) for x in atoms[:first] for y in atoms[first:]) > 0.8 * d
            for part in (atoms[:first], atoms[first:]):
                assert all(distance(part[0], x) < 1.3 for x in part[1:])


def test_water_has_its_bond_lengths_and_angle():
    oxygen, one, two = occupations._monomer("H2O")
    assert distance(oxygen, one) == distance(oxygen, two) == pytest.approx(occupations.BONDS["OH"])
    assert np.degrees(2 * np.arcsin(distance(one, two) / 2 / occupations.BONDS["OH"])) == pytest.approx(104.5)


def test_no_atom_sits_on_another():
    for s in occupations.dimers().species.values():
        assert min(distance(x, y) for x, y in combinations(s.atoms, 2)) > 0.7


def test_fractional_spins_compare_with_the_whole_one(tmp_path):
    (tmp_path / "atoms_public.json").write_text(json.dumps({"atoms": {"Li": {"Z": 3, "spin": {"neutral": 1}}}}))
    entry = {"id": "Li_half", "element": "Li", "na": 1.5, "nb": 1.5}
    (tmp_path / "fractional_public.json").write_text(json.dumps({"fractional_spin": [entry]}))
    species, (target,) = occupations.spins(tmp_path)
    spread, whole = (species[key] for key, _ in target.terms)
    assert (spread.n_alpha, spread.n_beta, whole.n_alpha, whole.n_beta) == (1.5, 1.5, 2, 1)
    assert [c for _, c in target.terms] == [1.0, -1.0] and target.reference == 0.0
