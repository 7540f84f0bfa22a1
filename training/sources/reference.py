"""The reference folder's JSON files: `train.json`, `atoms_public.json`, `fractional_public.json` and their like.

Their format is described in that folder's README. Every function returns a Dataset.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mlxc.bench.protocol import STANDARD
from mlxc.bench.sets.reactions import of_file
from mlxc.errors import InvalidInput
from mlxc.manifest.species import Species, atoms_of, occupied
from mlxc.units import EV, KCAL
from training.data import BASIS, DIFFUSE_BASIS, HELD_OUT_IONS, Dataset, Target, atom, read

#: Sets of interaction energies; each is a group of targets where dispersion is fitted.
COMPLEXES = ("S22", "S66", "RG18")


def molecules(folder: Path) -> Dataset:
    """Atomisation energies of `train.json` in BASIS."""
    data = read(folder / "train.json")
    species: dict[str, Species] = {}
    targets: list[Target] = []
    for entry in data["reactions"]:
        terms = []
        for name, coefficient in entry["stoichiometry"].items():
            s = data["species"][name]
            key = f"{s['canonical'].replace('/', '__')}__{BASIS}"
            species[key] = occupied(key, atoms_of(s), s["charge"], s["spin"], BASIS)
            terms.append((key, coefficient))
        targets.append(Target(entry["id"], "atomisation", tuple(terms), entry["reference"] / KCAL))
    return Dataset(species, targets)


def atoms(folder: Path, last: int = 18) -> Dataset:
    """Ionisation energies, affinities and exact non-relativistic total energies of atoms up to Z = last."""
    species: dict[str, Species] = {}
    targets: list[Target] = []
    for symbol, entry in read(folder / "atoms_public.json")["atoms"].items():
        z, spin = entry["Z"], entry["spin"]
        if z > last:
            continue
        neutral = _add(species, symbol, z, spin["neutral"])
        exact = (entry.get("E_exact_nonrel_Ha") or {}).get("value")
        if exact is not None:
            targets.append(Target(f"E({symbol})", "total", ((neutral, 1),), exact))
        if symbol in HELD_OUT_IONS:
            continue
        if z > 1:
            cation = _add(species, symbol, z - 1, spin["cation"])
            targets.append(Target(f"IP({symbol})", "ionisation", ((cation, 1), (neutral, -1)),
                                  entry["IP_eV"]["value"] / EV))
        affinity = (entry.get("EA_eV") or {}).get("value")
        if affinity is not None and affinity > 0 and spin.get("anion") is not None:
            anion = _add(species, symbol, z + 1, spin["anion"])
            targets.append(Target(f"EA({symbol})", "affinity", ((neutral, 1), (anion, -1)), affinity / EV))
    return Dataset(species, targets)


def fractional(folder: Path) -> Dataset:
    """Fractionally charged atoms: E(N + δ) lies on the straight line between the functional's own end points."""
    reference = read(folder / "atoms_public.json")["atoms"]
    species: dict[str, Species] = {}
    targets: list[Target] = []
    for entry in read(folder / "fractional_public.json")["fractional_charge"]:
        symbol, f = entry["element"], entry["fraction"]
        if symbol in HELD_OUT_IONS:
            continue
        z, spin = reference[symbol]["Z"], reference[symbol]["spin"]
        middle = atom(symbol, entry["na"], entry["nb"])
        species[middle.key] = middle
        neutral = _add(species, symbol, z, spin["neutral"])
        ionic = -1 if entry["kind"] == "cation" else 1
        terms = [(middle.key, 1.0), (neutral, -(1 - f))]
        if z + ionic > 0:
            terms.append((_add(species, symbol, z + ionic, spin[entry["kind"]]), -f))
        targets.append(Target(entry["id"], "fractional", tuple(terms), 0.0))
    return Dataset(species, targets)


def one_electron(distances=(0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0)) -> Dataset:
    """H, He⁺, Li²⁺, H₂⁺, HeH²⁺ and H₃²⁺: exchange must cancel the Hartree energy, so E equals Hartree–Fock's."""
    nuclei: dict[str, tuple] = {f"{s}_1e": ((s, (0.0, 0.0, 0.0)),) for s in ("H", "He", "Li")}
    nuclei |= {f"H2+_{d:g}": (("H", (0.0, 0.0, 0.0)), ("H", (0.0, 0.0, d))) for d in distances}
    nuclei["HeH2+_1"] = (("He", (0.0, 0.0, 0.0)), ("H", (0.0, 0.0, 1.0)))
    nuclei["H3_2+_1"] = (("H", (0.0, 0.0, -1.0)), ("H", (0.0, 0.0, 0.0)), ("H", (0.0, 0.0, 1.0)))
    species = {key: Species(key, atoms, 1.0, 0.0, DIFFUSE_BASIS) for key, atoms in nuclei.items()}
    return Dataset(species, [Target(key, "one_electron", ((key, 1),), None) for key in species])


def reactions(path: Path, ids: list[str] | None = None) -> Dataset:
    """Reactions of a benchmark file, each in the basis the benchmark's protocol gives it; the group is the subset."""
    found = of_file(STANDARD, path, ids, path.stem, "")
    names = {key: f"{job.species.replace('/', '__')}__{job.basis}" for key, job in found.jobs.items()}
    species = {names[key]: occupied(names[key], job.atoms, job.charge, job.spin, job.basis)
               for key, job in found.jobs.items()}
    return Dataset(species, [Target(e.id, e.subset, tuple((names[key], c) for key, c in e.terms), e.reference / KCAL)
                             for e in found.entries])


def complexes(folder: Path, heavy_atoms: int) -> Dataset:
    """Interaction energies (dissociation positive) of S22, S66 and RG18 in `extra.json`; groups are the sets.

    References and geometries are those of GMTKN55, doi:10.1039/C7CP04913G.

    Args:
        folder: of the reference files.
        heavy_atoms: largest number of atoms other than hydrogen in a species.
    """
    return _small(folder / "extra.json", heavy_atoms, lambda r: r["subset"] in COMPLEXES,
                  f"of {', '.join(COMPLEXES)}")


def validation(folder: Path, heavy_atoms: int) -> Dataset:
    """Reactions of `validation.json` whose species are small, in the group `validation`."""
    return grouped(_small(folder / "validation.json", heavy_atoms, lambda r: True, "at all"), "validation")


def core(folder: Path, heavy_atoms: int) -> Dataset:
    """The benchmark's core list, in the group `core`: for models that are trained on the test, and say so."""
    ids = set(read(folder / "benchmark_core_ids.json")["core"])
    return grouped(_small(folder / "benchmark.json", heavy_atoms, lambda r: r["id"] in ids, "of the core list"), "core")


def grouped(dataset: Dataset, group: str) -> Dataset:
    """The dataset with all targets in one group."""
    return Dataset(dataset.species, [replace(t, group=group) for t in dataset.targets])


def _small(path: Path, heavy_atoms: int, wanted: Callable[[dict], bool], which: str) -> Dataset:
    """Wanted reactions of small species; one that repeats a chosen one (``same_reaction_as``) is counted once."""
    if not path.is_file():
        raise InvalidInput(f"no reference file {path}: give the folder that holds {path.name}")
    content = read(path)
    small = {key for key, s in content["species"].items()
             if sum(a[0] != "H" for a in s["atoms"]) <= heavy_atoms}
    chosen = {r["id"]: r for r in content["reactions"] if wanted(r) and small.issuperset(r["stoichiometry"])}
    if not chosen:
        raise InvalidInput(f"{path} has no reaction {which} with at most {heavy_atoms} heavy atoms")
    return reactions(path, [key for key, r in chosen.items() if r.get("same_reaction_as") not in chosen])


def _add(species: dict[str, Species], symbol: str, electrons: int, spin: int) -> str:
    s = atom(symbol, (electrons + spin) / 2, (electrons - spin) / 2)
    species[s.key] = s
    return s.key
