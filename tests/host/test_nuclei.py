"""Forces and Hessians of whole calculations with the learned functional, against differences of energies and forces."""

import numpy as np
import pytest
from pyscf import dft, gto, scf

import mlxc
from tests.host.support import converged, derivative, direction, moved

KINDS = {
    "RKS": lambda mol, xc: dft.RKS(mol, xc=xc),
    "UKS": lambda mol, xc: dft.UKS(mol, xc=xc),
    "ROKS": lambda mol, xc: dft.ROKS(mol, xc=xc),
    "density fitting": lambda mol, xc: dft.UKS(mol, xc=xc).density_fit(auxbasis="weigend"),
    "RKS, density fitting": lambda mol, xc: dft.RKS(mol, xc=xc).density_fit(auxbasis="weigend"),
    "newton": lambda mol, xc: dft.RKS(mol, xc=xc).newton(),
    "x2c": lambda mol, xc: dft.RKS(mol, xc=xc).sfx2c1e(),
    "VV10 by hand": lambda mol, xc: dft.RKS(mol, xc=xc).set(nlc="vv10"),
    "VV10 in the name": lambda mol, xc: dft.RKS(mol, xc="toy_vv10"),
    "D4": lambda mol, xc: dft.RKS(mol, xc=xc).set(disp="d4"),
    "PCM": lambda mol, xc: dft.RKS(mol, xc=xc).PCM(),
}


def _calculation(kind, mol, xc, level=0):
    mf = KINDS[kind](mol, xc)
    mf.nlcgrids.level = 0
    if kind != "newton":
        return converged(mf, level)
    mf.grids.level, mf.conv_tol = level, 1e-11
    return mf.run()


def _force(mf, grid_response=True):
    gradients = mf.nuc_grad_method()
    gradients.grid_response = grid_response
    return gradients.kernel()


def _molecule(kind, water, cation):
    return cation if kind in ("UKS", "ROKS", "density fitting") else water


@pytest.mark.parametrize("kind", KINDS)
def test_forces_are_derivatives_of_the_energy(kind, xc, water, cation):
    mol = _molecule(kind, water, cation)
    step = direction(mol.natm, 3)
    numeric = derivative(lambda t: _calculation(kind, moved(mol, t * step), xc).e_tot, 5e-3)
    analytic = np.vdot(_force(_calculation(kind, mol, xc)), step)
    # PCM solves for its surface charges, and second-order SCF for its orbitals, less tightly than the others
    assert analytic == pytest.approx(numeric, abs={"PCM": 1e-5, "newton": 2e-6}.get(kind, 2e-7))


def test_forces_without_grid_response_are_close_on_a_fine_grid(xc, hydrogen):
    mf = converged(dft.RKS(hydrogen, xc=xc), level=3)
    np.testing.assert_allclose(_force(mf, grid_response=False), _force(mf), rtol=0, atol=1e-4)


def test_force_scanners_and_mlxc_objects_have_one_force(xc, hydrogen):
    expected = converged(dft.RKS(hydrogen, xc=xc)).nuc_grad_method().kernel()
    for mf in (mlxc.RKS(hydrogen, xc=xc), mlxc.UKS(hydrogen, xc=xc), mlxc.attach(dft.ROKS(hydrogen), xc)):
        np.testing.assert_allclose(converged(mf).nuc_grad_method().kernel(), expected, rtol=0, atol=1e-7)
    scanner = dft.RKS(hydrogen, xc=xc).nuc_grad_method().as_scanner()
    scanner.base.grids.level, scanner.base.conv_tol = 0, 1e-11
    scanner(moved(hydrogen, 0.1 * direction(2, 3)))
    np.testing.assert_allclose(scanner(hydrogen)[1], expected, rtol=0, atol=1e-7)


def test_the_force_calls_the_network(xc, hydrogen, calls):
    mf = converged(dft.RKS(hydrogen, xc=xc))
    calls.clear()
    mf.nuc_grad_method().kernel()
    assert calls


def test_a_geometry_optimiser_finds_the_minimum(xc):
    from pyscf.geomopt import geometric_solver

    mol = gto.M(atom="H 0 0 0; H 0 0 0.9", basis="6-31g", verbose=0)
    mf = dft.RKS(mol, xc=xc)
    mf.grids.level = 0
    found = geometric_solver.optimize(mf, maxsteps=20)
    bond = np.linalg.norm(np.diff(found.atom_coords(), axis=0))
    assert abs(converged(dft.RKS(found, xc=xc)).nuc_grad_method().kernel()).max() < 1e-3
    assert 1.2 < bond < 1.7


@pytest.mark.parametrize("kind", [
    "RKS",
    pytest.param("UKS", marks=pytest.mark.slow),
    "RKS, density fitting",
    pytest.param("density fitting", marks=pytest.mark.slow),
    pytest.param("VV10 by hand", marks=pytest.mark.slow),
    pytest.param("VV10 in the name", marks=pytest.mark.slow),
    "D4",
    pytest.param("PCM", marks=pytest.mark.slow),
])
def test_hessians_are_derivatives_of_the_force(kind, xc, hydrogen):
    """PySCF's Hessian leaves the response of the grid out, so on one where that is small."""
    radical = gto.M(atom="H 0 0.1 0; H 0.1 0.2 0.9; H 0.4 0.3 1.9", basis="6-31g", spin=1, verbose=0)
    mol = radical if kind in ("UKS", "density fitting") else hydrogen
    step = direction(mol.natm, 3)
    numeric = derivative(lambda t: _force(_calculation(kind, moved(mol, t * step), xc, level=3)), 5e-3)
    hessian = _calculation(kind, mol, xc, level=3).Hessian()
    analytic = np.einsum("ijxy,jy->ix", hessian.kernel(), step)
    np.testing.assert_allclose(analytic, numeric, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", [
    "singlet",
    pytest.param("triplet", marks=pytest.mark.slow),
    pytest.param("UKS", marks=pytest.mark.slow),
])
def test_excited_state_forces_are_derivatives_of_the_energy(kind, xc, hydrogen):
    """The only user of third derivatives; without grid response, so on a larger grid and along the bond."""

    def state(mol):
        mf = converged((dft.UKS if kind == "UKS" else dft.RKS)(mol, xc=xc), level=2)
        td = mf.TDA()
        td.nstates, td.conv_tol = 1, 1e-9
        if kind == "triplet":
            td.singlet = False
        return td.run()

    bond = np.diff(hydrogen.atom_coords(), axis=0)[0]
    step = np.array([0 * bond, bond / np.linalg.norm(bond)])
    numeric = derivative(lambda t: state(moved(hydrogen, t * step)).e_tot[0], 5e-3)
    force = state(hydrogen).nuc_grad_method()
    force.cphf_conv_tol = 1e-10
    assert np.vdot(force.kernel(), step) == pytest.approx(numeric, abs=1e-3)


def test_forces_in_an_atom_vanish(xc):
    mol = gto.M(atom="O 0 0 0", basis="6-31g", spin=2, verbose=0)
    mf = scf.addons.frac_occ(dft.UKS(mol, xc=xc))
    mf.grids.level = 0
    mf.kernel()
    np.testing.assert_allclose(mf.nuc_grad_method().kernel(), 0, atol=1e-8)
