"""Computes what is missing of the sets that are asked for; can be stopped at any moment and run again."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mlxc.bench.compute import attempt
from mlxc.bench.entries import Set
from mlxc.bench.jobs import Job
from mlxc.bench.methods import Method
from mlxc.bench.protocol import STANDARD, Protocol
from mlxc.bench.published import take_over
from mlxc.bench.results import Results
from mlxc.errors import InvalidInput
from mlxc.progress import Progress
from mlxc.workers import pool


class Summary(NamedTuple):
    """How many results a run has: in all, not converged, failed; and the reasons of the last, by method and job."""

    results: int
    not_converged: int
    failed: dict[str, str]


def run(sets: Sequence[Set], methods: Sequence[Method], out: Path, protocol: Protocol = STANDARD, workers: int = 1,
        scheduler: str | None = None, retry: bool = False, known: Path | None = None,
        say: Callable[[str], object] = print) -> Summary:
    """Runs every job that has no result yet; every result that was reported is on disk.

    The smallest come first, with several workers the largest, so that none of them waits at the end.

    Args:
        sets: what is asked for.
        methods: the functionals.
        out: folder of the results.
        protocol: the settings.
        workers, scheduler: see `mlxc.workers.pool`.
        retry: compute again what failed or did not converge.
        known: file of `published.publish`, whose results are taken over.
        say: receives what is taken over.

    Raises:
        InvalidInput: another process writes to the folder, or it holds results of another protocol or version; no
            species can be computed; a disk that is full; as `published.take_over`.
    """
    jobs = {job.key: job for s in sets for job in s.jobs.values()}
    costs, impossible = _costs(jobs)
    if jobs and len(impossible) == len(jobs):
        raise InvalidInput(f"no species can be computed: {next(iter(impossible.values()))}")
    ordered = sorted(jobs.values(), key=lambda job: (costs[job.key], job.key))
    results = Results(out)
    with results.writing(protocol):
        for s in sets:
            results.add_set(s)
        for method in methods:
            results.add_method(method)
            if method.is_unchecked and (tests := [s.name for s in sets if s.held_back]):
                say(f"{method.name} was trained without benchmark.json in --data, so that nobody looked whether its "
                    f"training set holds molecules of {', '.join(tests)}: what it scores there may be no test")
        if known is not None:
            taken = take_over(known, results, jobs, methods, protocol, say)
            say(f"{taken} results taken over from {known.name}")
        todo = [(job, m) for job in ordered for m in methods if not _done(results, m, job, retry)]
        lost = {}
        if todo:
            progress = Progress([costs[job.key] for job, _ in todo])
            for job, m in todo:
                if results.damaged(m.name, job.key):
                    progress.say(f"{m.name}/{job.key}.json is damaged and computed anew")
            with pool(workers, scheduler) as work:
                for (job, m), found in work(attempt, todo, protocol):
                    if isinstance(found, Exception):  # `attempt` raises nothing: its worker died, or could not start
                        lost[f"{m.name}, {job.key}"] = f"lost, and computed in the next run: {found}"
                        found = {"failed": str(found)}
                    else:
                        results.add(m.name, job, found)
                    progress.step(_described(job, m, found), costs[job.key])
        return _summary(results, methods, ordered, lost)


def _costs(jobs: Mapping[str, Job]) -> tuple[dict[str, float], dict[str, str]]:
    """What each job costs, roughly and in no unit; and why some have no molecule (a basis that does not exist, say)."""
    costs, impossible = {}, {}
    for key, job in jobs.items():
        try:
            kind = 1 if job.is_restricted else 5 if job.is_open else 2
            costs[key] = job.mol().nao ** 2.5 * kind * (4 if job.excitations else 1)
        except Exception as error:  # PySCF's and those of its basis parsers
            costs[key], impossible[key] = 0.0, f"{job.species}, {job.basis_name}: {error}"
    return costs, impossible


def _done(results: Results, method: Method, job: Job, retry: bool) -> bool:
    if not results.has(method.name, job.key):
        return False
    result = results.get(method.name, job.key) or {}
    return not (retry and ("failed" in result or not result["converged"]))


def _summary(results: Results, methods: Sequence[Method], jobs: Sequence[Job], lost: dict[str, str]) -> Summary:
    found = {f"{m.name}, {job.key}": r for m in methods for job in jobs if (r := results.get(m.name, job.key))}
    failed = {name: r["failed"] for name, r in found.items() if "failed" in r}
    return Summary(len(found), sum(not r.get("converged", True) for r in found.values()), failed | lost)


def _described(job: Job, method: Method, found: Mapping[str, Any]) -> str:
    said = f"{job.species} {job.basis_name} {method.name} {found.get('seconds', 0.0):.1f} s"
    if "failed" in found:
        return f"{said}, FAILED"
    return said + ("" if found["converged"] else ", not converged") + (
        ", unstable" if found["stable"] is False else "")
