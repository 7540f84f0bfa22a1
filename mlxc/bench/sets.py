"""Benchmark sets: reactions, species and the basis each reaction is computed in."""

import json
from dataclasses import dataclass
from pathlib import Path

from pyscf import gto
from pyscf.data.elements import charge as nuclear_charge

from mlxc.bench.protocol import STANDARD, Protocol

#: Reactions of which mlxc's functionals are trained on every species, H₂⁺ and two others: never part of a score.
TRAINED_ON = ("SIE4x4-001", "SIE4x4-002", "SIE4x4-003", "SIE4x4-004", "ALKBDE10-004", "BH76RC-005")


@dataclass(frozen=True)
class Job:
    """One species in one basis; reactions that share it compute it once."""

    species: str
    basis: str
    atoms: tuple
    charge: int
    spin: int

    @property
    def key(self) -> str:
        """A file name for the job's result."""
        return f"{self.species.replace('/', '__')}__{self.basis}"

    def mol(self) -> gto.Mole:
        """The PySCF molecule."""
        return gto.M(atom=list(self.atoms), unit="Angstrom", charge=self.charge, spin=self.spin,
                     basis=self.basis, verbose=0)


@dataclass(frozen=True)
class Reaction:
    """A reaction energy: sum of coefficient * energy over jobs, in kcal/mol."""

    id: str
    subset: str
    family: str
    stoichiometry: tuple  # of (Job key, coefficient)
    reference: float


def load_set(path: Path, ids: list[str] | None = None, protocol: Protocol = STANDARD):
    """Reads a reaction set and resolves the basis of each reaction.

    Args:
        path: JSON file with ``species`` and ``reactions``.
        ids: reactions to keep, all where None.
        protocol: supplies the two basis sets.

    Returns:
        (reactions, jobs): list of Reaction, and dict of Job by key.
    """
    data = json.loads(Path(path).read_text())
    species, jobs, reactions = data["species"], {}, []
    for entry in data["reactions"]:
        if ids is not None and entry["id"] not in ids:
            continue
        members = {name: species[name] for name in entry["stoichiometry"]}
        needs_diffuse = any(s["charge"] < 0 or _electrons(s) == 1 for s in members.values())
        basis = protocol.diffuse_basis if needs_diffuse else protocol.basis
        terms = []
        for name, s in members.items():
            atoms = tuple((a[0], tuple(a[1:])) for a in s["atoms"])
            job = Job(s["canonical"], basis, atoms, s["charge"], s["spin"])
            jobs[job.key] = job
            terms.append((job.key, entry["stoichiometry"][name]))
        reactions.append(Reaction(entry["id"], entry["subset"], entry["cls"], tuple(terms), entry["reference"]))
    return reactions, jobs


def _electrons(species: dict) -> int:
    return sum(nuclear_charge(a[0]) for a in species["atoms"]) - species["charge"]
