"""The mean of a range-separated and a local hybrid in PySCF: local and range-separated exact exchange at once."""

import numpy as np
import pytest
from pyscf import dft, gto

import mlxc
from mlxc.errors import Unsupported
from mlxc.host import seam
from mlxc.xc.mean_of_forms import RangeSeparatedLocalHybrid
from tests.functionals import random_functional, random_local_hybrid
from tests.host.support import WATER, converged, derivative, direction, moved

KINDS = {
    "RKS": lambda xc: dft.RKS(ion(), xc=xc),
    "UKS": lambda xc: dft.UKS(radical(), xc=xc),
    "ROKS": lambda xc: dft.ROKS(radical(), xc=xc),
    "density fitting": lambda xc: dft.UKS(radical(), xc=xc).density_fit(auxbasis="weigend"),
    "x2c": lambda xc: dft.UKS(radical(), xc=xc).sfx2c1e(),
}

HALVES = ("toy_half_rs", "toy_half_lh")
BOTH = "toy_both"


@pytest.fixture(scope="module", autouse=True)
def functionals():
    rs, lh = random_functional(0.3), random_local_hybrid(0.3, name=HALVES[1], hole=False)
    rs.name = HALVES[0]
    for functional in (rs, lh, RangeSeparatedLocalHybrid(rs, lh, BOTH)):
        seam.register(functional)


def ion():
    return gto.M(atom="H 0 0 0; He 0 0.2 0.8", basis="6-31g", charge=1, verbose=0)


def radical():
    return gto.M(atom=WATER, basis="sto-3g", charge=1, spin=1, verbose=0)


def small(mf):
    mf.grids.level = 0
    return mlxc.set_local_exchange(mf, grid_level=0) if seam.local_hybrid(mf.xc) else mf


def rotated(mf) -> np.ndarray:
    """A change of the density matrix that a rotation of the orbitals makes, of each spin."""
    generator = np.random.default_rng(1)

    def change(c, occupied):
        x = c[:, ~occupied] @ generator.normal(size=(sum(~occupied), sum(occupied))) @ c[:, occupied].T
        return x + x.T

    if np.ndim(mf.mo_occ) == 1:
        return change(mf.mo_coeff, mf.mo_occ > 0)
    return np.array([change(c, occ > 0) for c, occ in zip(mf.mo_coeff, mf.mo_occ, strict=True)])


def beside(mf, kind: str, xc: str):
    """An object with another functional and the same orbitals."""
    other = small(KINDS[kind](xc))
    other.mo_coeff, other.mo_occ, other.mo_energy = mf.mo_coeff, mf.mo_occ, mf.mo_energy
    other.grids.build()
    return other


@pytest.mark.parametrize("kind", KINDS)
def test_energy_and_fock_matrix_are_the_means(kind):
    mf = small(KINDS[kind](BOTH)).run(conv_tol=1e-11)
    assert mf.converged
    dm = mf.make_rdm1()
    energies, focks = zip(*((f.energy_tot(dm), np.asarray(f.get_fock(dm=dm)))
                            for f in (beside(mf, kind, xc) for xc in (BOTH, *HALVES))), strict=True)
    assert energies[0] == pytest.approx(np.mean(energies[1:]), abs=1e-9) == pytest.approx(mf.e_tot, abs=1e-9)
    np.testing.assert_allclose(focks[0], np.mean(focks[1:], axis=0), rtol=0, atol=1e-8)
    assert np.abs(focks[1] - focks[2]).max() > 1e-2


@pytest.mark.parametrize("hermi", (0, 1))
@pytest.mark.parametrize("kind", ("RKS", "UKS", "density fitting"))
def test_response_is_the_mean(kind, hermi):
    mf = small(KINDS[kind](BOTH)).run(conv_tol=1e-11)
    found = [np.asarray(beside(mf, kind, xc).gen_response(mf.mo_coeff, mf.mo_occ, hermi=hermi)(rotated(mf)))
             for xc in (BOTH, *HALVES)]
    np.testing.assert_allclose(found[0], np.mean(found[1:], axis=0), rtol=0, atol=1e-8)
    assert np.abs(found[1] - found[2]).max() > 1e-2


@pytest.mark.parametrize("kind", ("RKS", "UKS", "density fitting"))
def test_forces_are_the_means(kind):
    """At one density: levels enter as diagonals of each Fock matrix, whose other elements cancel in the sum."""
    mf = small(KINDS[kind](BOTH)).run(conv_tol=1e-11, conv_tol_grad=1e-7)
    found = []
    for xc in (BOTH, *HALVES):
        each = beside(mf, kind, xc)
        fock = np.asarray(each.get_fock(dm=mf.make_rdm1()))
        c = np.asarray(mf.mo_coeff)
        levels = np.einsum("...pi,...pq,...qi->...i", c, fock, c)
        found.append(each.nuc_grad_method().kernel(mo_energy=levels, mo_coeff=c, mo_occ=mf.mo_occ))
    np.testing.assert_allclose(found[0], np.mean(found[1:], axis=0), rtol=0, atol=1e-7)
    assert np.abs(found[1] - found[2]).max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("kind", ("RKS", "ROKS", "PCM"))
def test_forces_that_follow_the_grid_are_derivatives_of_the_energy(kind):
    mol = gto.M(atom="He 0 0 0; H 0.1 0.2 0.77", basis="6-31g", charge=int(kind != "ROKS"), spin=int(kind == "ROKS"),
                verbose=0)

    def calculation(mol):
        mf = dft.ROKS(mol, xc=BOTH) if kind == "ROKS" else dft.RKS(mol, xc=BOTH)
        return converged(mlxc.set_local_exchange(mf.PCM() if kind == "PCM" else mf, grid_level=0))

    step = direction(mol.natm, 3)
    numeric = derivative(lambda t: calculation(moved(mol, t * step)).e_tot, 5e-3)
    force = calculation(mol).nuc_grad_method().set(grid_response=True).kernel()
    # PCM solves for its surface charges less tightly than the others
    assert np.vdot(force, step) == pytest.approx(numeric, abs=1e-5 if kind == "PCM" else 1e-7)


def test_polarizability_is_the_second_derivative_in_a_field():
    mol = ion()
    dipole, core = mol.intor_symmetric("int1e_r"), mol.intor("int1e_kin") + mol.intor("int1e_nuc")

    def moment(field: float) -> np.ndarray:
        mf = dft.RKS(mol, xc=BOTH)
        mf.get_hcore = lambda *_: core + field * dipole[2]
        return np.einsum("xij,ij->x", dipole, small(mf).run(conv_tol=1e-12, conv_tol_grad=1e-8).make_rdm1())

    found = mlxc.polarizability(small(dft.RKS(mol, xc=BOTH)).run(conv_tol=1e-12, conv_tol_grad=1e-8))
    np.testing.assert_allclose(found[2], -derivative(moment, 4e-3), rtol=0, atol=1e-6)
    assert found[2, 2] > 0.1


def test_second_order_scf_and_excitations_agree_with_it():
    """Newton steps end where DIIS does, and the lowest excitation of the mean is none of its halves'."""
    mf = small(KINDS["RKS"](BOTH)).run(conv_tol=1e-11)
    assert small(KINDS["RKS"](BOTH)).newton().run(conv_tol=1e-11).e_tot == pytest.approx(mf.e_tot, abs=1e-8)
    lowest = []
    for xc in (BOTH, *HALVES):
        each = beside(mf, "RKS", xc)
        each.converged = True
        lowest.append(each.TDDFT().run(nstates=1).e[0])
    assert min(lowest[1:]) < lowest[0] < max(lowest[1:])


def test_two_component_orbitals_are_refused():
    mf = dft.GKS(radical(), xc=BOTH)
    with pytest.raises(Unsupported, match=f"{BOTH} with two-component orbitals"):
        mf.kernel()
