"""The sets: one basis per reaction, references in their places, every law with its own jobs."""

import json
from pathlib import Path

import pytest

from mlxc.bench import sets
from mlxc.bench.protocol import STANDARD, Protocol
from mlxc.bench.sets import dissociation, fractional, one_electron, reactions, sensitivity
from mlxc.errors import InvalidInput


def species(canonical, atoms, charge=0, spin=0):
    return {"canonical": canonical, "charge": charge, "spin": spin, "atoms": atoms}


WATER, HYDROXYL = [["O", 0, 0, 0.1], ["H", 0, 0.8, -0.5], ["H", 0, -0.8, -0.5]], [["O", 0, 0, 0], ["H", 0, 0, 0.97]]

SPECIES = {
    "A/h2o": species("A/h2o", WATER), "B/water": species("A/h2o", WATER), "A/h2o+": species("A/h2o+", WATER, 1, 1),
    "A/oh": species("A/oh", HYDROXYL, spin=1), "A/oh-": species("A/oh-", HYDROXYL, -1),
    "A/h": species("A/h", [["H", 0, 0, 0]], spin=1),
    "A/h2+": species("A/h2+", [["H", 0, 0, 0], ["H", 0, 0, 1.06]], 1, 1),
}

BASIS, DIFFUSE = STANDARD.basis, STANDARD.diffuse_basis


def reaction(id_, **stoichiometry):
    terms = {f"A/{name}" if "/" not in name else name: c for name, c in stoichiometry.items()}
    return {"id": id_, "subset": "S", "cls": "ions", "stoichiometry": terms, "reference": 12.5,
            "n_families_in_train": 1}


REACTIONS = [reaction("ionisation", **{"h2o+": 1, "h2o": -1}), reaction("affinity", **{"oh": 1, "oh-": -1}),
             reaction("SIE4x4-001", **{"h2+": -1, "h": 1}), reaction("bond", **{"B/water": -1, "oh": 1, "h": 1}),
             reaction("again", **{"h2o+": 1, "h2o": -1}) | {"same_reaction_as": "ionisation"}]


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "benchmark.json").write_text(json.dumps({"species": SPECIES, "reactions": REACTIONS}))
    lists = {"smoke": ["affinity"], "core": ["bond", "ionisation"]}
    (tmp_path / "benchmark_core_ids.json").write_text(json.dumps(lists))
    return tmp_path


def bases(s, id_: str) -> set[str]:
    return {s.jobs[key].basis for e in s.entries if e.id == id_ for key, _ in e.terms}


# ------------------------------------------------------------------------------------------- reactions


def test_lists_are_those_of_the_file(folder):
    found = {which: [e.id for e in reactions.benchmark(STANDARD, folder, which).entries]
             for which in ("smoke", "core", "all")}
    assert found == {"smoke": ["affinity"], "core": ["ionisation", "bond"],
                     "all": ["ionisation", "affinity", "SIE4x4-001", "bond"]}  # what is there twice counts once


@pytest.mark.parametrize("id_, basis", (("ionisation", BASIS), ("affinity", DIFFUSE), ("SIE4x4-001", DIFFUSE),
                                        ("bond", DIFFUSE)))
def test_anions_and_one_electron_systems_make_their_reactions_diffuse(folder, id_, basis):
    """A reaction has one basis for all its species; a free H atom has one electron."""
    assert bases(reactions.benchmark(STANDARD, folder, "all"), id_) == {basis}


def test_bases_are_the_protocols(folder):
    protocol = Protocol(basis="sto-3g", diffuse_basis="6-31++g")
    assert {j.basis for j in reactions.benchmark(protocol, folder, "all").jobs.values()} == {"sto-3g", "6-31++g"}


def test_equal_species_are_computed_once_per_basis(folder):
    s = reactions.benchmark(STANDARD, folder, "all")
    names = sorted((j.species, j.basis) for j in s.jobs.values())
    assert names == sorted([("A/h2o", BASIS), ("A/h2o+", BASIS), ("A/oh", DIFFUSE), ("A/oh-", DIFFUSE),
                            ("A/h2+", DIFFUSE), ("A/h", DIFFUSE), ("A/h2o", DIFFUSE)])
    assert {key for e in s.entries for key, _ in e.terms} == s.jobs.keys()


def test_reactions_keep_their_numbers(folder):
    entries = {e.id: e for e in reactions.benchmark(STANDARD, folder, "all").entries}
    first = entries["ionisation"]
    assert (first.subset, first.family, first.reference, first.related) == ("S", "ions", 12.5, True)
    assert [c for _, c in first.terms] == [1, -1]
    assert entries["SIE4x4-001"].trained and not first.trained


@pytest.mark.parametrize(("relatives", "name", "related"), ((1, "A/h2o", True), (0, "BH76/H2O", True),
                                                             (0, "A/h2o", False)))
def test_a_molecule_of_the_training_set_is_a_relative(tmp_path, relatives, name, related):
    """Whether the reference file counts it, as it does not for all, or the splits name it."""
    content = {"species": {"A/h2o": species(name, WATER), "A/h2o+": species("A/h2o+", WATER, 1, 1)},
               "reactions": [reaction("ionisation", **{"h2o+": 1, "h2o": -1}) | {"n_families_in_train": relatives}]}
    (tmp_path / "benchmark.json").write_text(json.dumps(content))
    assert reactions.benchmark(STANDARD, tmp_path, "all").entries[0].related is related


def test_the_splits_lie_with_the_data():
    assert json.loads((Path(__file__).parents[2] / "data" / "splits.json").read_text()) == reactions.SPLITS


# ------------------------------------------------------------------------------------------- manifests

MANIFEST = {"format": 1, "name": "mine", "description": "three reactions",
            "species": {"h2o": {"atoms": WATER, "charge": 0, "spin": 0},
                        "oh-": {"atoms": HYDROXYL, "charge": -1, "spin": 0},
                        "h2o+": {"atoms": WATER, "charge": 1, "spin": 1},
                        "h": {"atoms": [["H", 0, 0, 0]], "charge": 0, "spin": 1}},
            "reactions": [{"id": "PA", "stoichiometry": {"h2o": -1, "oh-": 1, "H+": 1}, "reference": 16.9,
                           "unit": "eV", "subset": "acid", "source": "x"},
                          {"id": "IP", "stoichiometry": {"h2o": -1, "h2o+": 1, "e-": 1}, "reference": 0.46,
                           "unit": "Ha", "subset": "ip", "source": "x"},
                          {"id": "HF(H)", "stoichiometry": {"h": 1}, "reference": "HF", "subset": "one",
                           "source": "x"}]}


def test_manifests_become_sets(tmp_path):
    """Units, bases, the free proton and electron; total energies are no reactions."""
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(MANIFEST))
    s, = sets.load(str(path), STANDARD)
    assert s.name == "mine" and [e.id for e in s.entries] == ["PA", "IP"]
    assert [e.reference for e in s.entries] == pytest.approx([389.72, 288.65], abs=0.01)
    assert [len(e.terms) for e in s.entries] == [2, 2] and [e.family for e in s.entries] == ["ions", "ions"]
    assert bases(s, "PA") == {DIFFUSE} and bases(s, "IP") == {BASIS}
    own = {key: entry | {"basis": "6-31g"} for key, entry in MANIFEST["species"].items()}
    path.write_text(json.dumps(MANIFEST | {"species": own}))
    assert {j.basis for j in sets.load(str(path), STANDARD)[0].jobs.values()} == {"6-31g"}


@pytest.mark.parametrize("change, message", (
    ({"format": 2}, "format 2, this version reads 1"),
    ({"reactions": [MANIFEST["reactions"][0] | {"unit": "cm-1"}]}, "unknown unit 'cm-1'. Accepted: kcal/mol"),
    ({"reactions": [MANIFEST["reactions"][0] | {"stoichiometry": {"h2o": -1, "x": 1}}]}, "unknown species 'x'"),
    ({"species": MANIFEST["species"] | {"h2o": MANIFEST["species"]["h2o"] | {"basis": "6-31g"}}}, "different bases"),
    ({"reactions": [MANIFEST["reactions"][0] | {"stoichiometry": {"h2o": -1, "oh-": 1}}]}, "PA': nuclei are not bal"),
    ({"reactions": 2 * MANIFEST["reactions"][:1]}, "id 'PA' is there twice"),
    ({"reactions": MANIFEST["reactions"][2:]}, "no reaction to score")))
def test_manifests_that_cannot_be_scored_are_refused(tmp_path, change, message):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(MANIFEST | change))
    with pytest.raises(InvalidInput, match=message):
        sets.load(str(path), STANDARD)


def test_two_manifests_of_one_name_are_refused(tmp_path):
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(json.dumps(MANIFEST))
    with pytest.raises(InvalidInput, match="two sets are named 'mine'"):
        sets.load(f"{tmp_path / 'a.json'},{tmp_path / 'b.json'}", STANDARD)


def test_the_set_of_the_package_needs_no_file():
    s, = sets.load("mini", STANDARD)
    assert len(s.entries) == 15 and {e.family for e in s.entries} == {"ions", "radicals"}
    assert max(len(j.atoms) for j in s.jobs.values()) == 5 and s.held_back
    reference = {e.id: e.reference for e in s.entries}
    assert reference["PA(NH3)"] == pytest.approx(211.9, abs=1.0)  # 204.0 at 298 K and 9.2 of zero-point energy
    assert reference["D(He2+)"] == pytest.approx(56.9, abs=1.0)  # 2.4730 eV, doi:10.1063/1.4891885


# ------------------------------------------------------------------------------------------------ laws


def test_one_electron_systems_have_one_electron():
    s = one_electron.curves(STANDARD)
    assert all(j.n_electrons == 1 for j in s.jobs.values())
    assert [e.x for e in s.entries if e.subset == "H2+"] == list(one_electron.DISTANCES)
    levels = {j.species: j.mol().nao for j in s.jobs.values() if j.species in ("H 2p", "H 3d")}
    assert levels == {"H 2p": 27, "H 3d": 45}  # nine shells of p or d functions and nothing else


@pytest.mark.parametrize("shell, energy", (("H 2p", -1 / 8), ("H 3d", -1 / 18)))
def test_excited_levels_of_hydrogen_are_ground_states_of_their_bases(shell, energy):
    job = next(j for j in one_electron.curves(STANDARD).jobs.values() if j.species == shell)
    assert job.mol().UHF().kernel() == pytest.approx(energy, abs=2e-4)


def test_lines_join_whole_charges():
    """Occupations and weights of every point: the charge in the middle is the mean of the ends."""
    s = fractional.lines(STANDARD)
    for e in s.entries:
        (middle, one), (left, a), (right, b) = ((s.jobs[key], c) for key, c in e.terms)
        assert one == 1 and a + b == pytest.approx(-1) and e.reference == 0
        assert middle.n_electrons == pytest.approx(-a * left.n_electrons - b * right.n_electrons)
        spin = middle.electrons[0] - middle.electrons[1]
        assert spin == pytest.approx(-a * left.spin - b * right.spin)
        assert e.x == pytest.approx(-a * left.charge - b * right.charge)
    assert {e.subset for e in s.entries if e.family == "atoms never seen"} == {"B", "P", "S"}
    assert not any(e.x < 0 for e in s.entries if e.subset == "N")  # N⁻ is not bound


def test_curves_are_relative_to_their_fragments():
    s = dissociation.curves(STANDARD)
    far = {e.subset: e for e in s.entries}  # the last of each
    assert far["H2, restricted"].reference == pytest.approx(0, abs=0.01)
    assert {e.reference for e in s.entries if e.subset == "LiF"} == {0.0}
    assert min(e.reference for e in s.entries if e.subset == "He2+") == pytest.approx(-55.9, abs=1.5)
    restricted = {s.jobs[e.terms[0][0]].is_restricted for e in s.entries if e.subset == "H2, restricted"}
    assert restricted == {True} and not any(
        s.jobs[e.terms[0][0]].is_restricted for e in s.entries if e.subset == "H2, broken symmetry")


def test_sensitivity_compares_a_thing_with_itself():
    s = sensitivity.grids_and_bases(STANDARD)
    for e in s.entries:
        jobs = [(s.jobs[key], c) for key, c in e.terms]
        if e.family == "grid":
            assert [j.grid_level for j, _ in jobs] == [None, 6] and [c for _, c in jobs] == [1, -1]
        else:
            larger, own = ({(j.species, abs(c)) for j, c in jobs[i::2]} for i in (0, 1))
            assert larger == own and len({j.basis for j, _ in jobs}) == 2 and sum(c for _, c in jobs) == 0
            assert e.id.split()[1] != BASIS or "OH-" not in {j.species for j, _ in jobs}


def test_anions_have_no_spin_and_a_diffuse_basis():
    s, = sets.load("anions", STANDARD)
    assert {(j.charge, j.spin, j.basis) for j in s.jobs.values()} == {(-1, 0, DIFFUSE)}
    assert all(e.reference > 0.7 and e.quantity == "minus_homo" for e in s.entries)


def test_curves_have_references_in_one_basis():
    with pytest.raises(InvalidInput, match="references in aug-cc-pvtz alone"):
        dissociation.curves(Protocol(diffuse_basis="aug-cc-pvdz"))


def test_the_fine_grid_is_finer_than_the_protocol_s():
    levels = {j.grid_level for j in sensitivity.grids_and_bases(Protocol(grid_level=5)).jobs.values()}
    assert levels == {None, 8}


TABLE = {"species": {"w": {"charge": 0, "spin": 0, "atoms": WATER},
                     "i2": {"charge": 0, "spin": 0, "atoms": [["I", 0, 0, 0], ["I", 0, 0, 2.7]]},
                     "c5": {"charge": 0, "spin": 0, "atoms": [["C", 0, 0, 1.5 * i] for i in range(5)]}},
         "entries": [{"id": "1", "species": "w", "reference": 1.85}, {"id": "2", "species": "c5", "reference": 3.0},
                     {"id": "3", "species": "i2", "reference": 9.0}]}


@pytest.mark.parametrize("name, files, quantity", (
    ("ionisation", ("GW100_public", "CCCBDB_IP_public"), "minus_homo"), ("dipoles", ("dip152_public",), "dipole"),
    ("polarizabilities", ("pol132_public",), "polarizability")))
def test_tables_of_properties(tmp_path, name, files, quantity):
    """Up to four heavy atoms, or all; none beyond Kr, which would need pseudopotentials."""
    for file in files:
        (tmp_path / f"{file}.json").write_text(json.dumps(TABLE))
    small, whole = sets.load(f"{name},{name}:all", STANDARD, tmp_path)
    assert (len(small.entries), len(whole.entries)) == (len(files), 2 * len(files))
    assert {e.quantity for e in small.entries} == {quantity} and small.entries[0].reference == 1.85
    assert small.entries[0].id == ("1" if name == "ionisation" else "w")
    assert all(j.polarizability == (name == "polarizabilities") for j in small.jobs.values())


# ------------------------------------------------------------------------------------------ excitations


def state(energy, spin=1, label="^1A", **more):
    return {"State": label, "Spin": spin, "V/R": "V", "TBE/AVTZ": energy, "Safe ? (~50 meV)": "Y"} | more


@pytest.fixture
def quest(tmp_path) -> Path:
    """A folder in QUEST's form: what is to be found has energy 2, or 2.5 for the second spin."""
    content = {
        "MAIN/Water": [state(3.0), state(2.0, **{"V/R": "R"}), state(2.5, 3), state(1.0, 5)],
        "MAIN/Formaldehyde": [state(1.5, label="^1A'' [F]"), state(1.6, **{"Special ?": "FL"}), state(2.0),
                              state(None)],
        "MAIN/Doubles": [state(1.0, **{"Special ?": "GD"}), state(2.0), state(1.0, 3, **{"Safe ? (~50 meV)": "N"})],
        "MAIN/Streptocyanine-C1": [state(2.0)], "MAIN/Carbon_dioxyde": [state(2.0, **{"Special ?": "PD"})],
        "RAD/CO+": [state(2.0, 2), state(1.0, 4)], "RAD/OH": [state(1.0, 2)], "MAIN/Large": [state(2.0)]}
    geometries = {
        "water": "O 0 0 0.1\nH 0 0.8 -0.5\nH 0 -0.8 -0.5", "doubles": "He 0 0 0",
        "formaldehyde_1": "C 0 0 0\nO 0 0 1.2\nH 0 0.9 -0.6\nH 0 -0.9 -0.6",
        "formaldehyde_2": "C 0 0 0\nO 0 0 1.3\nH 0 0.9 -0.6\nH 0 -0.9 -0.6",
        "streptocyanine-c1": "N 0 0 0\nH 0 0 1", "carbon_dioxide": "C 0 0 0\nO 0 0 1.2",
        "CO+": "C 0 0 0\nO 0 0 1.1", "OH": "O 0 0 0\nH 0 0 1",
        "large": "C 0 0 0\nC 0 0 1.2\nC 0 0 2.5\nC 0 0 3.7"}
    for name, states in content.items():
        path = tmp_path / "QUESTDB" / "data" / "json" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(states))
    places = tmp_path / "QUESTDB" / "geometries" / "xyz"
    places.mkdir(parents=True)
    for name, atoms in geometries.items():
        (places / f"{name}.xyz").write_text(f"{atoms.count(chr(10)) + 1}\n{name}\n{atoms}\n")
    return tmp_path


def test_the_lowest_excitation_of_each_spin_is_scored(quest):
    small, whole = sets.load("excitations,excitations:all", STANDARD, quest)
    found = {e.id: (e.subset, e.quantity, e.reference, e.unit) for e in small.entries}
    assert found == {
        "Water singlet": ("singlets, Rydberg", "singlet", 2.0, "eV"),
        "Water triplet": ("triplets, valence", "triplet", 2.5, "eV"),
        "Formaldehyde singlet": ("singlets, valence", "singlet", 2.0, "eV"),
        "Streptocyanine-C1 singlet": ("singlets, valence", "singlet", 2.0, "eV"),
        "Carbon_dioxyde singlet": ("singlets, valence", "singlet", 2.0, "eV"),
        "CO+ doublet": ("doublets, valence", "same_spin", 2.0, "eV")}
    assert {e.id for e in whole.entries} - set(found) == {"Large singlet"}


def test_excitations_are_wanted_of_the_ground_state_s_geometry_and_charge(quest):
    jobs = {j.species: j for j in sets.load("excitations", STANDARD, quest)[0].jobs.values()}
    assert jobs["Formaldehyde"].atoms[1] == ("O", (0.0, 0.0, 1.2))
    assert {name: (j.charge, j.spin) for name, j in jobs.items() if j.charge or j.spin} == {
        "CO+": (1, 1), "Streptocyanine-C1": (1, 0)}
    assert all(j.excitations and j.basis == DIFFUSE for j in jobs.values())


def test_quest_is_a_clone_in_the_reference_folder(tmp_path, quest):
    with pytest.raises(InvalidInput, match="git clone https://github.com/pfloos/QUESTDB"):
        sets.load("excitations", STANDARD, tmp_path / "elsewhere")
    (quest / "QUESTDB" / "geometries" / "xyz" / "water.xyz").unlink()
    with pytest.raises(InvalidInput, match="no geometry of Water"):
        sets.load("excitations", STANDARD, quest)


@pytest.mark.parametrize("content", ('[{"State": "^1A", "Spin": 1}]', '["water"]', "5"))
def test_another_form_than_quest_s_is_refused(quest, content):
    (quest / "QUESTDB" / "data" / "json" / "MAIN" / "Water.json").write_text(content)
    with pytest.raises(InvalidInput, match="Water.json is not in the form of QUESTDB's commit"):
        sets.load("excitations", STANDARD, quest)


# ----------------------------------------------------------------------------------------------- names


def test_groups_stand_for_their_sets():
    assert [s.name for s in sets.load("physics, mini,one-electron", STANDARD)] == [
        "one-electron", "fractional", "dissociation", "anions", "sensitivity", "mini"]


@pytest.mark.parametrize("name, message", (
    ("minni", "unknown set 'minni'.*mini"), ("ions-radicals:smoke", "folder of the reference files with --data"),
    ("", "names no set"), ("nowhere.json", "no manifest nowhere.json")))
def test_what_cannot_be_loaded_says_why(name, message):
    with pytest.raises(InvalidInput, match=message):
        sets.load(name, STANDARD)


def test_names_of_sets_are_file_names():
    assert all(s.name.replace("-", "").isalnum() for s in sets.load("physics,mini", STANDARD))
