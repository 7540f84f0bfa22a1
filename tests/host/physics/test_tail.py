"""The potential's tail: −1/r with full exact exchange at long range, other values without; its terms."""

import numpy as np
import pytest
from pyscf import dft

from mlxc import zoo
from mlxc.host.physics import scf, tail
from mlxc.xc.functional import LocalHybrid
from mlxc.xc.reference import reference
from tests.violators import WeakExchange, violator

SYSTEMS = pytest.mark.parametrize("label", tail.SYSTEMS)


@SYSTEMS
@pytest.mark.parametrize("kind", ["lh", "mlxc_rs"])
def test_the_potential_tends_to_the_coulomb_tail(lh, kind, label):
    functional = lh if kind == "lh" else zoo.load(kind)
    assert tail.tail_violation(functional, [label]) < 0.02


@SYSTEMS
def test_a_semilocal_potential_has_no_coulomb_tail(label):
    functional = reference("pbe")
    functional.name = "tail_of_pbe"
    assert tail.tail_violation(functional, [label]) > 0.5


@SYSTEMS
def test_a_tenth_of_exchange_that_is_missing_is_seen(label):
    functional = violator(WeakExchange, LocalHybrid, 0.4)
    assert tail.tail_violation(functional, [label]) == pytest.approx(0.1, abs=0.01)


class LessShortRange:
    """Full exact exchange without three tenths of its short-range part, written as a local hybrid."""

    name, xc_type, omega, sr_fraction, lr_fraction, local_omega = "mlxc_less_lh", "MGGA", 0.0, 1.0, 1.0, 0.4

    def edens(self, density):
        return 0 * density.n

    def replacement(self, density, exact):
        return -0.3 * exact.sum(0) + 0 * density.n


class RangeSeparated(LessShortRange):
    """The same as a range-separated hybrid, whose exchange the host program computes; it has no `replacement`."""

    name, omega, sr_fraction, replacement = "mlxc_less_rs", 0.4, 0.7, property()


def test_a_constant_local_hybrid_is_a_range_separated_one():
    """Together the terms of the local exchange are 0.009 at 4 bohr; their integral is on a coarse grid."""
    r, system = np.array([4.0, 5.0, 6.0, 8.0]), tail.SYSTEMS["Ne"]
    local, separated = tail.tail(LessShortRange(), system, r), tail.tail(RangeSeparated(), system, r)
    np.testing.assert_allclose(local, separated, atol=1e-4)
    full = tail.tail(type("Full", (RangeSeparated,), {"name": "mlxc_full", "omega": 0.0, "sr_fraction": 1.0})(),
                     system, r)
    assert full[0] - separated[0] < -0.005


def test_the_operator_at_points_is_that_of_the_fock_matrix(lh):
    """∫ φ_H F_xc φ_H dr = (C_Hᵀ F_xc C_H), of helium; the two terms of the local exchange integrate to the same."""
    mf = scf.run(scf.kohn_sham("RKS", scf.molecule("He 0 0 0", basis="6-31g"), lh, level=3))
    orbital, weights, coords = mf.mo_coeff[:, :1], mf.grids.weights, mf.grids.coords
    phi = dft.numint.eval_ao(mf.mol, coords) @ orbital
    applied = (tail._exact_exchange(mf.mol, coords, orbital, phi, 0, lh)
               + tail._semilocal(mf.mol, coords, orbital, 0, lh)
               + 2 * tail._local_exchange_here(mf.mol, coords, orbital, phi, 0, lh))
    dm = mf.make_rdm1()
    expected = orbital[:, 0] @ (mf.get_veff(dm=dm) - mf.get_j(dm=dm)) @ orbital[:, 0]
    assert weights @ (phi[:, 0] * applied) == pytest.approx(expected, abs=1e-5)


def test_the_extrapolation_is_exact_for_multipoles():
    assert tail.extrapolated(tail.TAIL, -1 - 0.3 / tail.TAIL + 2 / tail.TAIL**2) == pytest.approx(-1, abs=1e-9)
    assert np.isnan(tail.extrapolated(tail.TAIL, np.full(9, np.nan)))
