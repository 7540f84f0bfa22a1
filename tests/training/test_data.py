"""What is trained on: species with the right number of electrons, balanced targets, nothing of the tests."""

import hashlib
import json
import re
import tomllib
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pytest

from mlxc.bench.sets.reactions import TRAINED_ON
from mlxc.errors import InvalidInput
from mlxc.manifest.species import Species
from training import data
from training.data import Dataset, Target
from training.sources import SOURCES as REGISTRY
from training.sources import reference

ROOT = Path(__file__).parents[2]

#: What needs the fewest files.
SOURCES = ["one_electron", "atoms", "fractional", "molecules"]

#: What the models that ship were trained on: hash, number of species and of targets.
SHIPPED = dict.fromkeys(("mlxc_rs", "mlxc_lh"),
                        ("6d96f7b952ed263938892871cc76a6386b91d0e28672879a75840995f5f379d6", 371, 276))


@pytest.fixture(params=("small", "shipped"))
def training_set(request):
    """Species and targets made from the tests' own files, and from the shipped model's where they lie."""
    folder = request.getfixturevalue("small_folder" if request.param == "small" else "reference_folder")
    return data.from_config({"data": {"sources": SOURCES}}, folder)


def composition(species: data.Species) -> Counter:
    return Counter(symbol for symbol, _ in species.atoms)


def is_fractional(species: data.Species) -> bool:
    return not float(species.charge).is_integer()


def test_keys_are_unique_and_every_target_is_computable(training_set):
    species, targets = training_set
    assert all(key == s.key for key, s in species.items())
    assert len({t.id for t in targets}) == len(targets)
    assert {key for t in targets for key, _ in t.terms} <= species.keys()


def test_no_species_is_computed_for_nothing(training_set):
    species, targets = training_set
    assert species.keys() <= {key for t in targets for key, _ in t.terms}


def test_charges_are_whole_or_those_of_fractional_targets(training_set):
    species, targets = training_set
    fractional = {t.terms[0][0] for t in targets if t.group == "fractional"}
    assert {s.key for s in species.values() if is_fractional(s)} == fractional
    for s in species.values():
        assert s.n_alpha >= s.n_beta >= 0 and s.electrons > 0


def test_one_orbital_per_atom_at_most_is_fractional(training_set):
    for s in training_set.species.values():
        assert [float(n).is_integer() for n in (s.n_alpha, s.n_beta)].count(False) == is_fractional(s)


def test_targets_are_balanced(training_set):
    """Nuclei and electrons on both sides; ionisations give one electron away. A bare proton has no term."""
    species, targets = training_set
    for t in targets:
        electrons = sum(c * species[key].electrons for key, c in t.terms)
        nuclei: Counter = Counter()
        for key, c in t.terms:
            for symbol, count in composition(species[key]).items():
                nuclei[symbol] += c * count
        if t.group in ("total", "one_electron"):
            assert len(t.terms) == 1 and t.terms[0][1] == 1
        elif t.group in ("ionisation", "affinity"):
            assert electrons == -1 and not any(nuclei.values()), t.id
        elif t.group == "atomisation":
            assert electrons == 0 and not any(nuclei.values()), t.id
        else:
            assert t.group == "fractional" and electrons == pytest.approx(0, abs=1e-12), t.id
            bare = nuclei.pop("H") if set(nuclei) == {"H"} else 0
            assert bare >= 0 and all(abs(v) < 1e-12 for v in nuclei.values()), t.id


def test_fractional_targets_lie_on_the_functionals_own_line(training_set):
    species, targets = training_set
    for t in targets:
        if t.group == "fractional":
            assert t.reference == 0
            (middle, one), *ends = t.terms
            assert one == 1 and is_fractional(species[middle])
            assert all(c < 0 for _, c in ends) and not any(is_fractional(species[key]) for key, _ in ends)
            assert ends[0][0] in species and float(species[ends[0][0]].charge) == 0


def test_one_electron_energies_are_hartree_focks(training_set):
    species, targets = training_set
    for t in targets:
        assert (t.reference is None) == (t.group == "one_electron")
        if t.group == "one_electron":
            assert species[t.terms[0][0]].electrons == 1


def test_ions_and_fractional_points_of_held_out_elements_are_absent(training_set):
    for s in training_set.species.values():
        if len(s.atoms) == 1 and s.atoms[0][0] in data.HELD_OUT_IONS:
            assert s.charge == 0


def test_molecules_are_neutral_closed_shells(training_set):
    """Molecular ions and radicals are the test; H₂⁺, HeH²⁺ and H₃²⁺ have one electron."""
    for s in training_set.species.values():
        if len(s.atoms) > 1 and s.electrons > 1:
            assert s.charge == 0 and s.n_alpha == s.n_beta, s.key


def test_anions_and_one_electron_systems_have_diffuse_functions(training_set):
    for s in training_set.species.values():
        if s.charge < 0 or s.electrons == 1 and s.charge > 0 or is_fractional(s):
            assert s.basis == data.DIFFUSE_BASIS


def test_the_smoke_lists_page_names_every_reaction_with_a_fitted_ion(reference_folder):
    fitted = {key for key, s in data.from_config({"data": {"sources": SOURCES}}, reference_folder).species.items()
              if s.charge}
    ids = json.loads((reference_folder / "benchmark_core_ids.json").read_text())["smoke"]
    tested, targets = reference.reactions(reference_folder / "benchmark.json", ids)
    ions = {key for key, s in tested.items()
            if len(s.atoms) == 1 and data.atom(s.atoms[0][0], s.n_alpha, s.n_beta).key in fitted}
    found = {t.id for t in targets if t.id not in TRAINED_ON and any(key in ions for key, _ in t.terms)}
    page = (ROOT / "docs" / "benchmarks" / "README.md").read_text()
    named = re.search(r"hold such an ion:(.*?)\. ", page, re.DOTALL).group(1)
    assert found == set(re.findall(r"[A-Z0-9]+-\d{3}", named))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InvalidInput, match=r"no reference file .*train.json: give the folder that holds"):
        reference.molecules(tmp_path)


def test_what_the_small_files_give(small_folder):
    """Equal species are computed once; ions of B, affinities below zero and elements beyond Ar are left out."""
    species, targets = data.from_config({"data": {"sources": SOURCES}}, small_folder)
    ids = {t.id for t in targets} - {t.id for t in reference.one_electron().targets}
    assert ids == {"R1", "R2", "E(H)", "E(B)", "E(Li)", "E(N)", "E(Be)", "IP(Li)", "IP(N)", "IP(Be)", "EA(H)",
                   "EA(Li)", "H_cation_0.25", "Li_anion_0.5"}
    assert species["set__h2__def2-tzvpd"].electrons == 2
    assert [t.terms for t in targets if t.id in ("R1", "R2")] == [
        (("set__h2__def2-tzvpd", -1), ("set__h__def2-tzvpd", 2))] * 2
    affinity = next(t for t in targets if t.id == "EA(Li)")
    assert [species[key].charge for key, _ in affinity.terms] == [0, -1]
    assert affinity.reference == pytest.approx(0.62 / 27.211386, rel=1e-6)


def test_benchmark_species_get_the_basis_of_the_protocol(small_folder):
    path = small_folder / "reactions.json"
    path.write_text((small_folder / "train.json").read_text().replace(
        '"reference"', '"subset": "S", "cls": "closed", "reference"'))
    species, targets = reference.reactions(path, ["R1"])
    assert [t.id for t in targets] == ["R1"]
    assert species["set__h__aug-cc-pvtz"].n_alpha == 1  # beside a one-electron species every species is diffuse
    assert targets[0].reference == pytest.approx(109.5 / 627.5094740631)


def test_shipped_configs_train_on_what_they_did(reference_folder):
    """Species and targets in their order, references of one-electron systems still open."""
    found = {}
    for name in SHIPPED:
        config = tomllib.loads((ROOT / "training" / "configs" / f"{name}.toml").read_text())
        species, targets = data.from_config(config, reference_folder)
        fitted = {key: species[key] for t in targets for key, _ in t.terms}
        text = json.dumps([[asdict(s) for s in fitted.values()], [asdict(t) for t in targets]], sort_keys=True)
        found[name] = hashlib.sha256(text.encode()).hexdigest(), len(species), len(targets)
    assert found == SHIPPED


def test_toy_config_needs_no_other_files(monkeypatch, tmp_path):
    """Found from any folder; nine in ten targets have a label of their own."""
    monkeypatch.chdir(tmp_path)
    config = tomllib.loads((ROOT / "training" / "configs" / "toy.toml").read_text())
    dataset = data.from_config(config)
    assert {t.group for t in dataset.targets} <= config["tolerance"].keys()
    small = [s for s in dataset.species.values() if s.electrons != 1 or len(s.atoms) == 1]
    assert {s.basis for s in small} == {"def2-svp", "aug-cc-pvdz", "aug-cc-pvtz"}
    assert all(s.charge == 0 and s.n_alpha == s.n_beta for s in small if len(s.atoms) > 1)


def at(x: float, key: str = "H2", basis: str = "sto-3g") -> Dataset:
    """H₂ with one atom at 0 and the other at x."""
    s = Species(key, (("H", (0.0, 0.0, 0.0)), ("H", (0.0, 0.0, x))), 1.0, 1.0, basis)
    return Dataset({key: s}, [Target(f"E({key},{x:g})", "total", ((key, 1),), -1.0)])


def test_joining_keeps_the_first_of_equal_species_in_whatever_frame():
    joined = at(0.74) + at(-0.7401)
    assert joined.species == at(0.74).species and len(joined.targets) == 2


@pytest.mark.parametrize(("other", "message"), [
    (at(0.80), "two different species are called H2: rename"),
    (at(0.7401, basis="6-31g"), "two different species are called H2: rename"),
    (at(0.74), r"target E\(H2,0.74\) is offered by two sources: leave one of them out"),
])
def test_joining_refuses_what_contradicts_or_counts_twice(other, message):
    with pytest.raises(InvalidInput, match=message):
        at(0.74) + other


def test_ions_and_fractions_of_held_out_elements_are_dropped_whoever_offers_them():
    nowhere = (0.0, 0.0, 0.0)
    species = [data.atom("S", 9, 7), data.atom("S", 9, 6), data.atom("S", 9, 6.5), data.atom("O", 5, 2),
               Species("SH-", (("S", nowhere), ("H", (0, 0, 1.34))), 9, 9, "x"),
               Species("SH-0.5", (("S", nowhere), ("H", (0, 0, 1.34))), 9, 8.5, "x")]
    dataset = Dataset({s.key: s for s in species}, [Target(s.key, "total", ((s.key, 1),), 0.0) for s in species])
    said: list[str] = []
    kept = data.without_held_out_ions(dataset, said.append)
    assert list(kept.species) == [species[i].key for i in (0, 3, 4)] == [t.id for t in kept.targets]
    assert said == ["left out: 3 targets with ions or fractional points of B, P, S"]


@pytest.mark.parametrize(("config", "message"), [
    ({}, r"no section \[data\]; it says what is trained on"),
    ({"data": {"source": []}}, r"\[data\]: unknown key 'source'; did you mean sources\?"),
    ({"data": {"sources": ["molecule"]}}, "unknown source 'molecule'; did you mean molecules"),
    ({"data": {"sources": "molecules"}}, "sources is 'molecules', expected a list of strings"),
    ({"data": {"train_on_test": 1}}, "train_on_test is 1, expected a bool"),
    ({"data": {"manifests": ["no.json"]}}, "no manifest .*no.json: give a JSON file"),
    ({"data": {}}, "nothing to train on; name sources"),
    ({"data": {"sources": ["molecules"]}}, "this source reads files: say where with --data"),
    ({"data": {"sources": ["one_electron"]}, "factor": {"H2+_1": 0.5, "h3_2+": 0.5}},
     r"\[factor\] h3_2\+: no target's id begins with that; did you mean H3_2\+_1\?"),
    ({"data": {"sources": ["one_electron"]}, "ensemble": {"variants": [{}, {"factor": {"h3_2+": 0.5}}]}},
     r"\[factor\] h3_2\+: no target's id begins with that; did you mean H3_2\+_1\?"),
])
def test_config_errors_say_what_to_do(config, message):
    with pytest.raises(InvalidInput, match=message):
        data.from_config(config)


def test_a_source_that_is_added_to_the_registry_takes_part(monkeypatch):
    monkeypatch.setitem(REGISTRY, "mine", lambda folder, config: at(config["data"]["complexes"] / 4))
    found = data.from_config({"data": {"sources": ["one_electron", "mine"], "complexes": 3}})
    assert found.targets[-1].id == "E(H2,0.75)" and len(found.targets) == 13
