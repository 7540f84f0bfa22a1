"""Reading molecules: what is an xyz file, what is not, and which molecules are possible."""

import re
from pathlib import Path

import pytest

from mlxc.errors import InvalidInput
from mlxc.structure import MAX_ATOMS, MAX_BYTES, elements, molecule, parse_atoms, read_xyz

WATER = "3\nwater\nO 0 0 0.117\nH 0 0.757 -0.467\nH 0 -0.757 -0.467\n"


def written(tmp_path, content):
    path = tmp_path / "molecule.xyz"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("content", [
    WATER, WATER.rstrip(), WATER + "\n\n", WATER.replace("\n", "\r\n"), "\ufeff" + WATER, WATER.replace("O ", "8 "),
    WATER.replace("0.117", "0.117 0.1 0.2 0.3"), WATER.replace("O ", "o ").replace(" ", "\t"),
    WATER.replace("water", 'Lattice="9 0 0" Properties=species:S:1:pos:R:3:forces:R:3'),
    WATER.replace("0.117", "1.17e-1"),
])
def test_usual_forms_of_an_xyz_file_are_read(tmp_path, content):
    atoms = read_xyz(written(tmp_path, content))
    assert atoms == [("O", (0, 0, 0.117)), ("H", (0, 0.757, -0.467)), ("H", (0, -0.757, -0.467))]


@pytest.mark.parametrize("content, reason", [
    ("", "is empty"),
    ("  \n \n", "is empty"),
    (b"\x7fELF\x01\xff\xfe", "is a binary file"),
    ("3\0\n", "is a binary file"),
    (WATER.encode("utf-16"), "is a binary file"),
    (b" " * (MAX_BYTES + 1), "at most 1000000"),
    ("O 0 0 0\nH 0 0 1\n", "line 1: 'O 0 0 0' is not the number of atoms"),
    ("0\n\n", "announces 0 atoms"),
    ("-1\n\n", "is not the number of atoms"),
    ("999999999999\n\nO 0 0 0\n", "announces 999999999999 atoms, accepted are 1 to"),
    ("3", "announces 3 atoms and holds 0 lines"),
    (WATER.replace("3\n", "4\n"), "announces 4 atoms and holds 3 lines"),
    (WATER + WATER, "announces 3 atoms and holds 8 lines"),
    (WATER.replace("O 0 0 0.117", "O 0 0"), "line 3: 'O 0 0' is not an atom"),
    (WATER.replace("O 0 0 0.117", ""), "line 3: '' is not an atom"),
    (WATER.replace("0.117", "zero"), "line 3: '0 0 zero' are not three numbers"),
    (WATER.replace("0.117", "nan"), "line 3: coordinate nan"),
    (WATER.replace("0.117", "1e300"), "line 3: coordinate 1e+300"),
    (WATER.replace("O 0", "Qq 0"), "line 3: 'Qq' is not an element"),
    (WATER.replace("O 0", "119 0"), "line 3: '119' is not an element"),
    (WATER.replace("O 0", "0 0"), "line 3: '0' is not an element"),
    (WATER.replace("-0.757", "0.757"), "atoms 2 and 3 are 0.000 Å apart"),
    (WATER.replace("water", "Properties=pos:R:3:species:S:1"), "declares the columns 'pos:R:3:species:S:1'"),
])
def test_what_is_no_xyz_file_is_refused_with_the_reason(tmp_path, content, reason):
    with pytest.raises(InvalidInput, match=re.escape(reason)):
        read_xyz(written(tmp_path, content))


def test_missing_files_folders_and_devices_are_refused(tmp_path):
    with pytest.raises(InvalidInput, match="does not exist"):
        read_xyz(tmp_path / "none.xyz")
    with pytest.raises(InvalidInput, match="is a folder"):
        read_xyz(tmp_path)
    with pytest.raises(InvalidInput, match="is a device or pipe"):
        read_xyz(Path("/dev/zero"))


@pytest.mark.parametrize("text", ["O 0 0 0; H 0 0 .97", "O 0 0 0\nH 0 0 .97\n", "O 0,0,0; H 0,0,.97;"])
def test_atoms_are_read_from_text(text):
    assert parse_atoms(text) == [("O", (0, 0, 0)), ("H", (0, 0, 0.97))]


@pytest.mark.parametrize("text, reason", [
    ("", "no atoms given"),
    (" ; ", "no atoms given"),
    ("O", "atom 1: 'O' is not an atom"),
    ("O 0 0 0; H 1 r", "atom 2: 'H 1 r' is not an atom"),
    ("molecule.xyz", "atom 1: 'molecule.xyz' is not an atom"),
    ("ghost-O 0 0 0", "every atom is a ghost"),
    (";".join(["H 0 0 0"] * (MAX_ATOMS + 1)), "accepted are 1 to"),
])
def test_what_is_no_molecule_is_refused(text, reason):
    with pytest.raises(InvalidInput, match=re.escape(reason)):
        parse_atoms(text)


def test_labels_and_ghosts_are_kept():
    assert [symbol for symbol, _ in parse_atoms("O1 0 0 0; X-h 0 0 1; GHOST-O 0 0 2; Ghost-H2 0 0 3")] == [
        "O1", "ghost-H", "ghost-O", "ghost-H2"]


def test_ghosts_bring_functions_and_no_electrons():
    mol = molecule(parse_atoms("H 0 0 0; ghost-O 0 0 1"), "sto-3g")
    assert (mol.nelectron, mol.nao, elements(mol)) == (1, 6, ["H"])


def test_heavy_elements_get_the_core_potential_of_the_basis():
    mol = molecule(parse_atoms("I 0 0 0; H 0 0 1.61"), "def2-svp")
    assert mol.nelectron == 26 and mol.has_ecp()
    assert not molecule(parse_atoms("Cl 0 0 0; H 0 0 1.27"), "def2-svp").has_ecp()


@pytest.mark.parametrize("charge, spin", [(0, 1), (-1, 0), (1, 0)])
def test_the_lowest_spin_is_the_default(charge, spin):
    assert molecule(parse_atoms("O 0 0 0; H 0 0 1"), "sto-3g", charge).spin == spin


@pytest.mark.parametrize("charge, spin", [(0, 3), (1, 2), (8, 1)])
def test_possible_spins_are_taken(charge, spin):
    assert molecule(parse_atoms("O 0 0 0; H 0 0 1"), "sto-3g", charge, spin).spin == spin


@pytest.mark.parametrize("basis, charge, spin, reason", [
    ("6-31g", 0, 0, "spin 0 is not possible for 9 electrons: 1, 3, 5, 7, … 9 unpaired are"),
    ("sto-3g", 0, 5, "spin 5 is not possible for 9 electrons: 1, 3 unpaired are"),
    ("sto-3g", 0, -1, "spin -1 is not possible for 9 electrons"),
    ("sto-3g", 9, None, "charge +9 is not possible: the nuclei (with their cores) carry +9, so charges from -4 to +8"),
    ("sto-3g", 1000, None, "charge +1000 is not possible"),
    ("def2-tzvpd", -5, None, "charge -5 is not possible"),
    ("sto-3g", -4, None, "13 electrons do not fit in the 6 orbitals"),
    ("def2-tzvpq", 0, None, "unknown basis 'def2-tzvpq'; did you mean def2tzvp"),
    ("", 0, None, "unknown basis ''"),
    ("6-31+++g(q)", 0, None, "unknown basis"),
    ("gth-szv", 0, None, "belongs to pseudopotentials"),
])
def test_impossible_molecules_are_refused(basis, charge, spin, reason):
    with pytest.raises(InvalidInput, match=re.escape(reason)):
        molecule(parse_atoms("O 0 0 0; H 0 0 1"), basis, charge, spin)


def test_an_element_that_the_basis_lacks_is_named():
    with pytest.raises(InvalidInput, match="basis '6-31g' has no functions for element I"):
        molecule(parse_atoms("I 0 0 0; H 0 0 1.6"), "6-31g")


def test_a_basis_from_a_file_is_of_its_own_elements_only(tmp_path):
    path = tmp_path / "own.nw"
    path.write_text("H    S\n   3.42  0.15\n   0.62  0.54\n   0.17  0.44\nEND\n")
    assert molecule(parse_atoms("H 0 0 0"), str(path)).nao == 1
    with pytest.raises(InvalidInput, match="has no functions for element O"):
        molecule(parse_atoms("H 0 0 0; O 0 0 1"), str(path))
