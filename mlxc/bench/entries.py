"""What is scored: an entry is a number made of results, with its reference; a set is a list of entries.

    value = Σ_k c_k property(result_k),        error = value − reference

The property is one of `QUANTITIES`; energies carry the functional's dispersion, but where a law of E_xc is tested
(``scf_energy``).
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mlxc.bench.jobs import Job
from mlxc.errors import InvalidInput
from mlxc.units import EV, KCAL

#: Property of a result, in Ha where it is an energy. A result without it gives None, and the entry no value.
QUANTITIES: dict[str, Callable[[Mapping[str, Any]], float | None]] = {
    "energy": lambda r: r["e_scf"] + r["e_disp"],
    "scf_energy": lambda r: r["e_scf"],
    "one_electron_error": lambda r: r["e_scf"] - r["e_one"],
    "minus_homo": lambda r: -r["homo"],
    "dipole": lambda r: r["dipole"],
    "polarizability": lambda r: r.get("polarizability"),
    "singlet": lambda r: r.get("excitations", {}).get("singlet"),
    "triplet": lambda r: r.get("excitations", {}).get("triplet"),
    "same_spin": lambda r: r.get("excitations", {}).get("same_spin"),
}

#: Units of values, per atomic unit of energy; the others are not converted.
UNITS = {"kcal/mol": KCAL, "eV": EV, "D": 1.0, "Å³": 1.0}


@dataclass(frozen=True)
class Entry:
    """A number with its reference.

    Attributes:
        id: its name in the set.
        subset: entries of one subset are averaged together.
        family: ions, radicals, atoms, …: a second grouping, over subsets.
        terms: ((job key, coefficient), …).
        reference: in ``unit``.
        unit: one of UNITS.
        quantity: one of QUANTITIES.
        x: where it stands on the axis of a curve.
        related: whether one of its molecules, or one of the same formula and bonds, is in the training set of mlxc's
            functionals; None if not known.
        trained: whether every one of its species is in that training set, so that it is shown, but not scored.
    """

    id: str
    subset: str
    family: str
    terms: tuple[tuple[str, float], ...]
    reference: float
    unit: str = "kcal/mol"
    quantity: str = "energy"
    x: float | None = None
    related: bool | None = None
    trained: bool = False

    def value(self, results: Mapping[str, Mapping[str, Any]]) -> float | None:
        """The value from results by job key; None where one is missing, failed or lacks the property."""
        total = 0.0
        for key, coefficient in self.terms:
            result = results.get(key)
            found = None if result is None or "failed" in result else QUANTITIES[self.quantity](result)
            if found is None or not math.isfinite(found):
                return None
            total += coefficient * found
        return total * UNITS[self.unit]


@dataclass(frozen=True)
class Set:
    """Entries and the jobs that they are made of.

    Attributes:
        name: letters, digits, hyphens and underscores.
        description: one sentence.
        entries: what is scored.
        jobs: by key.
        axis: label of the entries' ``x``, where the set is one of curves.
        held_back: whether it is a test that models trained on the test are not scored on.
    """

    name: str
    description: str
    entries: tuple[Entry, ...]
    jobs: Mapping[str, Job] = field(repr=False)
    axis: str = ""
    held_back: bool = False

    def __post_init__(self):
        if not re.fullmatch(r"[\w-]+", self.name):
            raise InvalidInput(f"the set's name {self.name!r} names files: letters, digits, hyphens and underscores "
                               "are accepted")

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"name": self.name, "description": self.description, "axis": self.axis, "held_back": self.held_back,
                "entries": [asdict(e) for e in self.entries], "jobs": {k: j.to_dict() for k, j in self.jobs.items()}}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Set":
        """The set of `to_dict`."""
        entries = tuple(Entry(**e | {"terms": tuple((key, c) for key, c in e["terms"])}) for e in fields["entries"])
        jobs = {key: Job.from_dict(job) for key, job in fields["jobs"].items()}
        return cls(fields["name"], fields["description"], entries, jobs, fields["axis"], fields["held_back"])


class Builder:
    """Collects entries and their jobs."""

    def __init__(self):
        """Begins with nothing."""
        self.entries: list[Entry] = []
        self.jobs: dict[str, Job] = {}

    def job(self, job: Job) -> str:
        """The key of a job, which is added."""
        self.jobs[job.key] = job
        return job.key

    def add(self, id_: str, subset: str, family: str, terms: list[tuple[Job, float]], reference: float, **more):
        """An entry of jobs and coefficients; ``more`` are further fields of Entry."""
        keys = tuple((self.job(job), c) for job, c in terms)
        self.entries.append(Entry(id_, subset, family, keys, float(reference), **more))

    def finished(self, name: str, description: str, axis: str = "", held_back: bool = False) -> Set:
        """The set."""
        return Set(name, description, tuple(self.entries), self.jobs, axis, held_back)
