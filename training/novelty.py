"""How far a molecule is from a training set: `python -m training.novelty FILE.xyz [--data DIR]`.

The distance of two species is |λ − λ′|, λ the eigenvalues of the Coulomb matrix (`mlxc.manifest.fingerprint`, atomic
units) in descending order, the shorter list filled with zeros (M. Rupp et al., doi:10.1103/PhysRevLett.108.058301). It
knows neither charge nor spin, which are compared by themselves. What is far is said by the training set itself: the
share of its molecules that have a nearer neighbour in it. Molecules are sets of nuclei there: an ion at the geometry of
its neutral, or the same molecule from another source, is no neighbour.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pyscf.data.elements import charge as nuclear_charge

from mlxc.errors import InvalidInput, MlxcError
from mlxc.manifest import balance
from mlxc.manifest.fingerprint import Fingerprint, difference
from mlxc.manifest.species import Species, occupied
from mlxc.structure import read_xyz
from training import configuration
from training.data import PROJECT, from_config

CONFIGS = PROJECT / "training" / "configs"

#: How many neighbours are shown.
SHOWN = 5

#: Sorted distances of one set of nuclei, Å.
SAME_NUCLEI = 0.05


@dataclass(frozen=True)
class Novelty:
    """What is new about a species.

    Attributes:
        outside: sentences about elements, charge and spin that the training set does not hold.
        neighbours: (distance, key, largest difference of interatomic distances in Å), nearest first; the last is
            infinite unless composition, charge and spin are the same.
        rank: part of the training molecules that have a nearer neighbour among the others, 0 to 1.
    """

    outside: list[str]
    neighbours: list[tuple[float, str, float]]
    rank: float

    def __str__(self):
        lines = self.outside or ["elements, charge and spin occur in the training set"]
        for distance, key, in_angstrom in self.neighbours:
            same = f", the same species within {in_angstrom:.3f} Å" if np.isfinite(in_angstrom) else ""
            lines = [*lines, f"{distance:8.3f}  {key}{same}"]
        return "\n".join([*lines, f"{100 * self.rank:.0f} % of the training molecules have a nearer neighbour"])


def novelty(species: Species, trained: Iterable[Species]) -> Novelty:
    """Compares a species with those of a training set; fractional occupations are left out.

    Raises:
        InvalidInput: the training set has no whole species.
    """
    known = {s.key: Fingerprint(s) for s in trained if not s.is_fractional}
    if not known:
        raise InvalidInput("the training set has no species with whole occupations to compare with")
    new = Fingerprint(species)
    found = sorted((distance(new, f), key, difference(new, f)) for key, f in known.items())
    molecules = distinct(f for f in known.values() if len(f.species.atoms) > 1)
    rank = float(np.mean([d < found[0][0] for d in nearest(molecules)])) if molecules else 1.0
    shown = list({key.rpartition("__")[0] or key: (d, key, same) for d, key, same in reversed(found)}.values())
    return Novelty(_outside(new, known.values()), sorted(shown)[:SHOWN], rank)


def distance(one: Fingerprint, other: Fingerprint) -> float:
    """|λ − λ′|, atomic units."""
    a, b = one.spectrum[::-1], other.spectrum[::-1]
    n = max(len(a), len(b))
    return float(np.linalg.norm(np.pad(a, (0, n - len(a))) - np.pad(b, (0, n - len(b)))))


def distinct(prints: Iterable[Fingerprint]) -> list[Fingerprint]:
    """The first of every set of nuclei, whatever its electrons."""
    found: list[Fingerprint] = []
    for new in prints:
        if not any(f.kind[0] == new.kind[0] and np.abs(f.distances - new.distances).max(initial=0.0) < SAME_NUCLEI
                   for f in found):
            found.append(new)
    return found


def nearest(molecules: Sequence[Fingerprint]) -> list[float]:
    """Distance of each from its nearest neighbour among the others, atomic units; infinite where there is none."""
    return [min((distance(a, b) for b in molecules if b is not a), default=np.inf) for a in molecules]


def _outside(new: Fingerprint, known: Iterable[Fingerprint]) -> list[str]:
    kinds = [f.kind for f in known]
    elements = {symbol for kind in kinds for symbol in kind[0]}
    found = []
    if missing := sorted(set(new.kind[0]) - elements):
        found.append(f"not in the training set: the elements {', '.join(missing)}")
    for i, name in ((1, "charge"), (2, "2S")):
        if new.kind[i] not in (values := {kind[i] for kind in kinds}):
            found.append(f"not in the training set: {name} = {new.kind[i]:g} (there: "
                         f"{', '.join(f'{value:g}' for value in sorted(values))})")
    return found


def main() -> None:
    """Command line: what is new about the molecule of an xyz file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="the molecule, xyz, Å")
    parser.add_argument("--data", type=Path, help="folder of the reference files")
    parser.add_argument("--config", type=Path, help="whose training set; by default that of mlxc_lh with --data, "
                                                    "that of toy without")
    parser.add_argument("--charge", type=int, default=0)
    parser.add_argument("--spin", type=int, help="number of unpaired electrons, 2S; the lowest possible by default")
    args = parser.parse_args()
    path = args.config or CONFIGS / ("mlxc_lh.toml" if args.data else "toy.toml")
    try:
        species = molecule(args.file, args.charge, args.spin)
        print(novelty(species, from_config(configuration.read(path), args.data).species.values()))
    except MlxcError as error:
        sys.exit(f"{parser.prog}: {error}")


def molecule(path: Path, charge: int, spin: int | None) -> Species:
    """The species of an xyz file.

    Raises:
        InvalidInput: no xyz file, or a spin that the electrons cannot have.
    """
    atoms = tuple(read_xyz(path))
    electrons = sum(nuclear_charge(a[0]) for a in atoms) - charge
    spin = electrons % 2 if spin is None else spin
    if not balance.possible_spin([a[0] for a in atoms], charge, spin):
        raise InvalidInput(f"{electrons} electrons cannot have {spin} unpaired: correct --charge or --spin (2S)")
    return occupied(path.stem, atoms, charge, spin, "")


if __name__ == "__main__":
    main()
