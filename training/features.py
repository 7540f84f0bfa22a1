"""Densities on the grid, computed once per species and stored: what a fit sees of a molecule.

    python -m training.features --config CONFIG --data DIR --features DIR [--workers N] [--scheduler ADDRESS]

computes the records that a configuration needs and the folder lacks. `training.scf` makes the density,
`training.density` the record, `training.record` stores it, `training.build` does so for many. This module is where the
rest of the training finds them.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from mlxc.errors import MlxcError
from training.build import SomeFailed, build
from training.density import compute, record_of
from training.record import OMEGAS, STANDARD, MissingRecord, NotWritten, Record, Settings, load, record_path, save

__all__ = ["OMEGAS", "STANDARD", "MissingRecord", "NotWritten", "Record", "Settings", "SomeFailed", "build",
           "build_for", "compute", "load", "record_of", "record_path", "save"]


def build_for(config: Mapping, species: dict, folder: Path, settings: Settings, **how):
    """Computes what a configuration needs: its species and, where it weighs two grids, small ones on the coarser too.

    Args:
        config: ``grid`` among its tolerances asks for the second grid.
        species: by key.
        folder: where the records go.
        settings: of the finer grid.
        how: ``workers``, ``scheduler`` or ``part`` of `build`.

    Raises:
        SomeFailed: after all of them.
    """
    from training import smoothness  # which needs this module

    wanted = [(species, settings)]
    if "grid" in config["tolerance"]:
        wanted.append((smoothness.small(species), smoothness.coarser(settings)))
    failed: dict[str, str] = {}
    for some, chosen in wanted:
        try:
            build(some, folder, chosen, **how)
        except SomeFailed as error:
            failed |= error.reasons
    if failed:
        raise SomeFailed(failed, len(species))


def main():
    """Command line: the records that are missing."""
    from training import configuration, data

    parser = argparse.ArgumentParser(prog="python -m training.features", description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, required=True, help="what is trained, training/configs/NAME.toml")
    parser.add_argument("--data", type=Path, help="folder of the reference files")
    parser.add_argument("--features", type=Path, default=Path("features"), help="folder of the stored densities")
    parser.add_argument("--workers", type=int, default=1, help="processes on this machine")
    parser.add_argument("--scheduler", help="address of a Dask scheduler, whose workers are used instead")
    args = parser.parse_args()
    try:
        config = configuration.read(args.config)
        species = data.from_config(config, args.data).species
        print(f"{len(species)} species", flush=True)
        build_for(config, species, args.features, Settings.of(config), workers=args.workers, scheduler=args.scheduler)
    except MlxcError as error:
        sys.exit(f"{parser.prog}: {error}")


if __name__ == "__main__":
    main()
