"""Two tables mix only if they were computed in one way."""

import dataclasses

import pytest

from mlxc.bench.protocol import STANDARD, Protocol

FIELDS = [field.name for field in dataclasses.fields(Protocol)]


def changed(name: str) -> Protocol:
    return dataclasses.replace(STANDARD, **{name: getattr(STANDARD, name) * 2})


@pytest.mark.parametrize("name", FIELDS)
def test_hash_changes_with_every_setting(name):
    assert changed(name).hash != STANDARD.hash


def test_hashes_of_different_changes_differ():
    assert len({changed(name).hash for name in FIELDS}) == len(FIELDS)


def test_equal_protocols_have_equal_hashes():
    assert Protocol().hash == STANDARD.hash == Protocol(**dataclasses.asdict(STANDARD)).hash
    assert len(STANDARD.hash) == 12


def test_a_protocol_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        STANDARD.grid_level = 5


def test_it_prints_every_setting():
    text = str(STANDARD)
    assert STANDARD.hash in text and all(f"{name} " in text for name in FIELDS)
