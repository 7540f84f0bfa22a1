"""Processes that share work: what they are started with."""

import os

import numpy as np
import pytest
from pyscf import lib

from mlxc import workers
from mlxc.workers import KEEP_MEMORY, pool


def _setting(name: str) -> str | None:
    return os.environ.get(name)


@pytest.mark.slow
def test_processes_keep_their_memory_unless_the_user_says_otherwise(monkeypatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "123456")
    with pool(2) as run:
        found = dict(run(_setting, list(KEEP_MEMORY)))
    assert found == KEEP_MEMORY | {"MALLOC_TRIM_THRESHOLD_": "123456"}


def _memory_before_arrays_come_and_go(number: int) -> float:
    """MB in use, as PySCF counts them."""
    used = lib.current_memory()[0]
    [np.ones(125_000) for _ in range(LARGE)]
    return used


#: Size of these arrays, MB.
LARGE = 400


@pytest.mark.slow
def test_what_one_call_freed_does_not_count_in_the_next():
    with pool(2) as run:
        found = [used for _, used in run(_memory_before_arrays_come_and_go, range(6))]
    assert max(found) < min(found) + LARGE / 2


def test_workers_that_are_slow_to_stop_lose_nothing(caplog):
    pytest.importorskip("distributed")  # whose import sets what is read

    class Slow:
        scheduler_address = "tcp://here:1"

        def __init__(self, **settings):
            assert settings["n_workers"] == 2

        def close(self):
            raise TimeoutError

    with workers._cluster(Slow, 2, None) as address:
        assert address == Slow.scheduler_address
    assert "nothing is lost" in caplog.text
    with pytest.raises(InterruptedError, match="in between"), workers._cluster(Slow, 2, None):
        raise InterruptedError("in between")
