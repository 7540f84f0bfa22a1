"""Interaction energies for the fit of dispersion: `python -m training.noncovalent --data DIR --features DIR`.

Members of S22, S66 and RG18 whose species have at most eight atoms other than hydrogen, in def2-TZVPD, without
counterpoise correction. References and geometries are those of GMTKN55, doi:10.1039/C7CP04913G. The command computes
the densities that are missing; it can be interrupted, and run by several processes with ``--part``.
"""

import argparse
import sys
from pathlib import Path

from mlxc.errors import MlxcError
from training import features
from training.data import Dataset
from training.sources import reference

#: Largest number of atoms other than hydrogen in a species.
MAX_HEAVY_ATOMS = 8


def members(folder: Path, max_heavy_atoms: int = MAX_HEAVY_ATOMS) -> Dataset:
    """Species by key, and the interaction energies (dissociation positive, Ha), each set a group.

    Args:
        folder: of the reference files.
        max_heavy_atoms: largest number of atoms other than hydrogen in a species.

    Raises:
        InvalidInput: the folder has no such file, or the file none of the reactions.
    """
    return reference.complexes(Path(folder), max_heavy_atoms)


def main():
    """Command line: the records that are missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, help="whose densities they shall be, if not the standard")
    parser.add_argument("--data", type=Path, required=True, help="folder of the reference files")
    parser.add_argument("--features", type=Path, default=Path("features"), help="folder of the stored densities")
    parser.add_argument("--part", type=int, nargs=2, default=(0, 1), metavar=("K", "M"),
                        help="every M-th species from the K-th, for several processes")
    args = parser.parse_args()
    try:
        species, targets = members(args.data)
        print(f"{len(targets)} interaction energies of {len(species)} species", flush=True)
        features.build(species, args.features, features.Settings.read(args.config), part=tuple(args.part))
    except MlxcError as error:
        sys.exit(f"{parser.prog}: {error}")


if __name__ == "__main__":
    main()
