"""Computes the records of many species: in this process, in several on this machine, or on a Dask cluster.

Workers only compute; what they send back is written here. A cluster therefore needs no common disk: its workers need
this project, `pip install -c constraints.txt -e ".[train]"`, and one thread each (`dask worker --nthreads 1`). A worker
that dies takes nothing with it but what it was computing, which another one starts again.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from mlxc.errors import InvalidInput, MlxcError
from training.data import Species
from training.density import compute
from training.functionals import functional_of
from training.progress import Progress
from training.record import STANDARD, Record, Settings, is_whole, record_path, save

#: Temporary files are written in seconds: one this old was left behind, s.
LEFT_BEHIND = 3600.0

#: A scheduler that does not answer for this long is taken for absent, s.
PATIENCE = 30.0


class SomeFailed(MlxcError, RuntimeError):
    """Densities that could not be computed; all others are there.

    Attributes:
        reasons: {species key: what was wrong}.
    """

    def __init__(self, reasons: dict[str, str], total: int):
        """Args: reasons; total, the number of densities that were asked for."""
        self.reasons = reasons
        lines = "".join(f"\n  {key}: {why}" for key, why in sorted(reasons.items()))
        super().__init__(f"{len(reasons)} of {total} densities could not be computed; the others are written, and "
                         f"running again tries only these:{lines}")

    def __reduce__(self):
        return type(self), (self.reasons, 0)


class Outcome(NamedTuple):
    """What came of one species: a record, or why there is none; and the seconds it took."""

    record: Record | None
    reason: str
    seconds: float


def build(species: dict[str, Species], folder: Path, settings: Settings = STANDARD, workers: int = 1,
          scheduler: str | None = None, part: tuple[int, int] = (0, 1)):
    """Computes the records that are missing or damaged.

    It can be stopped at any moment, in any way, and run again: every record that was reported is there. Several at once
    in one folder do no harm, but may compute the same species. A species that fails does not stop the others.

    Args:
        species: by key.
        folder: where the HDF5 files go.
        settings: see Settings.
        workers: processes on this machine, one thread each; with more than 1 the calling script needs the usual
            ``if __name__ == "__main__":``.
        scheduler: address of a Dask scheduler, such as ``tcp://host:8786``; its workers are used instead.
        part: (k, m): only every m-th species from the k-th, for processes that share the work without Dask.

    Raises:
        SomeFailed: at the end, with every species that could not be computed. An SCF that did not converge is no
            failure: its record says so.
        NotWritten: the disk is full; nothing half-written is left, what was written before stays.
        InvalidInput: an unknown functional, no scheduler at the address, dask is missing.
    """
    if type(workers) is not int or workers < 1:
        raise InvalidInput(f"workers = {workers!r}, expected a number of processes from 1")
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
    with _workers(workers, scheduler) as run:
        for s, outcome in run(todo, settings, functional):
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


# ---------------------------------------------------------------------------------------------- where it runs


@contextmanager
def _workers(workers: int, scheduler: str | None) -> Iterator[Any]:
    """A function that yields (species, outcome) for species, settings and functional, in the order they are ready."""
    if workers == 1 and scheduler is None:
        yield lambda todo, *how: ((s, attempt(s, *how)) for s in todo)
        return
    try:
        from distributed import Client, LocalCluster, as_completed
    except ImportError as error:
        raise InvalidInput('several workers need dask: pip install -c constraints.txt -e ".[train]"') from error
    with _cluster(LocalCluster, workers, scheduler) as address, _client(Client, address) as client:

        def run(todo: list[Species], *how):
            longest_first = reversed(todo)  # or the last one would be waited for
            tasks = {client.submit(attempt, s, *how, key=f"{s.key}-{time.time_ns()}", pure=False): s
                     for s in longest_first}
            for task in as_completed(list(tasks), loop=client.loop):
                s = tasks.pop(task)
                try:
                    outcome = task.result()
                except Exception as error:  # the task itself raises nothing: its workers died, or could not start it
                    outcome = Outcome(None, f"{type(error).__name__}: {error}", 0.0)
                yield s, outcome
                task.release()

        yield run


@contextmanager
def _cluster(local_cluster, workers: int, scheduler: str | None) -> Iterator[str]:
    """Address of a scheduler: the one that is given, or of processes started here, which restart when they die."""
    if scheduler is not None:
        yield scheduler
        return
    with local_cluster(n_workers=workers, threads_per_worker=1, memory_limit=None, dashboard_address=None,
                       silence_logs=logging.ERROR) as cluster:
        yield cluster.scheduler_address


def _client(client, address: str):
    try:
        return client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise InvalidInput(f"no Dask scheduler at {address!r} ({error}): start one with `dask scheduler`, and workers "
                           "with `dask worker ADDRESS --nthreads 1`, and give its address, such as "
                           "tcp://host:8786") from error
