"""What counts as one species, and which species of the test may be trained on."""

import hashlib
import json
import math

import pytest

from mlxc.bench.sets.reactions import TRAINED_ON
from mlxc.errors import InvalidInput
from mlxc.manifest.fingerprint import Fingerprint, difference, same
from mlxc.manifest.species import Species, occupied
from training import data, leakage
from training.data import Dataset, Target

WATER = (("O", (0.0, 0.0, 0.0)), ("H", (0.96, 0.0, 0.0)), ("H", (-0.24, 0.93, 0.0)))


def water(charge=0, spin=0, atoms=WATER, key="water") -> Species:
    return occupied(key, atoms, charge, spin, "sto-3g")


def turned(atoms: tuple, angle: float) -> tuple:
    """Rotated about z, shifted, atoms in the opposite order."""
    c, s = math.cos(angle), math.sin(angle)
    return tuple((a, (c * x - s * y + 1, s * x + c * y - 2, z + 3)) for a, (x, y, z) in reversed(atoms))


def stretched(by: float) -> tuple:
    return (WATER[0], ("H", (0.96 + by, 0.0, 0.0)), WATER[2])


def close(one: Species, other: Species, tolerance: float) -> bool:
    return same(Fingerprint(one), Fingerprint(other), tolerance)


def test_fingerprint_ignores_frame_and_order():
    a, b = Fingerprint(water()), Fingerprint(water(atoms=turned(WATER, 0.7)))
    assert difference(a, b) < 1e-12 and same(a, b, 1e-9)
    assert a.spectrum == pytest.approx(b.spectrum, abs=1e-10)


def test_fingerprint_knows_composition_charge_spin_and_geometry():
    assert not close(water(), water(charge=1, spin=1), 0.1)
    assert not close(water(charge=0, spin=0), water(charge=0, spin=2), 0.1)
    assert not close(water(), water(atoms=(("S", WATER[0][1]), *WATER[1:])), 10.0)
    assert close(water(), water(atoms=stretched(0.04)), 0.05) and not close(water(), water(atoms=stretched(0.06)), 0.05)


def test_spectrum_tells_molecules_with_the_same_distances_apart():
    """Golomb's pair of rulers: other points, the same fifteen distances."""
    one, other = (Species("chain", tuple(("H", (0.7 * x, 0.0, 0.0)) for x in marks), 3, 3, "b")
                  for marks in ((0, 1, 4, 10, 12, 17), (0, 1, 8, 11, 13, 17)))
    assert difference(Fingerprint(one), Fingerprint(other)) < 1e-12
    assert not close(one, other, 1e-3) and close(one, one, 1e-3)


def test_eigenvalues_change_by_no_more_than_the_bound():
    """Weyl: the tolerance on distances carries over to the spectrum, so that it never decides against them alone."""
    for by in (0.001, 0.01, 0.05):
        a, b = Fingerprint(water()), Fingerprint(water(atoms=stretched(by)))
        moved = difference(a, b)
        assert abs(a.spectrum - b.spectrum).max() <= moved * max(a.sensitivity, b.sensitivity)
        assert same(a, b, moved * 1.001)


# ------------------------------------------------------------------------------ the check

H2_CATION = (("H", (0.0, 0.0, 0.0)), ("H", (0.0, 0.0, 1.06)))


def entry(name: str, atoms: tuple, charge=0, spin=0) -> dict:
    return {"canonical": name, "charge": charge, "spin": spin, "atoms": [[s, *x] for s, x in atoms]}


@pytest.fixture
def folder(tmp_path):
    """A test split of the ionisation of water, of H₂⁺ and of an oxygen atom; and its allowances."""
    o = (("O", (0.0, 0.0, 0.0)),)
    h = (("H", (0.0, 0.0, 0.0)),)
    test = {"species": {"t/h2o": entry("t/h2o", WATER), "t/h2o+": entry("t/h2o+", WATER, 1, 1),
                        "t/h2+": entry("t/h2+", H2_CATION, 1, 1), "t/o": entry("t/o", o, 0, 2),
                        "t/o+": entry("t/o+", o, 1, 3), "t/h": entry("t/h", h, 0, 1)},
            "reactions": [{"id": "IP(water)", "stoichiometry": {"t/h2o": -1, "t/h2o+": 1}},
                          {"id": "D(H2+)", "stoichiometry": {"t/h2+": -1, "t/h": 1}},
                          {"id": "IP(O)", "stoichiometry": {"t/o": -1, "t/o+": 1}}]}
    (tmp_path / "benchmark.json").write_text(json.dumps(test))
    return tmp_path


@pytest.fixture
def splits(folder):
    """Writes a split manifest with the given allowances and returns its path."""
    def write(species=(), reactions=()):
        digest = hashlib.sha256((folder / "benchmark.json").read_bytes()).hexdigest()
        content = {"files": {"benchmark.json": digest}, "allowed_species": [{"reason": "r", "species": list(species)}],
                   "never_scored": [{"reason": "r", "reactions": list(reactions)}]}
        (folder / "splits.json").write_text(json.dumps(content))
        return folder / "splits.json"
    return write


def trained(*species: Species) -> Dataset:
    return Dataset({s.key: s for s in species}, [Target(s.key, "total", ((s.key, 1),), 0.0) for s in species])


ATOMS = [data.atom("O", 5, 3), data.atom("O", 5, 2), data.atom("H", 1, 0)]


def test_atoms_and_fractions_are_no_leak(folder, splits):
    half = Species("half", WATER, 5, 4.5, "b")
    found = leakage.check(trained(*ATOMS, half), folder, splits=splits())
    assert (found["shared_species"], found["trained_reactions"]) == (0, [])
    assert found["compared"] == "benchmark.json" and len(found["sha256"]) == 64


def test_a_tested_species_is_refused_by_name_in_any_frame(folder, splits):
    cation = water(1, 1, turned(stretched(0.15), 0.3), "mine")
    with pytest.raises(InvalidInput, match=r"mine is t/h2o\+ of the test \(distances within 0.1\d\d Å\).*Leave them"):
        leakage.check(trained(cation), folder, splits=splits())


def test_closed_shells_are_compared_more_strictly(folder, splits):
    with pytest.raises(InvalidInput, match="water is t/h2o of the test"):
        leakage.check(trained(water(atoms=stretched(0.04))), folder, splits=splits())
    assert leakage.check(trained(water(atoms=stretched(0.15))), folder, splits=splits())["shared_species"] == 0


def test_an_allowed_species_passes_and_is_counted(folder, splits):
    found = leakage.check(trained(water()), folder, splits=splits(["t/h2o"]))
    assert (found["shared_species"], found["trained_reactions"]) == (1, [])


def test_a_reaction_of_trained_species_must_be_left_out_of_the_score(folder, splits):
    cation = occupied("H2+", (("H", (0.0, 0.0, 0.0)), ("H", (0.0, 0.0, 1.0))), 1, 1, "b")
    with pytest.raises(InvalidInput, match=r"all species of these test reactions are trained on: D\(H2\+\)"):
        leakage.check(trained(cation), folder, splits=splits(["t/h2+"]))
    found = leakage.check(trained(cation), folder, splits=splits(["t/h2+"], ["D(H2+)"]))
    assert found["trained_reactions"] == ["D(H2+)"]


def test_training_on_the_test_is_possible_and_said(folder, splits):
    found = leakage.check(trained(water(), water(1, 1, key="cation")), folder, True, splits())
    assert (found["shared_species"], found["trained_reactions"]) == (2, ["IP(water)"])


def test_another_test_file_than_the_manifests_is_refused(folder, splits):
    path = splits()
    (folder / "benchmark.json").write_text((folder / "benchmark.json").read_text() + " ")
    with pytest.raises(InvalidInput, match="sha256 .* describes .*: take the file"):
        leakage.check(trained(), folder, splits=path)


def test_without_a_test_file_the_card_says_that_nothing_was_compared(tmp_path):
    for folder in (None, tmp_path):
        assert leakage.check(trained(), folder) == {"compared": ""}


# ------------------------------------------------------------------------------ the real splits

def test_split_manifest_describes_the_reference_files(reference_folder):
    splits = json.loads(leakage.SPLITS.read_text())
    for name, digest in splits["files"].items():
        assert hashlib.sha256((reference_folder / name).read_bytes()).hexdigest() == digest, name

    def ids(name):
        return [r["id"] for r in json.loads((reference_folder / name).read_text())["reactions"]]

    lists = json.loads((reference_folder / "benchmark_core_ids.json").read_text())
    assert splits["splits"] == {"train": ids("train.json"), "validation": ids("validation.json"),
                                "test": ids("benchmark.json"), "core": lists["core"], "smoke": lists["smoke"]}


def test_allowances_are_closed_shells_and_one_electron_systems(reference_folder):
    """Nothing that the benchmark is about: no other ion or radical is among them, and each is needed."""
    splits = json.loads(leakage.SPLITS.read_text())
    test = json.loads((reference_folder / "benchmark.json").read_text())
    by_canonical = {s["canonical"]: s for s in test["species"].values()}
    allowed = [by_canonical[name] for group in splits["allowed_species"] for name in group["species"]]
    odd = [s["canonical"] for s in allowed if s["charge"] or s["spin"]]
    assert all(name.startswith("SIE4x4/h2+") for name in odd) and len(odd) == 4
    everything = data.from_config({"data": {"sources": ["one_electron", "atoms", "fractional", "molecules",
                                                        "complexes"]}}, reference_folder)
    found = leakage.check(everything, reference_folder)
    assert found["shared_species"] == len(allowed)
    never = [name for group in splits["never_scored"] for name in group["reactions"]]
    assert sorted(found["trained_reactions"]) == sorted(never)
    assert set(TRAINED_ON) <= set(never)


def test_the_core_list_cannot_be_trained_on_by_mistake(reference_folder):
    config = {"data": {"sources": ["core"], "heavy_atoms": 2}}
    with pytest.raises(InvalidInput, match="leakage: species of the test are trained on: .* and .* more"):
        data.from_config(config, reference_folder)
    config["data"]["train_on_test"] = True
    dataset = data.from_config(config, reference_folder, log=lambda _: None)
    assert {t.group for t in dataset.targets} == {"core"} and len(dataset.leakage["trained_reactions"]) > 50
