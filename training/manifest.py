"""Manifests (`mlxc.manifest`) as datasets, and back; checked before they are written."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mlxc import files
from mlxc.errors import InvalidInput
from mlxc.manifest import checks, read
from mlxc.manifest.balance import FREE, completed, content, needs_spin_change
from mlxc.manifest.checks import FORMAT, HARTREE_FOCK
from mlxc.manifest.species import Species, chosen_basis
from mlxc.units import ENERGY
from training.data import Dataset, Target

__all__ = ["FORMAT", "HARTREE_FOCK", "dataset", "from_dataset", "read", "write"]


def write(path: Path, found: dict[str, Any]) -> None:
    """Checks a manifest and writes it, in one piece or not at all."""
    path = Path(path)
    checks.check(found, str(path))
    files.write(path, _text(found))


def dataset(found: dict[str, Any], basis: str, diffuse_basis: str) -> Dataset:
    """Species and targets of a manifest.

    Args:
        found: its content.
        basis, diffuse_basis: for species that name none; keys then end with the basis.
    """
    entries = found["species"]
    species: dict[str, Species] = {}
    targets: list[Target] = []

    def add(name: str, chosen: str, of: dict | None = None) -> str:
        s = checks.species(name, of or entries[name])
        key, own = (name, s.basis) if s.basis else (f"{name}__{chosen}", chosen)
        species[key] = Species(key, s.atoms, s.n_alpha, s.n_beta, own)
        return key

    def basis_of(names: Iterable[str]) -> str:
        return chosen_basis((checks.species(name, entries[name]) for name in names), basis, diffuse_basis)

    for r in found.get("reactions", ()):
        names = [name for name in r["stoichiometry"] if name not in FREE]
        chosen = basis_of(names)
        terms = tuple((add(name, chosen), r["stoichiometry"][name]) for name in names)
        reference = None if r["reference"] == HARTREE_FOCK else r["reference"] / ENERGY[r["unit"]]
        targets.append(Target(r["id"], r["subset"], terms, reference))
    for point in found.get("fractional", ()):
        chosen = basis_of([point["nuclei"], *point["between"]])
        middle = add(point.get("name", point["id"]), chosen, checks.point_entry(point, entries))
        ends = tuple((add(name, chosen), -weight) for name, weight in point["between"].items())
        targets.append(Target(point["id"], point["subset"], ((middle, 1.0), *ends), 0.0))
    return Dataset(species, targets)


def from_dataset(found: Dataset, name: str, description: str, source: str) -> dict[str, Any]:
    """The content of a manifest that gives a dataset back, its references in Ha.

    Raises:
        InvalidInput: a target that manifests cannot say.
    """
    whole = {key: s for key, s in found.species.items() if not s.is_fractional}
    contents = {key: content(s) for key, s in whole.items()}
    reactions, points = [], []
    for t in found.targets:
        common = {"id": t.id, "subset": t.group, "source": source}
        if any(found.species[key].is_fractional for key, _ in t.terms):
            points.append(common | _point(t, found.species))
            continue
        if len({key for key, _ in t.terms}) < len(t.terms):
            raise InvalidInput(f"target {t.id} has a species twice: add its coefficients")
        stoichiometry = completed(dict(t.terms), contents) if len(t.terms) > 1 else dict(t.terms)
        spin = {"spin_change": True} if len(t.terms) > 1 and needs_spin_change(stoichiometry, contents) else {}
        label = {"reference": HARTREE_FOCK} if t.reference is None else {"reference": t.reference, "unit": "Ha"}
        reactions.append(common | {"stoichiometry": stoichiometry} | label | spin)
    return {"format": FORMAT, "name": name, "description": description,
            "species": {key: _entry(s) for key, s in whole.items()}, "reactions": reactions, "fractional": points}


def _entry(s: Species) -> dict[str, Any]:
    return {"atoms": [[symbol, *position] for symbol, position in s.atoms], "charge": round(s.charge),
            "spin": round(s.n_alpha - s.n_beta), "basis": s.basis}


def _point(t: Target, species: dict[str, Species]) -> dict[str, Any]:
    (key, first), *ends = t.terms
    middle = species[key]
    nuclei = [other for other, _ in ends if species[other].atoms == middle.atoms]
    if first != 1 or t.reference != 0 or not nuclei or any(species[other].is_fractional for other, _ in ends):
        raise InvalidInput(f"target {t.id} is not a point between whole occupations of the same nuclei, which is "
                           "all that a manifest can say of fractions: leave it out")
    return {"name": key, "nuclei": nuclei[0], "n_alpha": middle.n_alpha, "n_beta": middle.n_beta,
            "between": {other: -weight for other, weight in ends}}


def _text(found: dict[str, Any]) -> str:
    """JSON with one line per species, reaction and point."""
    def lines(items: list[str], brackets: str) -> str:
        return f"{brackets[0]}\n  " + ",\n  ".join(items) + f"\n {brackets[1]}" if items else brackets

    parts = []
    for key, value in found.items():
        if key == "species":
            text = lines([f"{json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()], "{}")
        elif isinstance(value, list):
            text = lines([json.dumps(v) for v in value], "[]")
        else:
            text = json.dumps(value, ensure_ascii=False)
        parts.append(f"{json.dumps(key)}: {text}")
    return "{\n " + ",\n ".join(parts) + "\n}\n"
