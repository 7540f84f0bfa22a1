"""What is trained on: species with the right number of electrons, balanced targets, nothing of the tests."""

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pyscf.data.elements import charge as nuclear_charge

from mlxc.bench.sets import TRAINED_ON
from mlxc.errors import InvalidInput
from training import data

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=("small", "shipped"))
def training_set(request):
    """Species and targets made from the tests' own files, and from the shipped model's where they lie."""
    folder = request.getfixturevalue("small_folder" if request.param == "small" else "reference_folder")
    return data.training_set(folder)


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
    for s in training_set[0].values():
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
    for s in training_set[0].values():
        if len(s.atoms) == 1 and s.atoms[0][0] in data.HELD_OUT_IONS:
            assert s.charge == 0


def test_molecules_are_neutral_closed_shells(training_set):
    """Molecular ions and radicals are the test; H₂⁺, HeH²⁺ and H₃²⁺ have one electron."""
    for s in training_set[0].values():
        if len(s.atoms) > 1 and s.electrons > 1:
            assert s.charge == 0 and s.n_alpha == s.n_beta, s.key


def test_anions_and_one_electron_systems_have_diffuse_functions(training_set):
    for s in training_set[0].values():
        if s.charge < 0 or s.electrons == 1 and s.charge > 0 or is_fractional(s):
            assert s.basis == data.DIFFUSE_BASIS


def coulomb_spectrum(species: data.Species) -> np.ndarray:
    """Eigenvalues of the Coulomb matrix, the same in any frame; doi:10.1103/PhysRevLett.108.058301."""
    z = np.array([nuclear_charge(symbol) for symbol, _ in species.atoms], dtype=float)
    x = np.array([position for _, position in species.atoms])
    distance = np.linalg.norm(x[:, None] - x[None], axis=-1) + np.eye(len(z))
    matrix = np.outer(z, z) / distance
    np.fill_diagonal(matrix, z**2.4 / 2)
    return np.linalg.eigvalsh(matrix)


def same(one: data.Species, other: data.Species, tolerance: float = 1e-4) -> bool:
    """Equal composition, charge, spin and geometry."""
    if composition(one) != composition(other) or (one.n_alpha, one.n_beta) != (other.n_alpha, other.n_beta):
        return False
    return np.allclose(coulomb_spectrum(one), coulomb_spectrum(other), rtol=tolerance, atol=0)


def test_fingerprint_ignores_frame_and_order_only():
    water = data.Species("w", (("O", (0, 0, 0)), ("H", (0.9, 0, 0)), ("H", (0, 1, 0))), 5, 5, "sto-3g")
    moved = data.Species("m", (("H", (1, 3, 2)), ("O", (1, 2, 2)), ("H", (1, 2, 2.9))), 5, 5, "def2-svp")
    cation = data.Species("c", water.atoms, 5, 4, "sto-3g")
    bent = data.Species("b", (*water.atoms[:2], ("H", (0, 0.98, 0.2))), 5, 5, "sto-3g")
    assert same(water, moved)
    assert not same(water, cation) and not same(water, bent)


def test_no_species_of_the_benchmark_is_trained_on(reference_folder):
    """Free atoms aside, which every atomisation energy needs, and their ions, which the next test names."""
    trained = [s for s in data.training_set(reference_folder)[0].values() if len(s.atoms) > 1]
    tested, _ = data.reactions(reference_folder / "benchmark.json")
    found = [(s.key, t.key) for s in tested.values() if len(s.atoms) > 1 for t in trained if same(s, t)]
    assert not found


def test_the_smoke_lists_page_names_every_reaction_with_a_fitted_ion(reference_folder):
    fitted = {key for key, s in data.training_set(reference_folder)[0].items() if s.charge}
    ids = json.loads((reference_folder / "benchmark_core_ids.json").read_text())["smoke"]
    tested, targets = data.reactions(reference_folder / "benchmark.json", ids)
    ions = {key for key, s in tested.items()
            if len(s.atoms) == 1 and data.atom(s.atoms[0][0], s.n_alpha, s.n_beta).key in fitted}
    found = {t.id for t in targets if t.id not in TRAINED_ON and any(key in ions for key, _ in t.terms)}
    page = (ROOT / "docs" / "benchmarks" / "smoke.md").read_text()
    named = re.search(r"hold such an ion:(.*?)\. ", page, re.DOTALL).group(1)
    assert found == set(re.findall(r"[A-Z0-9]+-\d{3}", named))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InvalidInput, match=r"no reference file .*train.json: give the folder that holds"):
        data.molecules(tmp_path)


def test_what_the_small_files_give(small_folder):
    """Equal species are computed once; ions of B, affinities below zero and elements beyond Ar are left out."""
    species, targets = data.training_set(small_folder)
    ids = {t.id for t in targets} - {t.id for t in data.one_electron()[1]}
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
    species, targets = data.reactions(path, ["R1"])
    assert [t.id for t in targets] == ["R1"]
    assert species["set__h__aug-cc-pvtz"].n_alpha == 1  # beside a one-electron species every species is diffuse
    assert targets[0].reference == pytest.approx(109.5 / 627.5094740631)
