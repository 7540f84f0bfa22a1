"""Reaction energies: the benchmark of ions and radicals, manifests, and the small set of the package."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mlxc.bench.entries import Builder, Set
from mlxc.bench.jobs import Job
from mlxc.bench.protocol import Protocol
from mlxc.errors import InvalidInput
from mlxc.manifest import checks
from mlxc.manifest import read as read_manifest
from mlxc.manifest.balance import FREE
from mlxc.manifest.species import atoms_of, chosen_basis
from mlxc.units import ENERGY, KCAL

#: What the training set of mlxc's functionals shares with `benchmark.json`.
SPLITS = json.loads((Path(__file__).parents[1] / "data" / "splits.json").read_text())

#: Reactions of which they are trained on every species: shown, never scored.
TRAINED_ON = tuple(id_ for group in SPLITS["never_scored"] for id_ in group["reactions"])

#: Molecules that they are trained on, by canonical name.
SHARED = frozenset(name for group in SPLITS["allowed_species"] for name in group["species"])

#: The set of the package.
MINI = Path(__file__).parents[1] / "data" / "mini.json"


def benchmark(protocol: Protocol, data: Path, which: str) -> Set:
    """The reactions of `benchmark.json`.

    Args:
        protocol: supplies the basis sets.
        data: folder of benchmark.json and benchmark_core_ids.json.
        which: smoke or core, lists of ids; or all.

    Raises:
        InvalidInput: a file is missing or damaged.
    """
    path = data / "benchmark.json"
    ids = [r["id"] for r in read(path)["reactions"] if not r.get("same_reaction_as")] if which == "all" else \
        read(data / "benchmark_core_ids.json")[which]
    part = {"smoke": "its smoke list", "core": "its core list", "all": "all of it"}[which]
    return of_file(protocol, path, ids, f"ions-radicals-{which}",
                   f"Reaction energies of ions and radicals, GMTKN55 and its relatives: {part}, {len(ids)} reactions")


def of_file(protocol: Protocol, path: Path, ids: Iterable[str] | None, name: str, description: str) -> Set:
    """Reactions of a reference file, each in one basis.

    Args:
        protocol: supplies the basis sets.
        path: JSON file with ``species`` and ``reactions``.
        ids: reactions to keep, all where None.
        name, description: of the set.
    """
    content, build = read(path), Builder()
    kept = None if ids is None else set(ids)
    for r in content["reactions"]:
        if kept is not None and r["id"] not in kept:
            continue
        members = {key: content["species"][key] for key in r["stoichiometry"]}
        basis = _basis(protocol, members.values())
        terms = [(_job(s["canonical"], s, basis), r["stoichiometry"][key]) for key, s in members.items()]
        related = bool(r.get("n_families_in_train")) or any(s["canonical"] in SHARED for s in members.values())
        build.add(r["id"], r["subset"], r["cls"], terms, r["reference"], related=related,
                  trained=r["id"] in TRAINED_ON)
    return build.finished(name, description, held_back=True)


def manifest(protocol: Protocol, path: Path) -> Set:
    """The reactions of a manifest; its fractional points and total energies are left out.

    Raises:
        InvalidInput: as `mlxc.manifest.read`; species of one reaction in different bases; no reaction to score.
    """
    content, build = read_manifest(path), Builder()
    for r in content.get("reactions", ()):
        if len(r["stoichiometry"]) == 1:
            continue
        members = {name: content["species"][name] for name in r["stoichiometry"] if name not in FREE}
        own = {s.get("basis") for s in members.values()}
        if len(own) > 1:
            raise InvalidInput(f"{path}, reaction {r['id']!r}: its species have different bases: give all of them "
                               "one, or none")
        basis = own.pop() or _basis(protocol, members.values())
        terms = [(_job(name, s, basis), r["stoichiometry"][name]) for name, s in members.items()]
        build.add(r["id"], r["subset"], family(members.values()), terms,
                  r["reference"] * (KCAL / ENERGY[r["unit"]]))
    if not build.entries:
        raise InvalidInput(f"{path} has no reaction to score: it needs one with a reference in {', '.join(ENERGY)}")
    return build.finished(content["name"], content["description"], held_back=True)


def mini(protocol: Protocol, data: Path | None = None) -> Set:
    """The reactions of ions and radicals whose references the project computed itself."""
    return manifest(protocol, MINI)


def family(members: Iterable[dict[str, Any]]) -> str:
    """ions where a molecule has a charge, atoms where only atoms do, radicals where a shell is open, else molecules."""
    members = list(members)
    molecules = [s for s in members if len(s["atoms"]) > 1]
    if any(s["charge"] for s in molecules):
        return "ions"
    if any(s["charge"] for s in members):
        return "ions" if molecules else "atoms"
    return "radicals" if any(s["spin"] for s in molecules) else "molecules"


def _basis(protocol: Protocol, members: Iterable[dict[str, Any]]) -> str:
    return chosen_basis((checks.species("", s) for s in members), protocol.basis, protocol.diffuse_basis)


def _job(name: str, entry: dict[str, Any], basis: str) -> Job:
    return Job(name, atoms_of(entry), entry["charge"], entry["spin"], basis)


def read(path: Path) -> Any:
    if not path.is_file():
        raise InvalidInput(f"no file {path}: give the folder of the reference files with --data, or a manifest's path")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InvalidInput(f"{path} is not JSON: {error}") from error
