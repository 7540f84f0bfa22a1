"""The SCF of a species: its settings, and what was checked is said."""

import dataclasses

import pytest

from mlxc import local_exchange_record, solution
from mlxc.errors import InvalidInput
from mlxc.manifest.species import occupied
from tests.training.conftest import SPECIES, TINY
from training import scf


@pytest.mark.parametrize("key, stable", [("H2", None), ("He", True), ("Li", True), ("H", True), ("H2+", True),
                                         ("H_0.75", None)])
def test_open_shells_and_atoms_are_checked(key, stable):
    """Closed-shell molecules and fractional electrons are not."""
    mf, found = scf.mean_field(SPECIES[key], TINY)
    assert mf.converged and found is stable


@pytest.mark.parametrize("follow_ups, cycles", ((0, 100), (3, 1)))
def test_nothing_is_said_where_nothing_was_checked(follow_ups, cycles, monkeypatch):
    """Because it was not asked for, or because there is no solution."""
    monkeypatch.setattr(solution, "ATTEMPTS", ({"max_cycle": cycles},))
    mf, stable = scf.mean_field(SPECIES["Li"], dataclasses.replace(TINY, follow_ups=follow_ups))
    assert stable is None and mf.converged is (cycles > 1)


@pytest.mark.parametrize("level", (0, 1))
def test_the_local_part_has_the_grid_that_is_asked_for(level):
    mf, _ = scf.mean_field(SPECIES["Li"], dataclasses.replace(TINY, xc="mlxc_lh", local_grid=level))
    assert mf.converged and local_exchange_record(mf)["grid_level"] == level


def test_effective_cores_are_refused():
    iodine = occupied("I__def2-svp", (("I", (0.0, 0.0, 0.0)),), 0, 1, "def2-svp")
    with pytest.raises(InvalidInput, match="def2-svp has an effective core potential for I"):
        scf.mean_field(iodine, TINY)
