"""Vertical excitation energies: the lowest of each spin, of molecules and radicals (QUEST, arXiv:2506.11590).

A state is known by its spin and by being the lowest, which needs no names of irreducible representations; what the
reference calls a double excitation or not safe to 0.05 eV is left out, with all higher ones of that spin.
"""

from pathlib import Path
from typing import Any

from mlxc.bench.entries import Builder, Set
from mlxc.bench.jobs import Job
from mlxc.bench.protocol import Protocol
from mlxc.bench.sets.reactions import read
from mlxc.errors import InvalidInput
from mlxc.structure import read_xyz

#: Family and quantity by 2S + 1. Quartets of doublets would need a flip of spin.
SPINS = {1: ("singlets", "singlet"), 2: ("doublets", "same_spin"), 3: ("triplets", "triplet")}

#: Heavy atoms of a molecule of the small list, at most: responses in a basis with diffuse functions take long.
SMALL = 2

#: Kinds of states by QUEST's letter.
KINDS = {"V": "valence", "R": "Rydberg", "M": "mixed"}

#: QUEST names these ions without their charge, and these molecules' geometries in another way.
CHARGES = {"Streptocyanine-C1": 1, "Streptocyanine-C3": 1, "Streptocyanine-C5": 1, "Pyridinium": 1, "Phenolate": -1}
SPELLED = {"aza-naphthalene": "azanaphthalene", "carbon_dioxyde": "carbon_dioxide",
           "dimethylaminobenzonitrile_twisted": "dimethylaminobenzonitrile_2",
           "nitrodimethylaniline": "nitrodimethylaniniline", "pentalene_d2h": "pentalene_2",
           "phenyl-pyrrole_twisted": "phenyl-pyrrole_2"}

#: The commit of QUESTDB whose form is read.
FORM = "460482b"

#: Radicals with a ²Π ground state, whose first root is its other component.
DEGENERATE = ("CH", "OH", "NO", "NCO", "CNO", "CON", "BO2")


def excitations(protocol: Protocol, data: Path, heavy_atoms: int | None = SMALL) -> Set:
    """Lowest singlets and triplets of closed shells and lowest doublets of radicals, eV, aug-cc-pVTZ as QUEST's."""
    folder, build = data / "QUESTDB", Builder()
    if not folder.is_dir():
        raise InvalidInput(f"no folder {folder}: excitation energies are those of QUEST, which is not part of mlxc; "
                           f"git clone https://github.com/pfloos/QUESTDB {folder}")
    places = {path.stem.lower(): path for path in sorted((folder / "geometries" / "xyz").glob("*.xyz"))}
    for group in ("MAIN", "RAD"):
        for path in sorted((folder / "data" / "json" / group).glob("*.json")):
            lowest = _lowest(path)
            if not lowest or path.stem in DEGENERATE:
                continue
            atoms = tuple(read_xyz(_geometry(path.stem, places)))
            if heavy_atoms is not None and sum(symbol != "H" for symbol, _ in atoms) > heavy_atoms:
                continue
            charge = CHARGES.get(path.stem, int(path.stem.endswith("+")))
            job = Job(path.stem, atoms, charge, int(group == "RAD"), protocol.diffuse_basis, excitations=True)
            for multiplicity, state in lowest.items():
                family, quantity = SPINS[multiplicity]
                build.add(f"{path.stem} {family[:-1]}", f"{family}, {KINDS[state['V/R']]}", family, [(job, 1.0)],
                          state["TBE/AVTZ"], unit="eV", quantity=quantity)
    return build.finished("excitations" + ("" if heavy_atoms else "-all"),
                          "Lowest vertical excitation energies of each spin against QUEST's best estimates")


def _lowest(path: Path) -> dict[int, dict[str, Any]]:
    """The lowest vertical absorption of each spin, where it is a single excitation and safe."""
    found: dict[int, dict[str, Any]] = {}
    try:
        for state in read(path):
            emission = "[F]" in state["State"] or state.get("Special ?") == "FL"
            if state["Spin"] in SPINS and not emission and state["TBE/AVTZ"] is not None:
                found[state["Spin"]] = min(state, found.get(state["Spin"], state), key=lambda s: s["TBE/AVTZ"])
        return {spin: s for spin, s in found.items() if s["Safe ? (~50 meV)"] == "Y" and s.get("Special ?") != "GD"}
    except (KeyError, TypeError) as error:
        raise InvalidInput(f"{path} is not in the form of QUESTDB's commit {FORM}, which is read here: "
                           f"{type(error).__name__} {error}") from error


def _geometry(name: str, places: dict[str, Path]) -> Path:
    """The ground state's: NAME.xyz, or NAME_1.xyz where there are those of excited states too."""
    stem = SPELLED.get(name.lower(), name.lower())
    for candidate in (stem, f"{stem}_1"):
        if candidate in places:
            return places[candidate]
    raise InvalidInput(f"no geometry of {name} among those of QUESTDB: take its commit {FORM}")
