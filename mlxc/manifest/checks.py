"""What must hold in a manifest; every error names the file, the entry and what to do."""

import math
from collections.abc import Mapping
from typing import Any

from pyscf.data.elements import ELEMENTS

from mlxc.errors import InvalidInput
from mlxc.manifest import balance, fingerprint
from mlxc.manifest.species import Species, atoms_of, occupied
from mlxc.suggest import refuse_unknown
from mlxc.units import ENERGY

#: Layout of the file; raised when a reader of the old one would go wrong.
FORMAT = 1

#: The reference that stands for the Hartree–Fock energy of a species.
HARTREE_FOCK = "HF"

#: Fields and their types; those of the second table may be left out.
FIELDS: dict[str, tuple[dict[str, type | tuple], dict[str, type | tuple]]] = {
    "manifest": ({"format": int, "name": str, "description": str, "species": dict},
                 {"reactions": list, "fractional": list}),
    "species": ({"atoms": list, "charge": int, "spin": int}, {"basis": str}),
    "reaction": ({"id": str, "stoichiometry": dict, "reference": (int, float, str), "subset": str, "source": str},
                 {"unit": str, "spin_change": bool}),
    "fractional point": ({"id": str, "nuclei": str, "n_alpha": (int, float), "n_beta": (int, float), "between": dict,
                          "subset": str, "source": str}, {"name": str}),
}

#: Nearer than this, two atoms are one that was written twice, or coordinates are not in Å.
MIN_DISTANCE = 0.1

#: Sorted distances of one species that two names stand for, Å.
SAME_SPECIES = 1e-3


def check(found: Any, where: str) -> None:
    """Raises InvalidInput where the content of a manifest does not hold.

    Args:
        found: the content.
        where: the file, for the messages.
    """
    if isinstance(found, Mapping) and found.get("format", FORMAT) != FORMAT:
        raise InvalidInput(f"{where}: format {found['format']!r}, this version reads {FORMAT}")
    _fields(found, "manifest", where)
    members = {}
    for name, entry in found["species"].items():
        members[name] = _checked_species(name, entry, f"{where}, species {name!r}")
    reactions, points = found.get("reactions", []), found.get("fractional", [])
    for kind, entries, one in (("reaction", reactions, _reaction), ("fractional point", points, _point)):
        for i, entry in enumerate(entries, start=1):
            name = entry.get("id", f"number {i}") if isinstance(entry, Mapping) else f"number {i}"
            place = f"{where}, {kind} {name!r}"
            _fields(entry, kind, place)
            one(entry, members, place)
    _refuse_twice([entry["id"] for entry in (*reactions, *points)], where)
    _refuse_other_densities(points, members, where)
    for name, earlier in repeats(reactions, points, members).items():
        raise InvalidInput(f"{where}: {name!r} is the same as {earlier!r}: it would count twice; remove one")


def without_repeats(found: dict[str, Any]) -> dict[str, Any]:
    """The content without reactions and points that repeat an earlier one, which its description then names."""
    reactions, points = found.get("reactions", []), found.get("fractional", [])
    members = {name: species(name, entry) for name, entry in found["species"].items()}
    repeated = repeats(reactions, points, members)
    if not repeated:
        return found
    return found | {"reactions": [r for r in reactions if r["id"] not in repeated],
                    "fractional": [p for p in points if p["id"] not in repeated],
                    "description": f"{found['description']}; left out, since they repeat others: {', '.join(repeated)}"}


def species(name: str, entry: dict[str, Any]) -> Species:
    """A species of a manifest, basis "" where it names none; ``n_alpha`` and ``n_beta`` go before charge and spin."""
    atoms, basis = atoms_of(entry), entry.get("basis", "")
    if "n_alpha" in entry:
        return Species(name, atoms, entry["n_alpha"], entry["n_beta"], basis)
    return occupied(name, atoms, entry["charge"], entry["spin"], basis)


def point_entry(point: dict[str, Any], entries: dict[str, Any]) -> dict[str, Any]:
    """A fractional point as an entry of `species`: nuclei and basis of another one, with its own occupations."""
    return entries[point["nuclei"]] | {key: point[key] for key in ("n_alpha", "n_beta")}


def _fields(entry: Any, kind: str, where: str) -> None:
    required, optional = FIELDS[kind]
    if not isinstance(entry, Mapping):
        raise InvalidInput(f"{where}: a {kind} is a JSON object with {', '.join(required)}")
    refuse_unknown(entry, required | optional, where, "key")
    if missing := [key for key in required if key not in entry]:
        raise InvalidInput(f"{where}: {', '.join(missing)} missing; a {kind} needs {', '.join(required)}")
    for key, value in entry.items():
        kinds = (required | optional)[key]
        if not isinstance(value, kinds) or isinstance(value, bool) and kinds is not bool:
            names = kinds.__name__ if isinstance(kinds, type) else " or ".join(k.__name__ for k in kinds)
            raise InvalidInput(f"{where}: {key} is {value!r}, expected {names}")


def _checked_species(name: str, entry: Any, where: str) -> Species:
    if name in balance.FREE:
        raise InvalidInput(f"{where}: the name stands for a free particle of energy zero; choose another")
    _fields(entry, "species", where)
    if not entry["atoms"]:
        raise InvalidInput(f"{where}: no atoms; give [symbol, x, y, z] of each, in Å")
    for i, a in enumerate(entry["atoms"], start=1):
        if not (isinstance(a, list) and len(a) == 4 and a[0] in ELEMENTS[1:] and all(map(_is_number, a[1:]))):
            raise InvalidInput(f"{where}: atom {i} is {a!r}, expected [symbol, x, y, z] with finite numbers in Å")
    if not balance.possible_spin([a[0] for a in entry["atoms"]], entry["charge"], entry["spin"]):
        raise InvalidInput(f"{where}: charge {entry['charge']} and spin {entry['spin']} (2S) do not fit the number of "
                           "electrons: correct one of them")
    found = species(name, entry)
    if found.electrons == 0:
        raise InvalidInput(f"{where}: no electrons; write a bare proton as H+ in the stoichiometry")
    if len(found.atoms) > 1 and fingerprint.Fingerprint(found).distances.min() < MIN_DISTANCE:
        raise InvalidInput(f"{where}: two atoms are nearer than {MIN_DISTANCE} Å: one is there twice, or the "
                           "coordinates are not in Å")
    return found


def _reaction(entry: dict, members: dict[str, Species], where: str) -> None:
    stoichiometry = entry["stoichiometry"]
    refuse_unknown(stoichiometry, [*members, *balance.FREE], where, "species")
    for name, c in stoichiometry.items():
        if not _is_number(c) or c == 0:
            raise InvalidInput(f"{where}: the coefficient of {name} is {c!r}, expected a number other than zero")
    if not stoichiometry.keys() - balance.FREE.keys():
        raise InvalidInput(f"{where}: no species in the stoichiometry")
    _label(entry, where)
    if list(stoichiometry.values()) == [1]:
        return  # a total energy
    contents = {name: balance.content(s) for name, s in members.items()}
    if found := balance.problem(stoichiometry, contents, entry.get("spin_change", False)):
        raise InvalidInput(f"{where}: {found}")


def _label(entry: dict, where: str) -> None:
    reference = entry["reference"]
    if reference == HARTREE_FOCK:
        if list(entry["stoichiometry"].values()) != [1]:
            raise InvalidInput(f'{where}: reference "{HARTREE_FOCK}" is for one species with coefficient 1')
        return
    if not _is_number(reference):
        raise InvalidInput(f"{where}: the reference is {reference!r}, expected a finite number"
                           f' (or "{HARTREE_FOCK}"): give the label, or take the reaction out')
    if "unit" not in entry:
        raise InvalidInput(f"{where}: unit missing; accepted: {', '.join(ENERGY)}")
    refuse_unknown([entry["unit"]], ENERGY, where, "unit")


def _point(point: dict, members: dict[str, Species], where: str) -> None:
    refuse_unknown([point["nuclei"], *point["between"]], members, where, "species")
    own = members[point["nuclei"]]
    n_alpha, n_beta = point["n_alpha"], point["n_beta"]
    if not (_is_number(n_alpha) and _is_number(n_beta) and n_alpha >= n_beta >= 0 < n_alpha):
        raise InvalidInput(f"{where}: n_alpha {n_alpha!r} and n_beta {n_beta!r}; expected n_alpha ≥ n_beta ≥ 0")
    if float(n_alpha).is_integer() and float(n_beta).is_integer():
        raise InvalidInput(f"{where}: whole occupations are no fractional point; make it a species and a reaction")
    weights = point["between"]
    if not weights or not all(_is_number(w) and 0 < w <= 1 for w in weights.values()):
        raise InvalidInput(f"{where}: between is {weights!r}, expected end points with weights above 0, at most 1")
    if other := [name for name in weights if members[name].atoms != own.atoms]:
        raise InvalidInput(f"{where}: {other[0]} has other atoms than {point['nuclei']}: E(N) is for fixed nuclei")
    total = sum(weights.values())
    if abs(total - 1) > balance.TOLERANCE and (len(own.atoms) > 1 or total > 1):
        raise InvalidInput(f"{where}: the weights of between sum to {total:g}, expected 1 (less only where a bare "
                           "nucleus is the other end)")
    electrons = sum(w * members[name].electrons for name, w in weights.items())
    if abs(electrons - n_alpha - n_beta) > balance.TOLERANCE:
        raise InvalidInput(f"{where}: it has {n_alpha + n_beta:g} electrons, its end points {electrons:g} on average: "
                           "correct the weights or the occupations")


def _refuse_twice(ids: list[str], where: str) -> None:
    if twice := {name for name in ids if ids.count(name) > 1}:
        raise InvalidInput(f"{where}: id {min(twice)!r} is there twice: rename or remove one")


def _refuse_other_densities(points: list[dict], members: dict[str, Species], where: str) -> None:
    """The name of a point's density, its id where it has none, stands for nothing else."""
    known: dict[str, tuple] = {}
    for p in points:
        name, density = p.get("name", p["id"]), (p["nuclei"], p["n_alpha"], p["n_beta"])
        if name in members or known.setdefault(name, density) != density:
            raise InvalidInput(f"{where}, fractional point {p['id']!r}: {name!r} names another density too: rename "
                               "one")


def repeats(reactions: list[dict], points: list[dict], members: dict[str, Species]) -> dict[str, str]:
    """Id of a reaction or point → id of an earlier one that is the same, whichever way it is written."""
    first = _first_names(members)
    seen: dict[Any, str] = {}
    found = {}
    for r in reactions:
        terms: dict[str, float] = {}
        for name, c in r["stoichiometry"].items():
            terms[first.get(name, name)] = terms.get(first.get(name, name), 0) + c
        leading = terms[min(terms)] or 1
        key: Any = frozenset((name, round(c / leading, 6)) for name, c in terms.items())
        if (earlier := seen.setdefault(key, r["id"])) != r["id"]:
            found[r["id"]] = earlier
    for p in points:
        key = (first[p["nuclei"]], p["n_alpha"], p["n_beta"], frozenset(p["between"]))
        if (earlier := seen.setdefault(key, p["id"])) != p["id"]:
            found[p["id"]] = earlier
    return found


def _first_names(members: dict[str, Species]) -> dict[str, str]:
    """Name → the first name of the same species."""
    groups: dict[tuple, list[fingerprint.Fingerprint]] = {}
    first = {}
    for name, s in members.items():
        mine = fingerprint.Fingerprint(s)
        known = groups.setdefault((*mine.kind, s.basis), [])
        match = next((f for f in known if fingerprint.same(f, mine, SAME_SPECIES)), mine)
        if match is mine:
            known.append(mine)
        first[name] = match.species.key
    return first


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
