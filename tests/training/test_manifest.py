"""Manifests: what is read back, and what is refused with file, entry and remedy."""

import copy
import json

import pytest

from mlxc.errors import InvalidInput
from mlxc.manifest import balance
from mlxc.manifest.checks import FORMAT
from mlxc.manifest.species import Species
from mlxc.units import EV, KCAL
from training import manifest
from training.data import Dataset, Target

ORIGIN = [0.0, 0.0, 0.0]


def at_origin(symbol: str, charge: int, spin: int) -> dict:
    return {"atoms": [[symbol, *ORIGIN]], "charge": charge, "spin": spin}


CONTENT = {
    "format": FORMAT, "name": "test", "description": "invented numbers",
    "species": {
        "o": at_origin("O", 0, 2), "o+": at_origin("O", 1, 3), "o-": at_origin("O", -1, 1), "h": at_origin("H", 0, 1),
        "oh": {"atoms": [["O", *ORIGIN], ["H", 0.0, 0.0, 0.97]], "charge": 0, "spin": 1},
        "oh+": {"atoms": [["O", *ORIGIN], ["H", 0.0, 0.0, 0.97]], "charge": 1, "spin": 2},
        "he": at_origin("He", 0, 0) | {"basis": "cc-pvtz"},
    },
    "reactions": [
        {"id": "TAE", "stoichiometry": {"oh": -1, "o": 1, "h": 1}, "reference": 107.0, "unit": "kcal/mol",
         "subset": "atomisation", "source": "x"},
        {"id": "IP", "stoichiometry": {"o": -1, "o+": 1, "e-": 1}, "reference": 13.6, "unit": "eV",
         "subset": "ionisation", "source": "x"},
        {"id": "PA", "stoichiometry": {"oh+": -1, "o": 1, "H+": 1}, "reference": 485.2, "unit": "kJ/mol",
         "subset": "proton", "source": "x"},
        {"id": "EA", "stoichiometry": {"o-": -1, "o": 1, "e-": 1}, "reference": 0.05, "unit": "Ha",
         "subset": "affinity", "source": "x"},
        {"id": "E(He)", "stoichiometry": {"he": 1}, "reference": -2.9, "unit": "Ha", "subset": "total", "source": "x"},
        {"id": "HF(H)", "stoichiometry": {"h": 1}, "reference": "HF", "subset": "one_electron", "source": "x"},
    ],
    "fractional": [
        {"id": "half", "nuclei": "o", "n_alpha": 5.0, "n_beta": 2.5, "between": {"o": 0.5, "o+": 0.5},
         "subset": "fractional", "source": "x"},
        {"id": "third", "nuclei": "h", "n_alpha": 0.3, "n_beta": 0.0, "between": {"h": 0.3}, "subset": "fractional",
         "source": "x"},
        {"id": "long", "nuclei": "oh", "n_alpha": 5.0, "n_beta": 3.25, "between": {"oh": 0.25, "oh+": 0.75},
         "subset": "fractional", "source": "x"},
    ],
}


def changed(**entries) -> dict:
    """CONTENT where `species__o` or `reactions__0` is updated with a dictionary; None removes a key."""
    content = copy.deepcopy(CONTENT)
    for place, update in entries.items():
        table, _, name = place.partition("__")
        target = content if not name else content[table][int(name) if name.isdigit() else name]
        for key, value in (update if name else {table: update}).items():
            if value is None:
                del target[key]
            else:
                target[key] = value
    return content


def refused(content: dict, tmp_path) -> str:
    path = tmp_path / "m.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InvalidInput) as error:
        manifest.read(path)
    assert str(error.value).startswith(str(path))
    return str(error.value)


def test_what_is_written_is_read_back(tmp_path):
    manifest.write(tmp_path / "new" / "m.json", CONTENT)
    assert manifest.read(tmp_path / "new" / "m.json") == CONTENT
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["m.json"]


def test_a_wrong_manifest_is_not_written(tmp_path):
    with pytest.raises(InvalidInput, match="spin_change"):
        manifest.write(tmp_path / "m.json", changed(species__o={"spin": 8}))
    assert not list(tmp_path.iterdir())


def test_dataset_has_terms_units_and_bases():
    dataset = manifest.dataset(CONTENT, "small", "large")
    found = {t.id: t for t in dataset.targets}
    assert found["TAE"].terms == (("oh__large", -1), ("o__large", 1), ("h__large", 1))  # H has one electron
    assert found["IP"].terms == (("o__small", -1), ("o+__small", 1))
    assert found["EA"].terms == (("o-__large", -1), ("o__large", 1))
    assert found["PA"].terms == (("oh+__small", -1), ("o__small", 1))
    assert found["E(He)"].terms == (("he", 1),) and dataset.species["he"].basis == "cc-pvtz"
    references = [found[name].reference for name in ("TAE", "IP", "PA", "EA", "HF(H)")]
    assert references[:4] == pytest.approx([107.0 / KCAL, 13.6 / EV, 485.2 / 4.184 / KCAL, 0.05])
    assert references[4] is None
    assert found["half"].terms == (("half__small", 1.0), ("o__small", -0.5), ("o+__small", -0.5))
    assert found["third"].terms == (("third__large", 1.0), ("h__large", -0.3))
    assert found["half"].reference == 0 and found["half"].group == "fractional"
    half = dataset.species["half__small"]
    assert (half.n_alpha, half.n_beta, half.charge, half.is_fractional) == (5.0, 2.5, 0.5, True)
    cation = dataset.species["o+__small"]
    assert (cation.n_alpha, cation.n_beta) == (5, 2)
    assert dataset.species.keys() == {key for t in dataset.targets for key, _ in t.terms}


def test_a_dataset_survives_the_way_through_a_manifest(tmp_path):
    dataset = manifest.dataset(CONTENT, "small", "large")
    manifest.write(tmp_path / "m.json", manifest.from_dataset(dataset, "again", "", "x"))
    assert manifest.dataset(manifest.read(tmp_path / "m.json"), "", "") == dataset


def test_a_point_that_is_no_line_is_not_written():
    species = {n: Species(n, (("H", (0.0, 0.0, 0.0)),), float(n), 0.0, "b") for n in ("0.25", "0.5", "1")}
    curved = Target("curved", "curvature", (("0.5", 1.0), ("0.25", -0.5), ("1", -0.5)), 0.0)
    with pytest.raises(InvalidInput, match="target curved is not a point between whole occupations"):
        manifest.from_dataset(Dataset(species, [curved]), "x", "", "x")


@pytest.mark.parametrize(("change", "words"), [
    ({"format": 2}, ["format 2, this version reads 1"]),
    ({"reaction": []}, ["unknown key 'reaction'", "did you mean reactions?"]),
    ({"species__o": {"carge": 0}}, ["species 'o'", "'carge'", "did you mean charge?"]),
    ({"species__o": {"charge": None}}, ["species 'o'", "charge missing"]),
    ({"species__o": {"spin": 1}}, ["species 'o'", "spin 1 (2S) do not fit"]),
    ({"species__o": {"spin": "2"}}, ["species 'o'", "spin is '2', expected int"]),
    ({"species__h": {"charge": 1, "spin": 0}}, ["species 'h'", "no electrons", "H+"]),
    ({"species__o": {"atoms": []}}, ["species 'o'", "no atoms"]),
    ({"species__o": {"atoms": [["Q", 0, 0, 0]]}}, ["species 'o'", "atom 1 is ['Q', 0, 0, 0]"]),
    ({"species__o": {"atoms": [["O", 0, 0, float("nan")]]}}, ["species 'o'", "finite numbers in Å"]),
    ({"species__oh": {"atoms": [["O", 0, 0, 0], ["H", 0, 0, 0.05]]}}, ["species 'oh'", "nearer than 0.1 Å"]),
    ({"species": CONTENT["species"] | {"e-": at_origin("H", 0, 1)}}, ["species 'e-'", "free particle"]),
    ({"reactions__0": {"reference": float("nan")}}, ["reaction 'TAE'", "reference is nan", "give the label"]),
    ({"reactions__0": {"reference": "hf"}}, ["reaction 'TAE'", "reference is 'hf'"]),
    ({"reactions__0": {"reference": "HF"}}, ["reaction 'TAE'", "one species with coefficient 1"]),
    ({"reactions__0": {"unit": "kcal"}}, ["reaction 'TAE'", "unknown unit 'kcal'", "did you mean kcal/mol?"]),
    ({"reactions__0": {"unit": None}}, ["reaction 'TAE'", "unit missing"]),
    ({"reactions__0": {"stoichiometry": {"oh": -1, "o": 1, "hh": 1}}}, ["reaction 'TAE'", "'hh'; did you mean h?"]),
    ({"reactions__0": {"stoichiometry": {"oh": -1, "o": 1, "h": 0}}}, ["reaction 'TAE'", "coefficient of h is 0"]),
    ({"reactions__0": {"stoichiometry": {"e-": 1}}}, ["reaction 'TAE'", "no species"]),
    ({"reactions__0": {"stoichiometry": {"oh": -1, "o": 1}}}, ["reaction 'TAE'", "not balanced", "-1 H"]),
    ({"reactions__0": {"stoichiometry": {"oh": -1, "o": 2, "h": 1}}}, ["reaction 'TAE'", "+1 O"]),
    ({"reactions__1": {"stoichiometry": {"o": -1, "o+": 1}}}, ["reaction 'IP'", "charge is not balanced", "+1", "e-"]),
    ({"reactions__1": {"id": "TAE"}}, ["id 'TAE' is there twice"]),
    ({"fractional__0": {"id": "TAE"}}, ["id 'TAE' is there twice"]),
    ({"fractional__0": {"id": "o+"}}, ["fractional point 'o+'", "'o+' names another density too"]),
    ({"fractional__0": {"name": "long"}}, ["fractional point 'long'", "'long' names another density too"]),
    ({"fractional__0": {"n_beta": 2.0}}, ["fractional point 'half'", "whole occupations"]),
    ({"fractional__0": {"n_beta": 2.6}}, ["'half'", "7.6 electrons, its end points 7.5"]),
    ({"fractional__0": {"n_alpha": 2.0, "n_beta": 5.5}}, ["'half'", "n_alpha ≥ n_beta"]),
    ({"fractional__0": {"between": {"o": 0.5, "o+": 0.4}}}, ["'half'", "its end points 6.8"]),
    ({"fractional__2": {"between": {"oh": 0.5, "oh+": 0.4}}}, ["'long'", "sum to 0.9, expected 1"]),
    ({"fractional__0": {"between": {"o": 0.5, "ho+": 0.5}}}, ["'half'", "unknown species 'ho+'; did you mean o+?"]),
    ({"fractional__0": {"between": {"o": 0.5, "oh+": 0.5}}}, ["'half'", "oh+ has other atoms than o"]),
    ({"fractional__0": {"between": {"o": 1.5, "o+": -0.5}}}, ["'half'", "weights above 0, at most 1"]),
])
def test_what_is_wrong_is_named(change, words, tmp_path):
    message = refused(changed(**change), tmp_path)
    assert [w for w in words if w not in message] == []


def test_files_that_are_no_manifest_are_refused(tmp_path):
    path = tmp_path / "m.json"
    for text, words in (("{", "is not a manifest, which is a JSON file"), ("[]", "a manifest is a JSON object"),
                        ('{"species": {"h": {}, "h": {}}}', "key 'h' is there twice in one object")):
        path.write_text(text)
        with pytest.raises(InvalidInput, match=words):
            manifest.read(path)
    with pytest.raises(InvalidInput, match="no manifest"):
        manifest.read(tmp_path / "other.json")


def test_the_same_reaction_is_found_however_it_is_written(tmp_path):
    """Turned round, doubled, in another frame and order of atoms, under other names."""
    moved = {"atoms": [["H", 1.0, 1.0, 1.0], ["O", 1.0, 1.97, 1.0]], "charge": 0, "spin": 1}
    again = {"id": "again", "stoichiometry": {"ho": 2, "o": -2, "h": -2}, "reference": -214.0, "unit": "kcal/mol",
             "subset": "x", "source": "x"}
    content = changed(species=CONTENT["species"] | {"ho": moved}, reactions=[*CONTENT["reactions"], again])
    assert "'again' is the same as 'TAE'" in refused(content, tmp_path)
    longer = {"atoms": [["H", 1.0, 1.0, 1.0], ["O", 1.0, 1.99, 1.0]], "charge": 0, "spin": 1}
    content["species"]["ho"] = longer
    manifest.write(tmp_path / "m.json", content)


def test_the_same_point_is_found(tmp_path):
    again = CONTENT["fractional"][0] | {"id": "again"}
    content = changed(fractional=[*CONTENT["fractional"], again])
    assert "'again' is the same as 'half'" in refused(content, tmp_path)


def content_of(*spins: int) -> dict[str, balance.Content]:
    return {str(i): balance.Content({}, 0.0, s) for i, s in enumerate(spins)}


@pytest.mark.parametrize(("left", "right", "couple"), [
    ([0], [1, 1], True), ([0], [2, 2], True), ([0], [2, 1, 1], True), ([0], [3, 1], False), ([0], [2], False),
    ([2], [1, 1], True), ([3], [1, 1], False), ([1], [2], False), ([4, 1], [3], True), ([4, 1], [1], False),
    ([0, 0], [4, 2, 1, 1], True), ([0], [4, 2, 1], False)])
def test_spins_couple_as_addition_of_angular_momenta_says(left, right, couple):
    """Against all couplings, two spins at a time."""
    def totals(spins):
        found = {0}
        for s in spins:
            found = {t for f in found for t in range(abs(f - s), f + s + 1, 2)}
        return found

    assert bool(totals(left) & totals(right)) == couple
    contents = content_of(*left, *right)
    stoichiometry = {name: -1 if i < len(left) else 1 for i, name in enumerate(contents)}
    assert balance.needs_spin_change(stoichiometry, contents) != couple
    assert (balance.problem(stoichiometry, contents) is None) == couple
    assert balance.problem(stoichiometry, contents, spin_change=True) is None


def test_fractions_of_molecules_balance():
    contents = {"o3": balance.Content({"O": 3}, 0.0, 0), "o2": balance.Content({"O": 2}, 0.0, 2)}
    assert balance.problem({"o3": -1 / 3, "o2": 1 / 2}, contents) is None
    assert "nuclei" in (balance.problem({"o3": -1 / 3, "o2": 1 / 3}, contents) or "")


def test_protons_and_electrons_are_filled_in():
    contents = {"oh-": balance.Content({"O": 1, "H": 1}, -1.0, 0), "oh": balance.Content({"O": 1, "H": 1}, 0.0, 1),
                "o": balance.Content({"O": 1}, 0.0, 2), "h2o": balance.Content({"O": 1, "H": 2}, 0.0, 0)}
    assert balance.completed({"oh-": -1, "oh": 1}, contents) == {"oh-": -1, "oh": 1, "e-": 1}
    assert balance.completed({"h2o": -1, "oh-": 1}, contents) == {"h2o": -1, "oh-": 1, "H+": 1}
    with pytest.raises(InvalidInput, match="nuclei are not balanced"):
        balance.completed({"o": -1, "oh": 2}, contents)
