"""How far a molecule is from a training set."""

import math
import sys

import pytest

from mlxc.manifest.fingerprint import Fingerprint
from mlxc.manifest.species import Species, occupied
from training import data, novelty

WATER = (("O", (0.0, 0.0, 0.0)), ("H", (0.96, 0.0, 0.0)), ("H", (-0.24, 0.93, 0.0)))

OXYGEN = data.atom("O", 5, 3)


def water(charge=0, spin=0, atoms=WATER) -> Species:
    return occupied("water", atoms, charge, spin, "sto-3g")


def test_nearest_is_the_same_molecule_and_far_is_far():
    hydrogen_fluoride = occupied("hf", (("F", (0.0, 0.0, 0.0)), ("H", (0.0, 0.0, 0.92))), 0, 0, "b")
    training = [water(), OXYGEN, data.atom("O", 5, 2), hydrogen_fluoride]
    near = novelty.novelty(water(atoms=WATER[::-1]), training)
    assert near.neighbours[0][:2] == (pytest.approx(0, abs=1e-9), "water") and near.rank == 0
    assert near.outside == [] and "the same species within 0.000 Å" in str(near)
    cation = novelty.novelty(water(-1, 3, (("S", (0.0, 0.0, 0.0)), *WATER[1:])), training)
    assert cation.outside == ["not in the training set: the elements S",
                              "not in the training set: charge = -1 (there: 0, 1)"]
    assert cation.neighbours[0][0] > 100 and cation.rank == 1.0


def test_ions_and_copies_are_no_neighbours_of_a_molecule():
    """Water, its ion, and water from elsewhere are one set of nuclei: what is far is said by different molecules."""
    hydrogen_fluoride = occupied("hf", (("F", (0.0, 0.0, 0.0)), ("H", (0.0, 0.0, 0.92))), 0, 0, "b")
    elsewhere = water(atoms=(WATER[0], ("H", (0.97, 0.0, 0.0)), WATER[2]))
    training = [water(), water(1, 1), elsewhere, hydrogen_fluoride]
    assert [f.species for f in novelty.distinct(map(Fingerprint, training))] == [training[0], training[3]]
    stretched = water(atoms=(WATER[0], ("H", (1.3, 0.0, 0.0)), WATER[2]))
    assert novelty.novelty(stretched, training).rank == novelty.novelty(stretched, training[::3]).rank == 0.0


def test_distance_is_that_of_sorted_padded_spectra():
    """O at its own diagonal element 8^2.4/2; the atom's single eigenvalue against the molecule's three."""
    one, other = Fingerprint(water()), Fingerprint(OXYGEN)
    expected = math.sqrt((one.spectrum[2] - 8**2.4 / 2) ** 2 + one.spectrum[1] ** 2 + one.spectrum[0] ** 2)
    assert novelty.distance(one, other) == novelty.distance(other, one) == pytest.approx(expected, rel=1e-12)


def test_command_compares_a_file_with_the_projects_own_set(tmp_path, monkeypatch, capsys):
    path = tmp_path / "ion.xyz"
    path.write_text("2\n\nO 0 0 0\nH 0 0 0.96\n")
    monkeypatch.setattr(sys, "argv", ["novelty", str(path), "--charge", "-1"])
    novelty.main()
    assert capsys.readouterr().out.splitlines()[0] == "elements, charge and spin occur in the training set"
    monkeypatch.setattr(sys, "argv", ["novelty", str(path), "--config", "no.toml"])
    with pytest.raises(SystemExit, match="no.toml cannot be read"):
        novelty.main()
    monkeypatch.setattr(sys, "argv", ["novelty", str(path), "--spin", "2"])
    with pytest.raises(SystemExit, match="9 electrons cannot have 2 unpaired: correct --charge or --spin"):
        novelty.main()
