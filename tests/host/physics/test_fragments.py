"""Separated fragments: their energies add up, and a functional that connects them is seen."""

import numpy as np
import pytest
from pyscf import gto

from mlxc import zoo
from mlxc.host.physics import fragments
from mlxc.xc.functional import LocalHybrid, RangeSeparated
from tests.violators import NotAdditive, violator


@pytest.mark.parametrize("kind", ["lh", "mlxc_rs"])
def test_two_hydrogen_atoms_are_twice_one(lh, kind):
    assert fragments.size_consistency_violation(lh if kind == "lh" else zoo.load(kind)) < 1e-7


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lh", "mlxc_rs"])
def test_an_ion_and_a_molecule_add_up_but_for_their_electrostatics(lh, kind):
    assert fragments.ion_and_molecule_violation(lh if kind == "lh" else zoo.load(kind)) < 1e-6


def test_an_energy_that_is_not_additive_is_seen():
    functional = violator(NotAdditive, RangeSeparated, 0.4)
    assert fragments.size_consistency_violation(functional) > 2e-7
    assert fragments.ion_and_molecule_violation(functional) > 2e-6


@pytest.mark.slow
def test_an_energy_of_a_local_hybrid_that_is_not_additive_is_seen():
    assert fragments.ion_and_molecule_violation(violator(NotAdditive, LocalHybrid, 0.4)) > 2e-6


def test_the_potential_of_a_molecule_far_away_is_its_dipoles():
    mf = gto.M(atom=fragments.WATER, basis="sto-3g", verbose=0).RHF().run()
    dipole = mf.dip_moment(unit="au", verbose=0)[2]
    far = np.array([0.0, 0.0, 200.0])
    potential = fragments.electrostatic_potential(mf.mol, mf.make_rdm1(), far)
    assert potential == pytest.approx(dipole / 200**2, rel=0.02)
