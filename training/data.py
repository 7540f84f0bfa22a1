"""Training data: which species are computed, and what their energies must add up to.

Sources are the JSON files of a reference folder (`train.json`, `atoms_public.json`, `fractional_public.json`); their
format is described in that folder's README. Energies of targets are in Ha.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from pyscf.data.elements import charge as nuclear_charge
from pyscf.data.nist import HARTREE2EV

from mlxc.bench import sets
from mlxc.errors import InvalidInput
from mlxc.units import KCAL

EV = HARTREE2EV

#: Basis of closed-shell molecules and their atoms, and of ions and one-electron systems.
BASIS, DIFFUSE_BASIS = "def2-tzvpd", "aug-cc-pvtz"

#: Elements whose ions and fractional points no shipped model has seen.
HELD_OUT_IONS = ("B", "P", "S")


@dataclass(frozen=True)
class Species:
    """A density to be computed: n_alpha and n_beta electrons (fractions allowed) at fixed nuclei."""

    key: str
    atoms: tuple  # of (symbol, (x, y, z)) in Å
    n_alpha: float
    n_beta: float
    basis: str

    @property
    def charge(self) -> float:
        """Total charge, fractional where the occupation is."""
        return sum(nuclear_charge(a[0]) for a in self.atoms) - self.n_alpha - self.n_beta

    @property
    def electrons(self) -> float:
        """Number of electrons."""
        return self.n_alpha + self.n_beta


@dataclass(frozen=True)
class Target:
    """Σ coefficient · E(species) = reference, in Ha; ``group`` names the tolerance in the config.

    A reference of None stands for the Hartree–Fock energy of the (single) species, as one-electron systems want.
    """

    id: str
    group: str
    terms: tuple  # of (species key, coefficient)
    reference: float | None


def atom(symbol: str, n_alpha: float, n_beta: float, basis: str = DIFFUSE_BASIS) -> Species:
    """A free atom or ion with the given electron numbers."""
    return Species(f"{symbol}_{n_alpha:g}_{n_beta:g}_{basis}", ((symbol, (0.0, 0.0, 0.0)),), n_alpha, n_beta, basis)


def molecules(folder: Path) -> tuple[dict[str, Species], list[Target]]:
    """Atomisation energies of `train.json` in BASIS."""
    data = _read(folder / "train.json")
    species: dict[str, Species] = {}
    targets: list[Target] = []
    for entry in data["reactions"]:
        terms = []
        for name, coefficient in entry["stoichiometry"].items():
            s = data["species"][name]
            atoms = tuple((a[0], tuple(a[1:])) for a in s["atoms"])
            n = sum(nuclear_charge(a[0]) for a in atoms) - s["charge"]
            key = f"{s['canonical'].replace('/', '__')}__{BASIS}"
            species[key] = Species(key, atoms, (n + s["spin"]) / 2, (n - s["spin"]) / 2, BASIS)
            terms.append((key, coefficient))
        targets.append(Target(entry["id"], "atomisation", tuple(terms), entry["reference"] / KCAL))
    return species, targets


def atoms(folder: Path, last: int = 18) -> tuple[dict[str, Species], list[Target]]:
    """Ionisation energies, affinities and exact non-relativistic total energies of atoms up to Z = last."""
    species: dict[str, Species] = {}
    targets: list[Target] = []
    for symbol, entry in _read(folder / "atoms_public.json")["atoms"].items():
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
    return species, targets


def fractional(folder: Path) -> tuple[dict[str, Species], list[Target]]:
    """Fractionally charged atoms: E(N + δ) lies on the straight line between the functional's own end points."""
    reference = _read(folder / "atoms_public.json")["atoms"]
    species, targets = {}, []
    for entry in _read(folder / "fractional_public.json")["fractional_charge"]:
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
    return species, targets


def one_electron(distances=(0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0)) -> tuple[dict[str, Species], list[Target]]:
    """H, He⁺, Li²⁺, H₂⁺, HeH²⁺ and H₃²⁺: exchange must cancel the Hartree energy, so E equals Hartree–Fock's."""
    nuclei: dict[str, tuple] = {f"{s}_1e": ((s, (0.0, 0.0, 0.0)),) for s in ("H", "He", "Li")}
    nuclei |= {f"H2+_{d:g}": (("H", (0.0, 0.0, 0.0)), ("H", (0.0, 0.0, d))) for d in distances}
    nuclei["HeH2+_1"] = (("He", (0.0, 0.0, 0.0)), ("H", (0.0, 0.0, 1.0)))
    nuclei["H3_2+_1"] = (("H", (0.0, 0.0, -1.0)), ("H", (0.0, 0.0, 0.0)), ("H", (0.0, 0.0, 1.0)))
    species = {key: Species(key, atoms, 1.0, 0.0, DIFFUSE_BASIS) for key, atoms in nuclei.items()}
    return species, [Target(key, "one_electron", ((key, 1),), None) for key in species]


def reactions(path: Path, ids: list[str] | None = None) -> tuple[dict[str, Species], list[Target]]:
    """Reactions of a benchmark file, each in the basis the benchmark's protocol gives it.

    For validation, tests at fixed densities, and the complexes of extra.json (`training.noncovalent`); no target of
    benchmark.json enters a fit.
    """
    found, jobs = sets.load_set(path, ids)
    species = {}
    for key, job in jobs.items():
        n = sum(nuclear_charge(a[0]) for a in job.atoms) - job.charge
        species[key] = Species(key, job.atoms, (n + job.spin) / 2, (n - job.spin) / 2, job.basis)
    targets = [Target(r.id, r.subset, r.stoichiometry, r.reference / KCAL) for r in found]
    return species, targets


def training_set(folder: Path) -> tuple[dict[str, Species], list[Target]]:
    """Everything the shipped models are trained on."""
    parts = [one_electron(), atoms(folder), fractional(folder), molecules(folder)]
    species = {key: s for part in parts for key, s in part[0].items()}
    return species, [t for part in parts for t in part[1]]


def _add(species: dict[str, Species], symbol: str, electrons: int, spin: int) -> str:
    s = atom(symbol, (electrons + spin) / 2, (electrons - spin) / 2)
    species[s.key] = s
    return s.key


def _read(path: Path) -> dict:
    if not path.is_file():
        raise InvalidInput(f"no reference file {path}: give the folder that holds train.json, atoms_public.json "
                           "and fractional_public.json")
    return json.loads(path.read_text())
