"""Where training data come from.

`SOURCES` are those that a config names: functions of the reference folder and the configuration (its section [data]
complete) that return a Dataset. `IMPORTERS` read what a user has elsewhere and return the content of a manifest
(`training.manifest`), which `python -m training.sources` writes to a file for ``manifests`` in the config.
"""

from collections.abc import Callable
from pathlib import Path

from mlxc.errors import InvalidInput
from training.data import Dataset
from training.sources import g2, gmtkn55, occupations, periodic_table, reference

#: Name → function(folder, config). Add a source here and a config can name it.
SOURCES: dict[str, Callable[[Path | None, dict], Dataset]] = {
    "one_electron": lambda folder, config: reference.one_electron(),
    "atoms": lambda folder, config: reference.atoms(_needed(folder)),
    "fractional": lambda folder, config: reference.fractional(_needed(folder)),
    "fractional_molecules": lambda folder, config: occupations.molecules(_needed(folder)),
    "fractional_dimers": lambda folder, config: occupations.dimers(),
    "fractional_spins": lambda folder, config: occupations.spins(_needed(folder)),
    "molecules": lambda folder, config: reference.molecules(_needed(folder)),
    "complexes": lambda folder, config: reference.grouped(
        reference.complexes(_needed(folder), config["data"]["complexes"]), "noncovalent"),
    "validation": lambda folder, config: reference.validation(_needed(folder), config["data"]["heavy_atoms"]),
    "core": lambda folder, config: reference.core(_needed(folder), config["data"]["heavy_atoms"]),
}

#: Name → function(options) with the command line's options.
IMPORTERS: dict[str, Callable[..., dict]] = {
    "gmtkn55": lambda options: gmtkn55.content(_needed(options.data), options.subsets),
    "g2": lambda options: g2.content(),
    "mendeleev": lambda options: periodic_table.content(options.last),
}


def _needed(folder: Path | None) -> Path:
    if folder is None:
        raise InvalidInput("this source reads files: say where with --data DIR")
    return folder
