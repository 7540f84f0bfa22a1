"""Processes that share work: what they are started with."""

import os

import pytest

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
