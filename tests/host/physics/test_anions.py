"""Anions: their last electron is bound by exact exchange at long range, and not without it."""

import numpy as np
import pytest

from mlxc import zoo
from mlxc.host.physics import anions
from mlxc.xc.functional import LocalHybrid
from mlxc.xc.reference import reference
from tests.violators import WeakExchange, violator

QUICK = ("F-", "OH-")


@pytest.mark.parametrize("label", [label if label in QUICK else pytest.param(label, marks=pytest.mark.slow)
                                   for label in anions.ANIONS])
def test_the_last_electron_is_bound(label):
    assert all(anions.homo(zoo.load(name), label) < 0 for name in zoo.names())


def test_an_unbound_electron_is_seen(monkeypatch):
    functional = reference("pbe")
    functional.name = "anions_of_pbe"
    monkeypatch.setattr(anions, "ANIONS", {"OH-": anions.ANIONS["OH-"]})
    assert anions.unbound_violation(functional) > 0.03


def test_a_calculation_that_fails_is_seen(monkeypatch):
    monkeypatch.setattr(anions, "homo", lambda functional, label: np.nan if label == "CN-" else -0.1)
    assert np.isnan(anions.unbound_violation(violator(WeakExchange, LocalHybrid)))
