"""Forces belong to the energy; a potential that does not is seen in them."""

import pytest

from mlxc import zoo
from mlxc.host.physics import forces
from mlxc.xc.functional import LocalHybrid, RangeSeparated
from tests.violators import ForeignPotential, violator


@pytest.mark.parametrize("label", forces.MOLECULES)
@pytest.mark.parametrize("kind", ["lh", "mlxc_rs"])
def test_forces_are_the_derivative_of_the_energy(lh, kind, label):
    assert forces.force_violation(lh if kind == "lh" else zoo.load(kind), [label]) < 1e-6


@pytest.mark.parametrize("base", [RangeSeparated, LocalHybrid])
def test_a_potential_of_another_energy_is_seen(base):
    assert forces.force_violation(violator(ForeignPotential, base, 0.4), ["HHe"]) > 1e-4


def test_a_grid_that_does_not_move_is_seen(lh):
    assert abs(forces.force_error(lh, "HHe", grid_response=False)) > 1e-4
