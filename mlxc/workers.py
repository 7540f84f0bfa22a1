"""Calls a function for many items: in this process, in several on this machine, or on a Dask cluster.

Workers only compute; what they send back arrives here. A cluster therefore needs no common disk: its workers need this
project and one thread each (`dask worker --nthreads 1`). A worker that dies takes nothing with it but what it was
computing, which another one starts again.
"""

import ctypes
import gc
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mlxc.errors import InvalidInput

#: A scheduler that does not answer for this long is taken for absent, s.
PATIENCE = 30.0

#: Environment in which glibc keeps memory that is freed for the next array. Dask's own asks for the contrary; where the
#: system is slow to give memory, as on virtual machines that take it back, PySCF then spends up to half of its time so.
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "30000000000"}

#: Called with a function, items and further arguments; yields each item with what the function returned for it, or
#: with the exception that it raised or its worker died of, in the order they are ready.
Run = Callable[..., Iterable[tuple[Any, Any]]]


@contextmanager
def pool(workers: int = 1, scheduler: str | None = None) -> Iterator[Run]:
    """Where a function runs for many items: `with pool(4) as run: for item, result in run(function, items, more): …`.

    Args:
        workers: processes on this machine, one thread each; with more than 1 the calling script needs the usual
            ``if __name__ == "__main__":``, and 1 means this process.
        scheduler: address of a Dask scheduler, such as ``tcp://host:8786``; its workers are used instead.

    Raises:
        InvalidInput: a wrong number, no scheduler at the address, dask is missing.
    """
    if type(workers) is not int or workers < 1:
        raise InvalidInput(f"workers = {workers!r}, expected a number of processes from 1")
    if workers == 1 and scheduler is None:
        yield lambda function, items, *how: ((item, _tried(_afresh, function, item, *how)) for item in items)
        return
    try:
        from distributed import Client, LocalCluster, as_completed
    except ImportError as error:
        raise InvalidInput('several workers need dask: pip install -c constraints.txt -e ".[bench]"') from error
    with _cluster(LocalCluster, workers, scheduler) as address, _client(Client, address) as client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError:
            raise InvalidInput(f"the scheduler at {address} has no workers: start one with `dask worker {address} "
                               "--nthreads 1`") from None

        def run(function: Callable, items: Sequence, *how):
            longest_first = list(enumerate(items))[::-1]  # items come shortest first, and the last would be waited for
            tasks = {client.submit(_afresh, function, item, *how, key=f"{i}-{time.time_ns()}", pure=False): item
                     for i, item in longest_first}
            for task in as_completed(list(tasks), loop=client.loop):
                item = tasks.pop(task)
                yield item, _tried(task.result)
                task.release()

        yield run


def _afresh(function: Callable, *arguments) -> Any:
    """What a function returns, after what earlier calls have freed is given back: PySCF counts it as memory in use."""
    gc.collect()
    give_back = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc, which alone keeps it
    if give_back is not None:
        give_back(0)
    return function(*arguments)


def _tried(function: Callable, *arguments) -> Any:
    """What a function returns, or the exception it raises."""
    try:
        return function(*arguments)
    except Exception as error:  # whatever it is: the others go on
        return error


@contextmanager
def _cluster(local_cluster, workers: int, scheduler: str | None) -> Iterator[str]:
    """Address of a scheduler: the one that is given, or of processes started here, which restart when they die."""
    if scheduler is not None:
        yield scheduler
        return
    import dask

    environment = "distributed.nanny.pre-spawn-environ"  # what is set when a process starts; the user's own comes first
    with dask.config.set({environment: dask.config.get(environment) | KEEP_MEMORY}):
        cluster = local_cluster(n_workers=workers, threads_per_worker=1, memory_limit=None, dashboard_address=":0",
                                silence_logs=logging.ERROR)
        try:
            yield cluster.scheduler_address
        finally:
            try:
                cluster.close()
            except TimeoutError:  # on a busy machine: what they computed is here, and they end with this process
                logging.getLogger(__name__).warning("workers took too long to stop; nothing is lost")


def _client(client, address: str):
    try:
        return client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise InvalidInput(f"no Dask scheduler at {address!r} ({error}): start one with `dask scheduler`, and workers "
                           "with `dask worker ADDRESS --nthreads 1`, and give its address, such as "
                           "tcp://host:8786") from error
