"""Which interaction energies are trained on, and which the fit of dispersion sees."""

import json

import pytest

from mlxc.errors import InvalidInput
from mlxc.units import KCAL
from tests.training.conftest import TINY
from training import features
from training.fit_dispersion import HEAVY_ATOMS
from training.sources import reference


def species(*symbols: str, canonical: str) -> dict:
    atoms = [[symbol, 0.0, 0.0, 3.0 * i] for i, symbol in enumerate(symbols)]
    return {"canonical": canonical, "charge": 0, "spin": 0, "atoms": atoms}


CONTENT = {
    "species": {
        "RG18/he": species("He", canonical="other/he"),
        "S22/he": species("He", canonical="other/he"),
        "RG18/he2": species("He", "He", canonical="RG18/he2"),
        "S22/h2": species("H", "H", canonical="S22/h2"),
        "S22/h2he": species("H", "H", "He", canonical="S22/h2he"),
        "S66/ne8": species(*["Ne"] * 8, "H", "H", canonical="S66/ne8"),
        "S66/ne9": species(*["Ne"] * 9, canonical="S66/ne9"),
        "S66/ne": species("Ne", canonical="S66/ne"),
    },
    "reactions": [
        {"id": "RG18-1", "subset": "RG18", "stoichiometry": {"RG18/he2": -1, "RG18/he": 2}, "reference": 0.02},
        {"id": "S22-1", "subset": "S22", "stoichiometry": {"S22/h2he": -1, "S22/h2": 1, "S22/he": 1}, "reference": 0.1},
        {"id": "S66-1", "subset": "S66", "stoichiometry": {"S66/ne9": -1, "S66/ne": 9}, "reference": 1.0},
        {"id": "S66-2", "subset": "S66", "stoichiometry": {"S66/ne8": -1, "S66/ne": 8, "S22/h2": 1}, "reference": 1.0},
        {"id": "S66-3", "subset": "S66", "stoichiometry": {"S22/h2he": -1, "S22/h2": 1, "S22/he": 1}, "reference": 0.1,
         "same_reaction_as": "S22-1"},
        {"id": "S66-4", "subset": "S66", "stoichiometry": {"RG18/he2": -1, "RG18/he": 2}, "reference": 0.03,
         "same_reaction_as": "OTHER-1"},
        {"id": "ACONF-1", "subset": "ACONF", "stoichiometry": {"S66/ne": 1, "RG18/he": -1}, "reference": 0.6},
    ],
}


@pytest.fixture
def folder(tmp_path):
    entries = [{"cls": "closed"} | r for r in CONTENT["reactions"]]
    (tmp_path / "extra.json").write_text(json.dumps(CONTENT | {"reactions": entries}))
    return tmp_path


def test_members_are_small_and_counted_once(folder):
    """Nine heavy atoms are too many, hydrogen does not count; a repeat of a chosen member is none."""
    found, targets = reference.complexes(folder, 8)
    assert [(t.id, t.group) for t in targets] == [("RG18-1", "RG18"), ("S22-1", "S22"), ("S66-2", "S66"),
                                                  ("S66-4", "S66")]
    assert set(found) == {key for t in targets for key, _ in t.terms}


def test_members_share_species_that_are_the_same(folder):
    found, targets = reference.complexes(folder, 8)
    helium = "other__he__def2-tzvpd"
    assert (helium, 2) in targets[0].terms and (helium, 1) in targets[1].terms
    assert found[helium].atoms == (("He", (0.0, 0.0, 0.0)),) and found[helium].basis == "def2-tzvpd"
    assert targets[0].reference == pytest.approx(0.02 / KCAL)


def test_a_folder_without_members_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="no reference file .*extra.json: give the folder"):
        reference.complexes(tmp_path, 8)
    (tmp_path / "extra.json").write_text(json.dumps(CONTENT | {"reactions": []}))
    with pytest.raises(InvalidInput, match="has no reaction of S22, S66, RG18"):
        reference.complexes(tmp_path, 8)


def test_a_record_of_a_member_is_built(tmp_path, folder):
    found = {key: s for key, s in reference.complexes(folder, 8).species.items() if key.startswith("other__he")}
    features.build(found, tmp_path / "features", TINY)
    [helium] = found.values()
    assert features.load(helium, tmp_path / "features", TINY).converged


def test_members_of_the_real_sets(reference_folder):
    if not (reference_folder / "extra.json").is_file():
        pytest.skip(f"no extra.json in {reference_folder}")
    found, targets = reference.complexes(reference_folder, HEAVY_ATOMS)
    counts = {name: sum(t.group == name for t in targets) for name in reference.COMPLEXES}
    assert counts == {"S22": 10, "S66": 32, "RG18": 14} and len(found) == 133
    assert {s.charge for s in found.values()} == {0} and {s.basis for s in found.values()} == {"def2-tzvpd"}
    assert all(t.reference > 0 and sum(c for _, c in t.terms) > 0 for t in targets)
