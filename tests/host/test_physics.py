"""Laws that a self-consistent calculation shows: they hold for the shipped model, and each measure sees a violator."""

import numpy as np
import pytest
from pyscf import dft, gto
from scipy.linalg import block_diag

import mlxc
from mlxc.host import physics
from mlxc.xc.reference import reference
from tests.functionals import random_functional


@pytest.mark.parametrize("constraint", physics.CONSTRAINTS, ids=lambda c: c.id)
def test_the_shipped_model_obeys(constraint):
    assert constraint.violation(mlxc.load("mlxc_rs")) <= constraint.tolerance


def own(name):
    """A functional of libxc's form under a name of its own."""
    functional = reference(name)
    functional.name = f"tail_of_{name}"
    return functional


def test_a_semilocal_potential_has_no_coulomb_tail():
    assert physics.tail_violation(own("pbe")) > 0.5


def test_one_electron_energies_of_a_semilocal_functional_are_not_hartree_focks():
    assert physics.one_electron_violation(own("pbe")) == pytest.approx(3.8, abs=0.3)


def test_an_energy_that_is_not_additive_is_seen(monkeypatch):
    functional = random_functional()
    functional.name = "not_additive"
    whole = functional.edens
    monkeypatch.setattr(functional, "edens", lambda d: whole(d) * (1 + 1e-3 * (d.rho[1] > 1e-8).double()))
    assert physics.size_consistency_violation(functional) > 1e-5


@pytest.mark.slow
def test_an_ion_and_a_molecule_far_apart_add_up_but_for_their_electrostatics():
    """H₂O…F⁻ at 50 Å: what remains is the charge in the field of the dipole, taken from the water molecule alone."""
    water, ion = "O 0 0 0; H 0 0.757 0.587; H 0 -0.757 0.587", "F 0 0 50"
    make = lambda atoms, charge: dft.RKS(gto.M(atom=atoms, charge=charge, basis="aug-cc-pvdz", verbose=0),  # noqa: E731
                                         xc="mlxc_rs").set(conv_tol=1e-11)
    parts = [make(water, 0).run(), make(ion, -1).run()]
    pair = make(f"{water}; {ion}", -1)
    pair.kernel(block_diag(*(mf.make_rdm1() for mf in parts)))
    bohr = 0.529177210903
    dipole = parts[0].dip_moment(unit="au", verbose=0)[2]
    expected = -dipole / (50 / bohr) ** 2
    assert pair.e_tot - sum(mf.e_tot for mf in parts) == pytest.approx(expected, abs=2e-6)
    assert np.sign(expected) == -np.sign(dipole)
