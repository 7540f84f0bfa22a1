"""A model file as training would write it: untrained, so that its energies mean nothing, but complete."""

from pathlib import Path

import pytest

from mlxc import zoo

#: A card without what `zoo.save` computes.
FIELDS = {
    "name": "toy_rs",
    "version": "0.1",
    "kind": "rs",
    "description": "Untrained functional of the tests.",
    "claims": [],
    "exchange": {"omega": 0.4, "sr_fraction": 0.0, "lr_fraction": 1.0},
    "network": {"width": 4, "depth": 1},
    "domain": {"elements": ["H", "O"], "charges": [-1, 0, 1], "spins": [0, 1]},
    "dispersion": {"s6": 1.0, "s8": 0.5, "s9": 1.0, "a1": 0.4, "a2": 5.0},
    "grid": {"level": 0},
}


@pytest.fixture
def card_fields() -> dict:
    """A fresh copy of the fields, for tests that change them."""
    return {key: value.copy() if isinstance(value, dict | list) else value for key, value in FIELDS.items()}


@pytest.fixture
def functional(card_fields):
    """The untrained functional of the fields."""
    from mlxc.xc.functional import RangeSeparated

    return RangeSeparated(card_fields["exchange"], card_fields["network"])


@pytest.fixture
def card_path(tmp_path, functional, card_fields) -> Path:
    """Path of the card of a whole model file."""
    return zoo.save(tmp_path / "models", functional, card_fields)
