"""Computes the records of many species, in one process or several (`mlxc.workers`), and writes them."""

import time
from pathlib import Path
from typing import NamedTuple

from mlxc.errors import InvalidInput, MlxcError
from mlxc.manifest.species import Species
from mlxc.progress import Progress
from mlxc.workers import pool
from training.density import compute
from training.functionals import functional_of
from training.record import STANDARD, Record, Settings, is_whole, record_path, save

#: Temporary files are written in seconds: one this old was left behind, s.
LEFT_BEHIND = 3600.0


class SomeFailed(MlxcError, RuntimeError):
    """Densities that could not be computed; all others are there.

    Attributes:
        reasons: {species key: what was wrong}.
        total: how many were asked for.
    """

    def __init__(self, reasons: dict[str, str], total: int):
        """Args: as the attributes."""
        self.reasons, self.total = reasons, total
        lines = "".join(f"\n  {key}: {why}" for key, why in sorted(reasons.items()))
        super().__init__(f"{len(reasons)} of {total} densities could not be computed; the others are written, and "
                         f"running again tries only these:{lines}")

    def __reduce__(self):
        return type(self), (self.reasons, self.total)


class Outcome(NamedTuple):
    """What came of one species: a record, or why there is none; and the seconds it took."""

    record: Record | None
    reason: str
    seconds: float


def build(species: dict[str, Species], folder: Path, settings: Settings = STANDARD, workers: int = 1,
          scheduler: str | None = None, part: tuple[int, int] = (0, 1)):
    """Computes the records that are missing or cut short.

    It can be stopped at any moment, in any way, and run again: every record that was reported is there. Several at once
    in one folder do no harm, but may compute the same species. A species that fails does not stop the others.

    Args:
        species: by key.
        folder: where the HDF5 files go.
        settings: see Settings.
        workers, scheduler: see `mlxc.workers.pool`.
        part: (k, m): only every m-th species from the k-th, for processes that share the work without Dask.

    Raises:
        SomeFailed: at the end, with every species that could not be computed. An SCF that did not converge is no
            failure: its record says so.
        NotWritten: the disk is full; nothing half-written is left, what was written before stays.
        InvalidInput: an unknown functional, no scheduler at the address, dask is missing.
    """
    functional = functional_of(settings.xc)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    mine = sorted(species.values(), key=_cost)[part[0]::part[1]]
    todo = [s for s in mine if not is_whole(record_path(folder, s, settings))]
    if not todo:
        return
    progress = Progress([_cost(s)[0] for s in todo])
    for s in todo:
        if (path := record_path(folder, s, settings)).exists():
            progress.say(f"{path} ({s.key}) is damaged and computed anew")
    failed: dict[str, str] = {}
    with pool(workers, scheduler) as run:
        for s, outcome in run(attempt, todo, settings, functional):
            if isinstance(outcome, Exception):  # `attempt` raises nothing: its workers died, or could not start it
                outcome = Outcome(None, f"{type(outcome).__name__}: {outcome}", 0.0)
            outcome = _saved(folder, s, settings, outcome)
            if outcome.record is None:
                failed[s.key] = outcome.reason
            progress.step(_described(s, outcome), _cost(s)[0])
    if failed:
        raise SomeFailed(failed, len(mine))


def _saved(folder: Path, species: Species, settings: Settings, outcome: Outcome) -> Outcome:
    """The outcome, after its record was written; one that may not be written counts as failed."""
    if outcome.record is None:
        return outcome
    try:
        save(folder, species, settings, outcome.record)
    except InvalidInput as error:
        return outcome._replace(record=None, reason=str(error))
    return outcome


def _described(species: Species, outcome: Outcome) -> str:
    record, said = outcome.record, f"{species.key} {outcome.seconds:.1f} s"
    if record is None:
        return f"{said}, FAILED"
    return said + ("" if record.converged else ", not converged") + (", unstable" if record.stable is False else "")


def _cost(species: Species) -> tuple[float, str]:
    """What a species costs, roughly and in no unit; the key makes the order unique."""
    return len(species.atoms) * species.electrons, species.key


def _sweep(folder: Path):
    """Removes temporary files that a process left behind when it was killed while writing."""
    for path in folder.glob("*.tmp"):
        try:
            if time.time() - path.stat().st_mtime > LEFT_BEHIND:
                path.unlink()
        except FileNotFoundError:  # another build was faster
            pass


def attempt(species: Species, settings: Settings, functional=None) -> Outcome:
    """`compute`, with what goes wrong as part of the result."""
    begun = time.perf_counter()
    try:
        return Outcome(compute(species, settings, functional), "", time.perf_counter() - begun)
    except Exception as error:  # whatever it is: it is reported, and the others go on
        return Outcome(None, f"{type(error).__name__}: {error}", time.perf_counter() - begun)
