"""Conditions on fractional occupations: energies that need no reference value.

    E(N − f) = (1 − f) E(N) + f E(N − 1)     a straight line between whole charges, doi:10.1103/PhysRevLett.49.1691
    E(n_a, n_b) constant in a level          ½ + ½ electrons in the 1s orbital of H, say, doi:10.1126/science.1158722

The end points are the functional's own. A dimer whose hole is shared by two monomers has a fractional charge on each,
which is where functionals fail and closed shells say nothing. Left out are molecules and dimers whose ions the
benchmark has, such as water, its dimer and ammonia's.
"""

import math
from collections.abc import Iterable
from pathlib import Path

from pyscf.data.elements import charge as nuclear_charge

from mlxc.manifest.species import Species
from training.data import BASIS, DIFFUSE_BASIS, Dataset, Target, atom, read, read_species

#: Molecules of `train.json` that lose part of an electron.
MOLECULES = ("alf", "ch3f", "ch2f2", "h2co", "hcn", "hnco", "co2", "f2", "n2o", "hooh", "hof", "sio", "hocl", "clcn")

#: Those of them that hold part of another one.
ACCEPTORS = ("f2", "hocl")

#: Monomers, bond lengths in Å (experimental: NIST Chemistry WebBook), and bond angle in degrees.
BONDS = {"HF": 0.917, "HCl": 1.275, "N2": 1.098, "CO": 1.128, "OH": 0.958}
WATER_ANGLE = 104.5

#: Dimers side by side, and distances of their heavy atoms in Å, about 1.2 and 1.7 times that of the bound cations.
DIMERS = {("HF", "HF"): (2.3, 3.2), ("HCl", "HCl"): (3.2, 4.5), ("N2", "N2"): (2.6, 3.6), ("CO", "CO"): (2.6, 3.6),
          ("H2O", "HF"): (2.4, 3.4)}


def molecules(folder: Path) -> Dataset:
    """Half-charged molecules of `train.json`."""
    by_name = {name.split("/")[1]: found for name, found in read_species(folder / "train.json").items()}
    found = [_line(f"{name}_cation", by_name[name], BASIS, -1) for name in MOLECULES]
    found += [_line(f"{name}_anion", by_name[name], DIFFUSE_BASIS, +1) for name in ACCEPTORS]
    return _joined(found)


def dimers() -> Dataset:
    """Dimers with a quarter of a hole on each monomer, between none and a half."""
    return _joined(_line(f"{a}_{b}_{distance:g}", _side_by_side(a, b, distance), BASIS, -1)
                   for (a, b), distances in DIMERS.items() for distance in distances)


def spins(folder: Path) -> Dataset:
    """Atoms whose spin is spread over a degenerate level: as low as with all of it in one spin."""
    atoms = read(folder / "atoms_public.json")["atoms"]
    species: dict[str, Species] = {}
    targets = []
    for entry in read(folder / "fractional_public.json")["fractional_spin"]:
        z, spin = atoms[entry["element"]]["Z"], atoms[entry["element"]]["spin"]["neutral"]
        middle = atom(entry["element"], entry["na"], entry["nb"])
        whole = atom(entry["element"], (z + spin) / 2, (z - spin) / 2)
        species |= {middle.key: middle, whole.key: whole}
        targets.append(Target(entry["id"], "fractional_spin", ((middle.key, 1.0), (whole.key, -1.0)), 0.0))
    return Dataset(species, targets)


def _line(name: str, atoms: tuple, basis: str, change: int, fraction: float = 0.5):
    """A closed shell, the same with one electron less (change −1) or more (+1), and the point between them."""
    half = sum(nuclear_charge(a[0]) for a in atoms) / 2
    points = {}
    for f in (0, fraction, 1):
        beta, alpha = (half - f, half) if change < 0 else (half, half + f)
        points[f] = Species(f"line_{name}_{f:g}__{basis}", atoms, alpha, beta, basis)
    terms = tuple((points[f].key, c) for f, c in ((fraction, 1.0), (0, fraction - 1), (1, -fraction)))
    return {s.key: s for s in points.values()}, Target(f"line({name})", "fractional_molecule", terms, 0.0)


def _joined(parts: Iterable) -> Dataset:
    species: dict[str, Species] = {}
    targets = []
    for found, target in parts:
        species |= found
        targets.append(target)
    return Dataset(species, targets)


def _side_by_side(a: str, b: str, distance: float) -> tuple:
    """Two monomers in parallel planes, their heavy atoms on the x axis and their bonds in opposite directions."""
    first = _monomer(a)
    second = [(s, (x + distance, -y, -z)) for s, (x, y, z) in _monomer(b)]
    return (*first, *second)


def _monomer(name: str) -> list:
    """Atoms in the plane x = 0, the first one, a heavy one, at the origin."""
    if name == "H2O":
        y, z = (BONDS["OH"] * f(math.radians(WATER_ANGLE / 2)) for f in (math.sin, math.cos))
        return [("O", (0.0, 0.0, 0.0)), ("H", (0.0, y, z)), ("H", (0.0, -y, z))]
    heavy, other = {"HF": ("F", "H"), "HCl": ("Cl", "H"), "N2": ("N", "N"), "CO": ("C", "O")}[name]
    return [(heavy, (0.0, 0.0, 0.0)), (other, (0.0, 0.0, BONDS[name]))]
