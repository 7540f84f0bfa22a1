"""The sets of the benchmark by name.

    mini                            computed by the project, part of the package
    ions-radicals:smoke|core|all    reactions of ions and radicals, of the reference folder (--data)
    one-electron, fractional, dissociation, anions, sensitivity        laws of physics; nothing is needed
    physics                         all five of these
    ionisation[:all], dipoles[:all], polarizabilities[:all]    of the reference folder; up to four heavy atoms, or all
    excitations[:all]               QUEST, cloned into the reference folder; up to two heavy atoms, or all
    PATH.json                       a manifest of reactions (data/README.md)
"""

from collections.abc import Callable
from pathlib import Path

from mlxc.bench.entries import Set
from mlxc.bench.protocol import Protocol
from mlxc.bench.sets import (
    dissociation,
    excitations,
    fractional,
    levels,
    one_electron,
    reactions,
    response,
    sensitivity,
)
from mlxc.errors import InvalidInput
from mlxc.suggest import did_you_mean

#: Function of the protocol and the reference folder (None where none was given), by name.
SETS: dict[str, Callable[[Protocol, Path | None], Set]] = {
    "mini": reactions.mini,
    "ions-radicals:smoke": lambda protocol, data: reactions.benchmark(protocol, _needed(data), "smoke"),
    "ions-radicals:core": lambda protocol, data: reactions.benchmark(protocol, _needed(data), "core"),
    "ions-radicals:all": lambda protocol, data: reactions.benchmark(protocol, _needed(data), "all"),
    "one-electron": lambda protocol, data: one_electron.curves(protocol),
    "fractional": lambda protocol, data: fractional.lines(protocol),
    "dissociation": lambda protocol, data: dissociation.curves(protocol),
    "anions": lambda protocol, data: levels.anions(protocol),
    "sensitivity": lambda protocol, data: sensitivity.grids_and_bases(protocol),
    "ionisation": lambda protocol, data: levels.ionisation(protocol, _needed(data)),
    "ionisation:all": lambda protocol, data: levels.ionisation(protocol, _needed(data), None),
    "dipoles": lambda protocol, data: response.dipoles(protocol, _needed(data)),
    "dipoles:all": lambda protocol, data: response.dipoles(protocol, _needed(data), None),
    "polarizabilities": lambda protocol, data: response.polarizabilities(protocol, _needed(data)),
    "polarizabilities:all": lambda protocol, data: response.polarizabilities(protocol, _needed(data), None),
    "excitations": lambda protocol, data: excitations.excitations(protocol, _needed(data)),
    "excitations:all": lambda protocol, data: excitations.excitations(protocol, _needed(data), None),
}

#: Other names, and what they stand for.
GROUPS = {"ions-radicals": ("ions-radicals:smoke",),
          "physics": ("one-electron", "fractional", "dissociation", "anions", "sensitivity")}


def load(names: str, protocol: Protocol, data: Path | None = None) -> list[Set]:
    """The sets of a list with commas.

    Args:
        names: of SETS or GROUPS, or paths of manifests.
        protocol: supplies the basis sets.
        data: the reference folder.

    Raises:
        InvalidInput: an unknown name; no reference folder where one is needed; a manifest that cannot be read.
    """
    found: dict[str, Set] = {}
    for asked in (name.strip() for name in names.split(",") if name.strip()):
        if asked.endswith(".json"):
            s = reactions.manifest(protocol, Path(asked))
            if s.name in found:
                raise InvalidInput(f"two sets are named {s.name!r}: rename the manifest {asked}")
            found[s.name] = s
            continue
        for name in GROUPS.get(asked, (asked,)):
            if name not in SETS:
                known = [*SETS, *GROUPS]
                raise InvalidInput(f"unknown set {name!r}{did_you_mean(name, known)} There are {', '.join(known)}, and "
                                   "paths of manifests that end in .json")
            found[name] = SETS[name](protocol, data)
    if not found:
        raise InvalidInput(f"--set {names!r} names no set: give for example --set mini")
    return list(found.values())


def _needed(data: Path | None) -> Path:
    if data is None:
        raise InvalidInput("this set is not part of mlxc: give the folder of the reference files with --data DIR, or "
                           "use --set mini, or a manifest of your own (data/README.md says how GMTKN55 becomes one)")
    return data
