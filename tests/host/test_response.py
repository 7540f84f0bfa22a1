"""Second derivatives in PySCF's hands: response, excitations, polarisability, stability, second-order SCF."""

import numpy as np
import pytest
from pyscf import dft, gto, tdscf
from pyscf.scf import cphf
from scipy.linalg import expm

from tests.host.support import converged, derivative, direction, symmetric

FIELD = 5e-3


@pytest.fixture(scope="module")
def rks(xc, water):
    return converged(dft.RKS(water, xc=xc))


@pytest.fixture(scope="module")
def uks(xc, cation):
    return converged(dft.UKS(cation, xc=xc))


@pytest.mark.parametrize("spin", [0, 1])
def test_the_response_is_the_derivative_of_the_potential(spin, rks, uks):
    mf = (rks, uks)[spin]
    dm = np.asarray(mf.make_rdm1())
    x = direction(*dm.shape[-2:])

    def potential(t):
        u = expm(t * x)
        return np.asarray(mf.get_veff(dm=u @ dm @ u.T))

    analytic = mf.gen_response(hermi=1)(x @ dm + dm @ x.T)
    np.testing.assert_allclose(analytic, derivative(potential, 2e-3), rtol=0, atol=2e-6)


@pytest.mark.parametrize("singlet", [True, False])
def test_singlet_and_triplet_responses_are_those_of_both_spins(singlet, rks, xc, water):
    """The closed shell's kernels against those of the same density in unrestricted form."""
    d1 = symmetric(water.nao, water.nao)
    open_shell = rks.to_uks()
    both = open_shell.gen_response(hermi=1)(np.array([d1, d1 if singlet else -d1]))
    closed = rks.gen_response(singlet=singlet, hermi=1)(2 * d1)
    np.testing.assert_allclose(closed, both[0], rtol=0, atol=1e-9)


def _excitations(td, n=3):
    td.nstates, td.conv_tol = n, 1e-9
    td.kernel()
    assert all(td.converged)
    return td.e[:n]


def _full_matrix(mf, singlet_td):
    a, b = singlet_td.get_ab()
    n = a.shape[0] * a.shape[1]
    a, b = a.reshape(n, n), b.reshape(n, n)
    return np.linalg.eigvalsh(a), np.sqrt(np.linalg.eigvals((a - b) @ (a + b)).real)


@pytest.mark.parametrize("singlet", [True, False])
def test_excitations_are_the_eigenvalues_of_a_and_b(singlet, rks):
    tda, tddft = (method.set(singlet=singlet) for method in (rks.TDA(), rks.TDDFT()))
    from_a, from_ab = _full_matrix(rks, rks.TDDFT().set(singlet=singlet)) if singlet else _triplet_matrix(rks)
    np.testing.assert_allclose(_excitations(tda), np.sort(from_a)[:3], rtol=0, atol=1e-6)
    np.testing.assert_allclose(_excitations(tddft), np.sort(from_ab)[:3], rtol=0, atol=1e-6)


def _triplet_matrix(rks):
    """PySCF's restricted A and B are singlets': take the spin-flipping combination of the unrestricted ones."""
    (aaa, aab, _), (baa, bab, _) = rks.to_uks().TDDFT().get_ab()
    n = aaa.shape[0] * aaa.shape[1]
    a, b = (aaa - aab).reshape(n, n), (baa - bab).reshape(n, n)
    return np.linalg.eigvalsh(a), np.sqrt(np.linalg.eigvals((a - b) @ (a + b)).real)


def test_unrestricted_excitations_of_a_closed_shell_are_its_singlets_and_triplets(rks):
    singlets, triplets = (_excitations(rks.TDA().set(singlet=s), 2) for s in (True, False))
    everything = _unrestricted_tda(rks.to_uks())
    for energy in (*singlets, *triplets):
        assert np.abs(everything - energy).min() < 1e-6


def test_generalised_excitations_contain_the_singlets(rks):
    gks = converged(rks.to_gks())
    singlet = _excitations(rks.TDA(), 1)[0]
    assert np.abs(_excitations(tdscf.gks.TDA(gks), 6) - singlet).min() < 1e-5


def test_excitations_of_radicals_are_the_eigenvalues_of_a(uks):
    expected = _unrestricted_tda(uks)
    np.testing.assert_allclose(_excitations(uks.TDA()), expected[expected > 1e-3][:3], rtol=0, atol=1e-6)


def _unrestricted_tda(uks):
    (aa, ab, bb), _ = uks.TDDFT().get_ab()
    na, nb = aa.shape[0] * aa.shape[1], bb.shape[0] * bb.shape[1]
    ab = ab.reshape(na, nb)
    return np.linalg.eigvalsh(np.block([[aa.reshape(na, na), ab], [ab.T, bb.reshape(nb, nb)]]))


def test_the_response_calls_the_network(rks, calls):
    rks.gen_response()
    assert calls


def test_polarizability_is_the_second_derivative_in_a_field(rks, xc, water):
    """Coupled-perturbed equations with gen_response against dipoles in finite fields."""
    dipole = water.intor_symmetric("int1e_r")[2]
    core = rks.get_hcore()

    def moment(field):
        mf = dft.RKS(water, xc=xc)
        mf.get_hcore = lambda *_: core + field * dipole
        return np.vdot(converged(mf).make_rdm1(), dipole)

    occupied, empty = rks.mo_coeff[:, rks.mo_occ > 0], rks.mo_coeff[:, rks.mo_occ == 0]
    response = rks.gen_response(hermi=1)

    def induced(mo1):
        d = 2 * empty @ mo1.reshape(empty.shape[1], -1) @ occupied.T
        return (empty.T @ response(d + d.T) @ occupied).ravel()

    h1 = empty.T @ dipole @ occupied
    mo1 = cphf.solve(induced, rks.mo_energy, rks.mo_occ, h1, tol=1e-10)[0]
    assert 4 * np.vdot(mo1, h1) == pytest.approx(derivative(moment, FIELD), abs=1e-6)


@pytest.mark.parametrize("kind", ["RKS", "UKS", pytest.param("ROKS", marks=pytest.mark.slow),
                                  pytest.param("density fitting", marks=pytest.mark.slow)])
def test_second_order_scf_finds_the_same_minimum(kind, rks, uks, xc, water, cation):
    if kind == "ROKS":
        mf = converged(dft.ROKS(cation, xc=xc))
    elif kind == "density fitting":
        mf = converged(dft.RKS(water, xc=xc).density_fit(auxbasis="weigend"))
    else:
        mf = {"RKS": rks, "UKS": uks}[kind]
    fresh = mf.copy().reset().set(mo_coeff=None, mo_occ=None, conv_tol=1e-10)
    assert fresh.newton().run().e_tot == pytest.approx(mf.e_tot, abs=1e-8)


def test_converged_states_are_stable_inside(rks, uks):
    for mf in (rks, uks):
        orbitals, _, stable, _ = mf.stability(return_status=True)
        assert stable
        np.testing.assert_allclose(np.abs(orbitals), np.abs(mf.mo_coeff), atol=1e-6)


def test_a_stretched_bond_breaks_its_symmetry(xc):
    """H₂ at 3 Å: the restricted state is unstable, and the unrestricted one below it is near two atoms."""
    mol = gto.M(atom="H 0 0 0; H 0.4 0.3 3.0", basis="sto-3g", verbose=0)
    mf = converged(dft.RKS(mol, xc=xc))
    *_, stable = mf.stability(external=True, return_status=True)
    assert not stable
    broken = dft.UKS(mol, xc=xc)
    broken.grids.level = 0
    broken.kernel(dm0=np.array([np.diag([1.0, 0.0]), np.diag([0.0, 1.0])]))
    assert broken.converged and broken.e_tot < mf.e_tot - 1e-2
    assert broken.spin_square()[0] > 0.8
