"""The same functionals with their own densities: by the benchmark's runner, under a protocol of the experiment."""

from collections.abc import Sequence
from pathlib import Path

from mlxc.bench import methods, metrics, runner, sets
from mlxc.bench.entries import Entry, Set
from mlxc.bench.protocol import Protocol
from mlxc.bench.results import Results
from training.experiments.transferability.stored import FRACTIONAL, STRETCHED, Groups

#: No stability analysis, and the grid of the stored densities: eighteen functionals are compared with each other.
PROTOCOL = Protocol(grid_level=2, follow_ups=0)

#: Lines between whole charges that every seed is measured on: atoms that are in no training set, atoms that are in that
#: of arms e and f, and a molecule that is in none; ethene, the benchmark's largest, would cost as much as all of them.
LINES = ("B", "P", "S", "C", "F", "H2O")

#: Names of the sets that are parts of the benchmark's.
CHARGES, CATIONS = "charges", "cations"

#: Subsets of the curves, as the tables write them.
CURVES = {"H2+": "H₂⁺", "He2+": "He₂⁺"}


def wanted(references: Path) -> tuple[Set, list[Set]]:
    """(the smoke list, for one seed of every arm; lines and stretched cations, for every seed)."""
    smoke, lines, electron, bonds, core = sets.load(
        "ions-radicals:smoke,fractional,one-electron,dissociation,ions-radicals:core", PROTOCOL, references)
    charges = only(lines, CHARGES, [e.id for e in lines.entries if e.subset in LINES])
    stretched = [only(electron, "h2", [e.id for e in electron.entries if e.subset == "H2+"]),
                 only(bonds, "he2", [e.id for e in bonds.entries if e.subset == "He2+"]),
                 only(core, "sie", [e.id for e in core.entries if e.subset == STRETCHED])]
    jobs = {key: job for s in stretched for key, job in s.jobs.items()}
    entries = tuple(e for s in stretched for e in s.entries)
    return smoke, [charges, Set(CATIONS, "H₂⁺, He₂⁺ and dissociating cations", entries, jobs)]


def only(s: Set, name: str, ids: Sequence[str]) -> Set:
    """These entries of a set."""
    entries = tuple(e for e in s.entries if e.id in set(ids))
    needed = {key for e in entries for key, _ in e.terms}
    return Set(name, s.description, entries, {key: job for key, job in s.jobs.items() if key in needed}, s.axis)


def run(models: dict[tuple[str, int], Path], references: Path, out: Path, workers: int = 1, known: Path | None = None):
    """Computes what is missing.

    Args:
        models: paths of cards by arm and seed.
        references: the reference files.
        out: folder of the results.
        workers: processes.
        known: file of `published.publish`, whose results are taken over where it exists.
    """
    smoke, others = wanted(references)
    chosen = {key: methods.method(str(path)) for key, path in models.items()}
    first, known = min(seed for _, seed in models), known if known and known.exists() else None
    runner.run([smoke], [m for (_, seed), m in chosen.items() if seed == first], out, PROTOCOL, workers, known=known)
    runner.run(others, list(chosen.values()), out, PROTOCOL, workers, known=known)


def errors(out: Path, name: str) -> Groups:
    """Errors of a functional by group, of what is finished: charges in eV, the others in kcal/mol.

    Every entry counts, also those that the benchmark does not score, since no arm was trained on H₂⁺.
    """
    results = Results(out)
    found: Groups = {}
    for s in results.sets().values():
        c = metrics.column(results, name, s)
        for e in s.entries:
            if e.id in c.errors:
                found.setdefault(_group(s, e), {})[e.id] = c.errors[e.id]
    return found


def _group(s: Set, e: Entry) -> str:
    """The group of an entry in the tables, that of the stored densities where they have it too."""
    if s.name == CHARGES:
        return FRACTIONAL + ("" if "never seen" in e.family else " of atoms in e and f")
    if e.subset == STRETCHED:
        return "stretched cations"
    return f"curve of {CURVES[e.subset]}" if s.name == CATIONS else e.family


def failures(out: Path, name: str) -> tuple[int, int]:
    """(species that did not converge or failed, species in all) of a functional."""
    results = Results(out)
    found = [r for s in results.sets().values() for key in s.jobs if (r := results.get(name, key)) is not None]
    return sum("failed" in r or not r["converged"] for r in found), len(found)
