"""Forces with a local hybrid: of the local part at a fixed density, and of whole calculations in every wrapping."""

import numpy as np
import pytest
import torch
from pyscf import dft, grad, gto

import mlxc
from mlxc.host import seam
from mlxc.host.local import LocalPart, Settings
from mlxc.host.local_gradient import density_gradient, local_gradient
from mlxc.xc.functional import LocalHybrid
from tests.functionals import random_local_hybrid
from tests.host.support import WATER, WEIGHTS, converged, derivative, direction, moved

XC = "toy_lh_forces"
HEH = "He 0 0 0; H 0.1 0.2 0.77"

KINDS = {
    "RKS": dft.RKS,
    "UKS": dft.UKS,
    "ROKS": dft.ROKS,
    "RKS, density fitting": lambda mol, xc: dft.RKS(mol, xc=xc).density_fit(auxbasis="weigend"),
    "UKS, density fitting": lambda mol, xc: dft.UKS(mol, xc=xc).density_fit(auxbasis="weigend"),
    "PCM": lambda mol, xc: dft.RKS(mol, xc=xc).PCM(),
}


@pytest.fixture(scope="module", autouse=True)
def functional() -> LocalHybrid:
    """A local hybrid whose random weights matter."""
    made = random_local_hybrid(WEIGHTS, seed=1, local_omega=0.3, name=XC)
    seam.register(made)
    return made


@pytest.fixture(scope="module")
def ion() -> gto.Mole:
    return gto.M(atom=HEH, basis="6-31g", charge=1, verbose=0)


@pytest.fixture(scope="module")
def radical() -> gto.Mole:
    return gto.M(atom=HEH, basis="6-31g", spin=1, verbose=0)


@pytest.fixture(scope="module")
def fitted(ion):
    """A converged closed-shell calculation with density fitting."""
    return calculation("RKS, density fitting", ion)


def calculation(kind: str, mol: gto.Mole):
    """A converged calculation with both grids small."""
    return converged(mlxc.set_local_exchange(KINDS[kind](mol, XC), grid_level=0))


def force(mf, grid_response: bool = True, **settings) -> np.ndarray:
    return mf.nuc_grad_method().set(grid_response=grid_response, **settings).kernel()


# ------------------------------------------------------------------------------------------ the local part


@pytest.mark.parametrize("charge", [0, 1])
def test_gradient_of_the_local_part_is_the_derivative_of_its_energy(functional, charge):
    mol = gto.M(atom=WATER, basis="sto-3g", charge=charge, spin=charge, verbose=0)
    dm, step, settings = mol.apply("UHF" if charge else "RHF").run().make_rdm1(), direction(3, 3), Settings(0)

    def energy(t):
        return LocalPart(functional, moved(mol, t * step), settings, 2000).energy_and_potential(dm)[0]

    part = LocalPart(functional, mol, settings, 2000)
    with_grid = local_gradient(part, dm, grid_response=True).numpy()
    assert np.vdot(with_grid, step) == pytest.approx(derivative(energy, 2e-3), abs=1e-8)
    np.testing.assert_allclose(with_grid.sum(0), 0, atol=1e-10)
    assert abs(local_gradient(part, dm).numpy() - with_grid).max() > 1e-4


@pytest.mark.parametrize("shape", [(5,), (2, 5)])
def test_density_gradient_is_the_derivative_of_the_density_rows(functional, ion, shape):
    generator = np.random.default_rng(2)
    half = generator.normal(size=(*shape[:-1], ion.nao, ion.nao))
    dm, step = half + half.swapaxes(-1, -2), direction(2, 3)
    part = LocalPart(functional, ion, Settings(0), 2000)
    v = torch.from_numpy(generator.normal(size=(*shape, len(part.weights))))
    v[..., ::7] = 0
    nuclei, points = density_gradient(part.exchange.grid, dm, v)
    coords, steps = part.grids.coords, direction(*part.grids.coords.shape)

    def energy(mol, coords):
        ao = dft.numint.eval_ao(mol, coords, deriv=1)
        rows = [dft.numint.eval_rho(mol, ao, d, xctype="MGGA", hermi=1, with_lapl=False)
                for d in dm.reshape(-1, ion.nao, ion.nao)]
        return (v.numpy().reshape(-1, len(coords)) * np.concatenate(rows)).sum(0)

    expected = derivative(lambda t: energy(moved(ion, t * step), coords).sum(), 1e-3)
    assert np.vdot(nuclei.numpy(), step) == pytest.approx(expected, rel=1e-8)
    expected = derivative(lambda t: energy(ion, coords + t * steps), 1e-2)
    np.testing.assert_allclose((points.numpy() * steps).sum(1), expected, rtol=1e-6, atol=1e-8)


# ---------------------------------------------------------------------------------------- whole calculations


@pytest.mark.parametrize("kind", KINDS)
def test_forces_are_derivatives_of_the_energy(kind, ion, radical):
    mol = ion if kind.startswith(("RKS", "PCM")) else radical
    step = direction(mol.natm, 3)
    numeric = derivative(lambda t: calculation(kind, moved(mol, t * step)).e_tot, 5e-3)
    analytic = force(calculation(kind, mol))
    # PCM solves for its surface charges less tightly than the others
    assert np.vdot(analytic, step) == pytest.approx(numeric, abs=1e-5 if kind == "PCM" else 1e-7)
    np.testing.assert_allclose(analytic.sum(0), 0, atol=1e-5 if kind == "PCM" else 1e-9)


def test_closed_shell_forces_of_rks_uks_and_roks_are_equal(ion):
    expected = force(calculation("RKS", ion), False)
    for kind in ("UKS", "ROKS"):
        np.testing.assert_allclose(force(calculation(kind, ion), False), expected, rtol=0, atol=1e-7)


def test_forces_without_grid_response_are_close_on_the_default_grid(functional, water):
    dm, errors = water.RHF().run().make_rdm1(), []
    for settings in (Settings(0), Settings()):
        part = LocalPart(functional, water, settings, 2000)
        errors.append(float(abs(local_gradient(part, dm) - local_gradient(part, dm, True)).max()))
    assert 10 * errors[1] < errors[0] and errors[1] < 5e-4


WRAPPERS = {
    "density fitting": lambda mf: mf.density_fit(auxbasis="weigend"),
    "PCM": lambda mf: mf.PCM(),
    "x2c": lambda mf: mf.sfx2c1e(),
    "newton": lambda mf: mf.newton(),
}


def wrapped(mol: gto.Mole, *wrappers: str):
    """An RKS object with both grids small, wrapped in the given order."""
    mf = mlxc.set_local_exchange(dft.RKS(mol, xc=XC), grid_level=0)
    mf.grids.level = 0
    for name in wrappers:
        mf = WRAPPERS[name](mf)
    return mf.set(conv_tol=1e-11)


@pytest.mark.parametrize("wrappers", [
    (), ("density fitting",), ("x2c",), ("x2c", "density fitting"), ("density fitting", "x2c"),
    ("PCM",), ("density fitting", "PCM"),
], ids="-".join)
def test_second_order_solvers_have_the_forces_of_what_they_wrap(ion, wrappers):
    from pyscf.df.grad import rks as df_rks
    from pyscf.solvent.grad.pcm import WithSolventGrad

    mf = wrapped(ion, *wrappers).run()
    second_order = WRAPPERS["newton"](mf)
    second_order.kernel(mf.mo_coeff, mf.mo_occ)
    assert second_order.e_tot == pytest.approx(mf.e_tot, abs=1e-9)
    for gradients in (mf.nuc_grad_method(), second_order.nuc_grad_method()):
        assert isinstance(gradients, df_rks.Gradients if "density fitting" in wrappers else grad.rks.Gradients)
        assert isinstance(gradients, WithSolventGrad) == ("PCM" in wrappers)
    np.testing.assert_allclose(force(second_order), force(mf), rtol=0, atol=1e-5)


def test_density_fitting_and_x2c_commute(ion):
    one, other = (wrapped(ion, *order).run() for order in (("x2c", "density fitting"), ("density fitting", "x2c")))
    np.testing.assert_allclose(force(one), force(other), rtol=0, atol=1e-8)


@pytest.mark.parametrize("xc", [XC, "own_pbe"])
@pytest.mark.parametrize("wrappers", [
    ("newton", "density fitting"), ("newton", "PCM"), ("newton", "x2c"), ("density fitting", "newton", "PCM"),
], ids="-".join)
def test_wrappers_that_newton_does_not_know_of_are_refused(ion, wrappers, xc):
    """PySCF takes the energy from inside, without them, and the gradient from outside."""
    mf = mlxc.attach(wrapped(ion, *wrappers), xc)
    with pytest.raises(mlxc.Unsupported, match="before newton"):
        mf.nuc_grad_method().grad_elec()


def test_density_fitting_in_a_solvent_is_refused_by_pyscf(ion):
    with pytest.raises(NotImplementedError, match="Solvent must be applied after density fitting"):
        dft.RKS(ion, xc=XC).PCM().density_fit().nuc_grad_method()


@pytest.mark.parametrize("atoms", [[1], [1, 0]])
def test_forces_of_some_atoms(fitted, atoms):
    whole = force(fitted)
    np.testing.assert_allclose(force(fitted, atmlst=atoms), whole[atoms], rtol=0, atol=1e-12)


def test_forces_of_one_electron_are_hartree_focks():
    """Where one orbital is occupied the local part is zero, on any grid."""
    mol = gto.M(atom="H 0 0 0; H 0 0.1 1.1", basis="6-31g", charge=1, spin=1, verbose=0)
    expected = mol.UHF().set(conv_tol=1e-12).run().nuc_grad_method().kernel()
    for grid_response in (False, True):
        found = force(calculation("UKS", mol), grid_response)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7)


def test_symmetry(ion):
    mol = gto.M(atom="H 0 0 -0.9; He 0 0 0; H 0 0 0.9", basis="sto-3g", charge=2, verbose=0)
    expected = force(calculation("RKS", mol))
    mol = mol.copy()
    mol.symmetry = True
    found = force(calculation("RKS", mol.build()))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7)


def test_force_scanners_follow_the_geometry(ion, fitted):
    mf = mlxc.set_local_exchange(KINDS["RKS, density fitting"](ion, XC), grid_level=0)
    scanner = mf.nuc_grad_method().as_scanner()
    scanner.grid_response, scanner.base.grids.level, scanner.base.conv_tol = True, 0, 1e-11
    scanner(moved(ion, 0.1 * direction(2, 3)))
    np.testing.assert_allclose(scanner(ion)[1], force(fitted), rtol=0, atol=1e-7)


@pytest.mark.parametrize("refused", [
    lambda mf: mf.Hessian().kernel(),
    lambda mf: dft.RKS(mf.mol, xc=XC).run().TDA().run(nstates=1).nuc_grad_method().kernel(),
    lambda mf: grad.rks.get_vxc(mf._numint, mf.mol, mf.grids, mf.xc, mf.make_rdm1()),
    lambda mf: grad.rks.get_vxc_full_response(mf._numint, mf.mol, mf.grids, mf.xc, mf.make_rdm1()),
], ids=["Hessian", "excited state", "semilocal gradient alone", "semilocal gradient alone, grid response"])
def test_what_would_leave_the_local_part_out_is_refused(fitted, refused):
    with pytest.raises(mlxc.Unsupported, match=XC):
        refused(fitted)


def test_other_functionals_keep_their_forces(ion):
    found = force(converged(dft.RKS(ion, xc="own_pbe")))
    np.testing.assert_allclose(found, force(converged(dft.RKS(ion, xc="pbe"))), rtol=0, atol=1e-7)
    hartree_fock = ion.RHF().run().nuc_grad_method().kernel()
    np.testing.assert_allclose(ion.UHF().run().nuc_grad_method().kernel(), hartree_fock, rtol=0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["RKS", "UKS", "ROKS", "RKS, density fitting", "UKS, density fitting"])
def test_forces_in_water_are_derivatives_of_the_energy(kind):
    charge = 0 if kind.startswith("RKS") else 1
    mol, step = gto.M(atom=WATER, basis="6-31g", charge=charge, spin=charge, verbose=0), direction(3, 3)
    numeric = derivative(lambda t: calculation(kind, moved(mol, t * step)).e_tot, 5e-3)
    assert np.vdot(force(calculation(kind, mol)), step) == pytest.approx(numeric, abs=1e-7)


@pytest.mark.slow
def test_a_geometry_optimiser_finds_waters_minimum():
    from pyscf.geomopt import geometric_solver

    mol = gto.M(atom=WATER, basis="sto-3g", verbose=0)
    mf = mlxc.set_local_exchange(dft.RKS(mol, xc=XC), grid_level=0)
    gradients = mf.nuc_grad_method().set(grid_response=True)
    gradients.base.grids.level = 0
    found = geometric_solver.optimize(gradients, maxsteps=30)
    assert abs(force(calculation("RKS", found))).max() < 1e-3
    lengths = np.linalg.norm(found.atom_coords()[1:] - found.atom_coord(0), axis=1)
    np.testing.assert_allclose(lengths[0], lengths[1], atol=2e-3)
    assert 1.6 < lengths[0] < 2.2


@pytest.mark.parametrize("atoms, basis, ecp", [
    ("H 0 0 0; H 0 0 0.74; ghost-H 0 0.3 1.6", "sto-3g", {}),
    ("Na 0 0 0; H 0 0 1.89", "lanl2dz", "lanl2dz"),
], ids=("ghost", "core potential"))
def test_grid_response_with_atoms_whose_charge_is_not_their_elements(atoms, basis, ecp):
    mol = gto.M(atom=atoms, basis=basis, ecp=ecp, verbose=0)
    step = np.zeros((mol.natm, 3))
    step[1, 2] = 1.0
    numeric = derivative(lambda t: converged(dft.RKS(moved(mol, t * step), xc=XC), level=1).e_tot, 5e-3)
    mf = converged(dft.RKS(mol, xc=XC), level=1)
    gradients = mf.nuc_grad_method()
    gradients.grid_response = True
    assert gradients.kernel()[1, 2] == pytest.approx(numeric, abs=1e-7)
