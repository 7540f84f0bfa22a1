"""Processes that share work: what they are started with."""

import os

import pytest

from mlxc.workers import KEEP_MEMORY, pool


def _setting(name: str) -> str | None:
    return os.environ.get(name)


@pytest.mark.slow
def test_processes_keep_their_memory_unless_the_user_says_otherwise(monkeypatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "123456")
    with pool(2) as run:
        found = dict(run(_setting, list(KEEP_MEMORY)))
    assert found == KEEP_MEMORY | {"MALLOC_TRIM_THRESHOLD_": "123456"}
