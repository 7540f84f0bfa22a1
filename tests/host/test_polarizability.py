"""Static polarisability: against dipoles in finite fields, for local hybrids and for the others."""

import numpy as np
import pytest
from pyscf import dft, gto

import mlxc
from mlxc.errors import InvalidInput, Unsupported
from mlxc.host.polarizability import polarizability
from tests.host.support import converged, derivative, moved, on_small_grid


def moment(mf, field: float) -> np.ndarray:
    """∫ r n(r) dr of a calculation in a field along z, (3,)."""
    dipole, core = mf.mol.intor_symmetric("int1e_r"), mf.mol.intor("int1e_kin") + mf.mol.intor("int1e_nuc")
    mf.get_hcore = lambda *_: core + field * dipole[2]
    dm = np.asarray(on_small_grid(mf).make_rdm1())
    return np.einsum("xij,ij->x", dipole, dm.sum(0) if dm.ndim == 3 else dm)


@pytest.mark.parametrize("kind", ["RKS", pytest.param("UKS", marks=pytest.mark.slow)])
def test_polarizability_is_the_second_derivative_in_a_field(kind, lh, hydrogen, cation):
    make, mol = getattr(dft, kind), hydrogen if kind == "RKS" else cation
    found = mlxc.polarizability(on_small_grid(make(mol, xc=lh)))
    np.testing.assert_allclose(found, found.T, rtol=0, atol=1e-7)
    numeric = derivative(lambda field: moment(make(mol, xc=lh), field), 4e-3)
    np.testing.assert_allclose(found[2], -numeric, rtol=0, atol=1e-6)


def test_a_solvent_follows_the_field(lh, hydrogen):
    found = mlxc.polarizability(on_small_grid(dft.RKS(hydrogen, xc=lh).PCM()))
    numeric = derivative(lambda field: moment(dft.RKS(hydrogen, xc=lh).PCM(), field), 4e-3)
    np.testing.assert_allclose(found[2], -numeric, rtol=0, atol=1e-5)


def test_polarizability_of_another_functional_or_geometry_is_refused(xc, lh, hydrogen):
    mf = converged(dft.RKS(hydrogen, xc=xc))
    mf.xc = lh
    with pytest.raises(InvalidInput, match="was calculated with xc = .* again"):
        polarizability(mf)
    mf.xc = xc.upper()
    assert polarizability(mf).any()
    mf.reset(moved(hydrogen, np.array([[0, 0, 0], [0, 0, 0.1]])))
    with pytest.raises(InvalidInput, match="atoms are not where they were"):
        polarizability(mf)


@pytest.mark.parametrize("change", [{"charge": 2}, {"basis": "sto-3g"}])
def test_polarizability_of_another_molecule_is_refused(xc, hydrogen, change):
    mf = converged(dft.RKS(hydrogen, xc=xc))
    other = hydrogen.copy()
    mf.reset(other.build(False, False, **change))
    with pytest.raises(InvalidInput, match="elements, basis, charge or spin of mf.mol are not those"):
        polarizability(mf)


def test_polarizability_of_other_functionals(xc, hydrogen):
    restricted = converged(dft.RKS(hydrogen, xc=xc))
    unrestricted = converged(dft.UKS(hydrogen, xc=xc))
    np.testing.assert_allclose(polarizability(restricted), polarizability(unrestricted), rtol=0, atol=1e-7)


def test_polarizability_without_virtual_orbitals(xc):
    mf = converged(dft.RKS(gto.M(atom="He 0 0 0", basis="sto-3g", verbose=0), xc=xc))
    assert not polarizability(mf).any()


def test_polarizability_refuses_what_it_cannot(xc, water, cation):
    with pytest.raises(InvalidInput, match="run mf.kernel"):
        polarizability(dft.RKS(water, xc=xc))
    with pytest.raises(InvalidInput, match="expected an RKS or UKS"):
        polarizability(water)
    with pytest.raises(Unsupported, match="restricted open shell"):
        polarizability(dft.ROKS(cation, xc=xc))
    mf = dft.RKS(water, xc=xc).set(converged=True)
    mf.mo_energy, mf.mo_coeff, mf.mo_occ = np.arange(7.0), np.eye(7), np.array([2, 2, 2, 2, 1, 1, 0])
    with pytest.raises(Unsupported, match="fractional"):
        polarizability(mf)
