"""Molecules from files and text, checked before anything is computed."""

import math
import re
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from pyscf import gto
from pyscf.data.elements import ELEMENTS
from pyscf.gto.basis import parse_nwchem, parse_nwchem_ecp
from scipy.spatial.distance import pdist, squareform

from mlxc.errors import InvalidInput
from mlxc.suggest import did_you_mean

#: An atom as PySCF takes it: symbol and position in Å.
Atom = tuple[str, tuple[float, float, float]]

#: More than this is no molecule that exact exchange is computed for in one piece.
MAX_ATOMS = 1000
#: Size above which a file is not read at all.
MAX_BYTES = 1_000_000
#: Beyond this a coordinate is a typing error, Å.
MAX_COORDINATE = 1e4
#: Nearer than this, two atoms are one that was written twice, Å.
MIN_DISTANCE = 0.1
#: Electrons that a molecule of few atoms can be given in excess; larger ones, one per atom.
MAX_EXCESS_ELECTRONS = 4

_LABEL = re.compile(r"(ghost-|x-)?([a-z]{1,2})(\d*)", re.IGNORECASE)


def read_xyz(path: Path) -> list[Atom]:
    """The atoms of an xyz file: their number, a comment, then one line of symbol (or Z) and x, y, z in Å for each.

    Further columns are ignored; so is the comment, unless it declares another order of columns.

    Raises:
        InvalidInput: the file is missing, empty, binary, too large, or no xyz file of one molecule.
    """
    lines = _text(path).splitlines()
    if not lines or not any(line.strip() for line in lines):
        raise InvalidInput(f"{path} is empty, expected an xyz file: number of atoms, a comment line, one line per atom")
    if not re.fullmatch(r"\s*\+?\d{1,12}\s*", lines[0]):
        raise InvalidInput(f"{path}, line 1: {_shown(lines[0])} is not the number of atoms, as an xyz begins")
    count = int(lines[0])
    if not 1 <= count <= MAX_ATOMS:
        raise InvalidInput(f"{path} announces {count} atoms, accepted are 1 to {MAX_ATOMS}")
    comment = lines[1] if len(lines) > 1 else ""
    columns = re.search(r"Properties=(\S+)", comment, re.IGNORECASE)
    if columns and not columns.group(1).lower().startswith("species:s:1:pos:r:3"):
        raise InvalidInput(f"{path}, line 2 declares the columns {_shown(columns.group(1))}, "
                           "expected species and positions first: write it as a plain xyz file")
    body = lines[2:]
    while body and not body[-1].strip():
        body.pop()
    if len(body) != count:
        raise InvalidInput(f"{path} announces {count} atoms and holds {len(body)} lines of atoms: "
                           "correct line 1, and give one molecule per file")
    return _checked(_atom(line.split(), f"{path}, line {i}") for i, line in enumerate(body, start=3))


def parse_atoms(text: str) -> list[Atom]:
    """The atoms of a text such as ``O 0 0 0; H 0 0 0.97``: symbol and x, y, z in Å, split by ; or line ends.

    Raises:
        InvalidInput: no atoms, or a part that is no atom.
    """
    parts = [part for part in re.split(r"[;\n]", text) if part.strip()]
    if not parts:
        raise InvalidInput("no atoms given: write for example --atom 'O 0 0 0; H 0 0 0.97' (Å)")
    if len(parts) > MAX_ATOMS:
        raise InvalidInput(f"{len(parts)} atoms given, accepted are 1 to {MAX_ATOMS}")
    return _checked(_atom(part.replace(",", " ").split(), f"atom {i}") for i, part in enumerate(parts, start=1))


def molecule(atoms: list[Atom], basis: str, charge: int = 0, spin: int | None = None) -> gto.Mole:
    """The molecule, with the effective core potentials that belong to the basis.

    Args:
        atoms: symbols and positions, Å.
        basis: PySCF's name of a basis, or the path of a file in NWChem's format.
        charge: total charge, e.
        spin: number of unpaired electrons, 2S; the lowest possible one if None.

    Raises:
        InvalidInput: a basis that is unknown or lacks an element; an impossible charge or spin.
    """
    symbols = sorted({symbol for symbol, _ in atoms})
    bases = {symbol: _basis_of(basis, symbol) for symbol in symbols}
    cores = core_potentials(basis, symbols)
    mol = gto.Mole(atom=atoms, basis=bases, ecp=cores, unit="Angstrom", verbose=0)
    protons = sum(gto.charge(symbol) - (cores[symbol][0] if symbol in cores else 0)
                  for symbol, _ in atoms if not _is_ghost(symbol))
    mol.charge, mol.spin = charge, _checked_charge(charge, protons, len(atoms)) % 2
    mol.build(parse_arg=False, dump_input=False)
    mol.spin = _checked_spin(spin, mol.nelectron, mol.nao)
    return mol.build(parse_arg=False, dump_input=False)


def elements(mol: gto.Mole) -> list[str]:
    """Symbols of the elements that are there, ghosts left out, in the order of their atoms."""
    symbols = [mol.atom_pure_symbol(i) for i in range(mol.natm) if not _is_ghost(mol.atom_symbol(i))]
    return list(dict.fromkeys(symbols))


def _text(path: Path) -> str:
    if path.is_dir():
        raise InvalidInput(f"{path} is a folder, expected an xyz file")
    if not path.exists():
        raise InvalidInput(f"{path} does not exist: give the path of an xyz file, or --atom")
    if not path.is_file():
        raise InvalidInput(f"{path} is a device or pipe, expected an xyz file")
    if path.stat().st_size > MAX_BYTES:
        raise InvalidInput(f"{path} has {path.stat().st_size} bytes, an xyz file of one molecule at most {MAX_BYTES}")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is a binary file, expected an xyz file, which is text") from error
    if "\0" in text:
        raise InvalidInput(f"{path} is a binary file, expected an xyz file, which is text")
    return text


def _atom(fields: list[str], where: str) -> Atom:
    if len(fields) < 4:
        raise InvalidInput(f"{where}: {_shown(' '.join(fields))} is not an atom, expected a symbol and x, y, z in Å")
    try:
        x, y, z = (float(field) for field in fields[1:4])
    except ValueError:
        raise InvalidInput(f"{where}: {_shown(' '.join(fields[1:4]))} are not three numbers, expected x, y, z in Å "
                           "(Cartesian; internal coordinates are not read)") from None
    for value in (x, y, z):
        if not math.isfinite(value) or abs(value) > MAX_COORDINATE:
            raise InvalidInput(f"{where}: coordinate {value} Å, accepted is up to {MAX_COORDINATE:g}")
    return _symbol(fields[0], where), (x, y, z)


def _symbol(label: str, where: str) -> str:
    """PySCF's form of an atom's label: `O`, `O1`, `ghost-O`; an atomic number becomes its symbol."""
    if label.isdecimal() and 0 < int(label) < len(ELEMENTS):
        return ELEMENTS[int(label)]
    match = _LABEL.fullmatch(label)
    element = match.group(2).capitalize() if match else ""
    if not match or element not in ELEMENTS[1:]:
        raise InvalidInput(f"{where}: {_shown(label)} is not an element; write a symbol (O), a numbered one (O1), "
                           "or a ghost atom (ghost-O)")
    return ("ghost-" if match.group(1) else "") + element + match.group(3)


def _checked(found: Iterable[Atom]) -> list[Atom]:
    atoms = list(found)
    if all(_is_ghost(symbol) for symbol, _ in atoms):
        raise InvalidInput("every atom is a ghost: at least one must be real")
    if len(atoms) > 1:
        distances = squareform(pdist(np.array([position for _, position in atoms])))
        np.fill_diagonal(distances, np.inf)
        i, j = divmod(int(distances.argmin()), len(atoms))
        if distances[i, j] < MIN_DISTANCE:
            raise InvalidInput(f"atoms {i + 1} and {j + 1} are {distances[i, j]:.3f} Å apart: one is there twice, "
                               "or the coordinates are not in Å")
    return atoms


def _basis_of(basis: str, symbol: str) -> list:
    if basis.lower().startswith("gth"):
        raise InvalidInput(f"basis {basis!r} belongs to pseudopotentials, which mlxc run does not set: use PySCF")
    # From a file that lacks the element, PySCF's general reader takes the first element's functions.
    load = parse_nwchem.load if Path(basis).is_file() else gto.basis.load
    if found := _quietly(load, basis, symbol):
        return found
    if any(_quietly(load, basis, element) for element in ELEMENTS[1:]):
        raise InvalidInput(f"basis {basis!r} has no functions for element {_element(symbol)}: choose another, "
                           "for example def2-tzvpd (H to Rn)")
    raise InvalidInput(f"unknown basis {basis!r}{did_you_mean(basis, gto.basis.ALIAS)} "
                       "Any basis of PySCF is accepted, for example def2-tzvpd or aug-cc-pvtz")


def core_potentials(basis: str, symbols: Iterable[str]) -> dict[str, list]:
    """The effective core potentials that belong to a basis, by symbol; of ghosts and elements without one none.

    Args:
        basis: PySCF's name of a basis, or the path of a file in NWChem's format.
        symbols: of the atoms.
    """
    load = parse_nwchem_ecp.load if Path(basis).is_file() else gto.basis.load_ecp
    return {symbol: core for symbol in symbols if not _is_ghost(symbol) and (core := _quietly(load, basis, symbol))}


def _quietly(load, basis: str, symbol: str):
    """What PySCF finds of a basis for an element; None where it finds nothing, which it says in many ways."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        try:
            return load(basis, _element(symbol)) or None
        except (UserWarning, RuntimeError, KeyError, OSError, AssertionError, ValueError, IndexError):
            return None


def _element(symbol: str) -> str:
    return re.sub(r"\d", "", symbol.removeprefix("ghost-"))


def _is_ghost(symbol: str) -> bool:
    return symbol.lower().startswith("ghost")


def _checked_charge(charge: int, protons: int, atoms: int) -> int:
    """The number of electrons that a charge leaves."""
    lowest = -max(MAX_EXCESS_ELECTRONS, atoms)
    if not lowest <= charge < protons:
        raise InvalidInput(f"charge {charge:+d} is not possible: the nuclei (with their cores) carry {protons:+d}, "
                           f"so charges from {lowest:+d} to {protons - 1:+d} are accepted")
    return protons - charge


def _checked_spin(spin: int | None, electrons: int, orbitals: int) -> int:
    possible = range(electrons % 2, min(electrons, 2 * orbitals - electrons) + 1, 2)
    if not possible:
        raise InvalidInput(f"{electrons} electrons do not fit in the {orbitals} orbitals of the basis: "
                           "use a larger one")
    if spin is None:
        return possible[0]
    if spin not in possible:
        shown = ", ".join(str(value) for value in possible[:4]) + (f", … {possible[-1]}" if len(possible) > 4 else "")
        raise InvalidInput(f"spin {spin} is not possible for {electrons} electrons: {shown} unpaired are "
                           "(--spin is their number, 2S)")
    return spin


def _shown(text: str) -> str:
    """A piece of the user's text, short and printable."""
    return repr(text if len(text) <= 40 else text[:40] + "…")
