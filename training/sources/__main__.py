"""Writes a manifest from a source: `python -m training.sources NAME --out FILE [--data DIR]`."""

import argparse
import sys
from pathlib import Path

from mlxc.errors import MlxcError
from mlxc.manifest import checks
from mlxc.suggest import refuse_unknown
from training import manifest
from training.data import DEFAULTS, config_options
from training.sources import IMPORTERS, SOURCES


def main() -> None:
    """Command line: reads the source, writes its manifest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help=f"one of {', '.join([*IMPORTERS, *SOURCES])}")
    parser.add_argument("--out", type=Path, required=True, help="the manifest to write")
    parser.add_argument("--data", type=Path, help="folder of the reference files, or of the checkout for gmtkn55")
    parser.add_argument("--subsets", nargs="+", help="gmtkn55: the subsets to read, all by default")
    parser.add_argument("--last", type=int, default=18, help="mendeleev: last atomic number, 18 by default")
    for key in ("complexes", "heavy_atoms"):
        parser.add_argument(f"--{key.replace('_', '-')}", type=int, default=DEFAULTS[key],
                            help="largest number of atoms other than H in a species")
    options = parser.parse_args()
    try:
        print(written(options))
    except MlxcError as error:
        sys.exit(f"training.sources: {error}")


def written(options: argparse.Namespace) -> str:
    """Does what the command line asks for; returns what it says at the end."""
    refuse_unknown([options.name], [*IMPORTERS, *SOURCES], "command line", "source")
    if options.name in IMPORTERS:
        found = IMPORTERS[options.name](options)
    else:
        config = {"data": config_options({"data": {"complexes": options.complexes,
                                                   "heavy_atoms": options.heavy_atoms}})}
        dataset = SOURCES[options.name](options.data, config)
        text = f"source {options.name} of the reference files"
        found = manifest.from_dataset(dataset, options.name, text, text)
    found = checks.without_repeats(found)
    manifest.write(options.out, found)
    return (f"{len(found['species'])} species, {len(found.get('reactions', ()))} reactions, "
            f"{len(found.get('fractional', ()))} fractional points written to {options.out}")


if __name__ == "__main__":
    main()
