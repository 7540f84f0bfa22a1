"""Spins and directions in space are equivalent; functionals to whom they are not are seen."""

import numpy as np
import pytest

from mlxc import zoo
from mlxc.host import entry
from mlxc.host.physics import symmetry
from mlxc.xc.density import variables_from_rows
from mlxc.xc.functional import LocalHybrid, RangeSeparated
from tests.violators import ClosedShellsDiffer, Lopsided, LopsidedReplacement, violator

KINDS = pytest.mark.parametrize("kind", ["lh", "mlxc_rs"])

#: x → y → z → x, a symmetry of PySCF's grids.
CYCLE = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])


@KINDS
def test_a_radical_has_one_energy_with_its_spin_up_or_down(lh, kind):
    assert symmetry.spin_flip_violation(lh if kind == "lh" else zoo.load(kind)) < 1e-9


@pytest.mark.parametrize("mixin, base", [(Lopsided, RangeSeparated), (LopsidedReplacement, LocalHybrid)])
def test_a_difference_between_the_spins_is_seen(mixin, base):
    assert symmetry.spin_flip_violation(violator(mixin, base, 0.2)) > 1e-5


@KINDS
def test_a_closed_shell_is_two_equal_spins(lh, kind):
    assert symmetry.closed_shell_violation(lh if kind == "lh" else zoo.load(kind)) < 1e-9


def test_closed_shells_that_differ_are_seen():
    assert symmetry.closed_shell_violation(violator(ClosedShellsDiffer, LocalHybrid, 0.4)) > 1e-5


@KINDS
def test_axes_are_equivalent(lh, kind):
    assert symmetry.rotation_violation(lh if kind == "lh" else zoo.load(kind), CYCLE, level=0) < 1e-9


@pytest.mark.slow
@KINDS
def test_directions_are_equivalent(lh, kind):
    assert symmetry.rotation_violation(lh if kind == "lh" else zoo.load(kind)) < 2e-5


def test_a_direction_that_is_special_is_seen(monkeypatch):
    """A functional that feels more of the gradient along z."""
    def stretched(rho):
        rho = rho.clone()
        rho[..., 3, :] *= 1.5
        return variables_from_rows(rho)

    monkeypatch.setattr(entry, "variables_from_rows", stretched)
    model = zoo.load("mlxc_rs")
    assert symmetry.rotation_violation(model, CYCLE, level=0) > 1e-4
    assert symmetry.rotation_violation(model, level=1) > 1e-4
