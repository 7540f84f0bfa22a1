"""Errors of a run and what is made of them: means per subset and family, weighted means, SCF statistics."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlxc.bench.entries import Entry, Set
from mlxc.bench.results import Results

#: Properties of which the literature gives relative errors, with the smallest reference that an error is divided by.
FLOORS = {"dipole": 1.0, "polarizability": 0.0}


@dataclass(frozen=True)
class Column:
    """What one functional reached in one set.

    Attributes:
        method: its name.
        errors: value − reference by entry id, in the entry's unit, of the entries whose species all have a result.
        unconverged: entries with a species that did not converge; they count with its last energy.
        failed: entries with a species that could not be computed; they have no error.
        missing: entries with a species that was not computed yet.
        results: by job key.
    """

    method: str
    errors: dict[str, float]
    unconverged: tuple[str, ...]
    failed: tuple[str, ...]
    missing: tuple[str, ...]
    results: Mapping[str, Mapping[str, Any]]


def column(results: Results, method: str, s: Set) -> Column:
    """The errors of a functional in a set."""
    found = {key: r for key in s.jobs if (r := results.get(method, key)) is not None}
    errors: dict[str, float] = {}
    unconverged, failed, missing = [], [], []
    for entry in s.entries:
        parts = [found.get(key) for key, _ in entry.terms]
        if any(part is None for part in parts):
            missing.append(entry.id)
            continue
        value = entry.value(found)
        if value is None:
            failed.append(entry.id)
            continue
        errors[entry.id] = value - entry.reference
        if not all(part["converged"] for part in parts if part is not None):
            unconverged.append(entry.id)
    return Column(method, errors, tuple(unconverged), tuple(failed), tuple(missing), found)


def scored(s: Set, columns: Sequence[Column]) -> list[Entry]:
    """The entries that every functional has an error for and none was trained on: what a table compares."""
    return [e for e in s.entries if not e.trained and all(e.id in c.errors for c in columns)]


def groups(entries: Iterable[Entry], key: str) -> dict[str, list[Entry]]:
    """Entries by an attribute, in order of the names."""
    found: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda e: getattr(e, key)):
        found.setdefault(getattr(entry, key), []).append(entry)
    return found


def mean_absolute(errors: Mapping[str, float], entries: Sequence[Entry]) -> float:
    """⟨|error|⟩."""
    return float(np.mean([abs(errors[e.id]) for e in entries]))


def mean_signed(errors: Mapping[str, float], entries: Sequence[Entry]) -> float:
    """⟨error⟩."""
    return float(np.mean([errors[e.id] for e in entries]))


def worst(errors: Mapping[str, float], entries: Sequence[Entry]) -> Entry:
    """The entry with the largest error."""
    return max(entries, key=lambda e: abs(errors[e.id]))


def mean_over_subsets(errors: Mapping[str, float], entries: Sequence[Entry]) -> float:
    """The mean absolute error of the subsets, each counted once."""
    return float(np.mean([mean_absolute(errors, part) for part in groups(entries, "subset").values()]))


def weighted(errors: Mapping[str, float], entries: Sequence[Entry]) -> float:
    """A weighted mean in the manner of GMTKN55's WTMAD-2 (doi:10.1039/C7CP04913G).

        Σ_i N_i (⟨|E|⟩ / ⟨|E|⟩_i) MAE_i / Σ_i N_i

    over subsets i, ⟨|E|⟩_i the mean absolute reference of a subset and ⟨|E|⟩ that of all subsets (GMTKN55 has 56.84
    kcal/mol for its own): subsets with small energies count more.
    """
    parts = groups(entries, "subset").values()
    sizes = [np.mean([abs(e.reference) for e in part]) for part in parts]
    typical = float(np.mean(sizes))
    total = sum(len(part) * typical / size * mean_absolute(errors, part)
                for part, size in zip(parts, sizes, strict=True))
    return float(total / len(entries))


def relative(errors: Mapping[str, float], entries: Sequence[Entry]) -> float:
    """Root mean square of the relative errors of one of the properties in `FLOORS`, %.

        100 √⟨(error / max(|reference|, floor))²⟩

    Dipoles below the floor, 1 D, would count for too much (doi:10.1021/acs.jctc.7b01252); polarisabilities have none
    (doi:10.1039/c8cp03569e).
    """
    return float(100 * np.sqrt(np.mean([(errors[e.id] / max(abs(e.reference), FLOORS[e.quantity])) ** 2
                                        for e in entries])))


def interval(errors: Mapping[str, float], other: Mapping[str, float], entries: Sequence[Entry],
             samples: int = 10000) -> tuple[float, float]:
    """95 % interval of the difference of two mean absolute errors, from entries drawn with replacement."""
    difference = np.array([abs(errors[e.id]) - abs(other[e.id]) for e in entries])
    drawn = np.random.default_rng(0).integers(0, len(difference), (samples, len(difference)))
    low, high = np.percentile(difference[drawn].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


@dataclass(frozen=True)
class Scf:
    """How the SCF of a functional went over all its jobs.

    Attributes:
        jobs, converged, failed, checked, unstable: how many; the last two of the stability analysis.
        cycles: on average.
        cpu_seconds: in all.
    """

    jobs: int
    converged: int
    failed: int
    checked: int
    unstable: int
    cycles: float
    cpu_seconds: float


def scf(found: Iterable[Mapping[str, Any]]) -> Scf:
    """Statistics of results."""
    found = list(found)
    done = [r for r in found if "failed" not in r]
    return Scf(len(found), sum(r["converged"] for r in done), len(found) - len(done),
               sum(r["stable"] is not None for r in done), sum(r["stable"] is False for r in done),
               float(np.mean([r["cycles"] for r in done])) if done else 0.0,
               float(sum(r["cpu_seconds"] for r in done)))
