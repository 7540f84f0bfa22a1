"""Second derivatives of a local hybrid in PySCF's hands: response, second-order SCF, stability, excitations."""

import gc

import numpy as np
import pytest
import torch
from pyscf import dft, gto
from pyscf.soscf import newton_ah
from scipy.linalg import expm

from mlxc.errors import Unsupported
from mlxc.host import local, response, seam
from mlxc.xc import pointwise
from tests.host.support import derivative, direction, on_small_grid, rotated, symmetric

STRETCHED = "H 0 0 0; H 0.4 0.3 3.0"


@pytest.fixture(scope="module")
def rks(lh, water):
    return on_small_grid(dft.RKS(water, xc=lh))


@pytest.fixture(scope="module")
def uks(lh, cation):
    return on_small_grid(dft.UKS(cation, xc=lh))


def potential(mf, dm) -> np.ndarray:
    return np.asarray(mf.get_veff(dm=dm))


@pytest.mark.parametrize("kind", ["rks", "uks"])
def test_response_is_the_derivative_of_the_potential(kind, request):
    mf = request.getfixturevalue(kind)
    dm = np.asarray(mf.make_rdm1())
    x = direction(*dm.shape[-2:])

    def turned(t):
        u = expm(t * x)
        return potential(mf, u @ dm @ u.T)

    change, expected = x @ dm + dm @ x.T, derivative(turned, 2e-3)
    occupied = np.asarray(mf.mo_coeff) * (np.asarray(mf.mo_occ) > 0)[..., None, :]
    for hermi in (0, 1):
        found = mf.gen_response(hermi=hermi)(change)
        np.testing.assert_allclose(found @ occupied, expected @ occupied, rtol=0, atol=1e-7)
        np.testing.assert_allclose(found, found.swapaxes(-1, -2), rtol=0, atol=1e-12)


@pytest.mark.parametrize("singlet", [True, False, None])
def test_singlet_and_triplet_responses_are_those_of_both_spins(singlet, rks, water):
    d1 = rotated(rks.make_rdm1())
    d1 = d1 + d1.T
    both = rks.to_uks().gen_response(hermi=1)(np.array([d1, -d1 if singlet is False else d1]))
    closed = rks.gen_response(singlet=singlet, hermi=1)(2 * d1)
    np.testing.assert_allclose(closed, both[0], rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", ["rks", "uks"])
def test_several_changes_of_any_symmetry_at_once(kind, request):
    """A nonsymmetric change is the sum of its two parts; PySCF puts the spins in front of the changes."""
    mf = request.getfixturevalue(kind)
    dm = np.asarray(mf.make_rdm1())
    x = np.moveaxis(rotated(dm, 3), 0, -3)
    even, odd = (x + x.swapaxes(-1, -2)) / 2, (x - x.swapaxes(-1, -2)) / 2
    whole = mf.gen_response(hermi=0)(x)
    parts = mf.gen_response(hermi=1)(even) + mf.gen_response(hermi=2)(odd)
    np.testing.assert_allclose(whole, parts, rtol=0, atol=1e-10)
    np.testing.assert_allclose(mf.gen_response(hermi=0)(x[..., 1, :, :]), whole[..., 1, :, :], rtol=0, atol=1e-11)


def test_roks_responds_as_uks_with_its_orbitals(lh, cation):
    mf = on_small_grid(dft.ROKS(cation, xc=lh))
    d1 = rotated(np.asarray(mf.make_rdm1()))
    d1 = d1 + d1.swapaxes(1, 2)
    np.testing.assert_allclose(mf.gen_response(hermi=1)(d1), mf.to_uks().gen_response(hermi=1)(d1), rtol=0, atol=1e-10)


def fitted_pairs(part: local.LocalPart) -> torch.Tensor:
    """v_μν(r), (n, nao, nao)."""
    fitting = part.exchange.fitting
    integrals = torch.cat([b for _, b in fitting.half_transformed(torch.eye(fitting.nao, dtype=torch.float64))])
    return (fitting.solve(integrals.permute(1, 2, 0)) @ fitting.potentials(part.grids.coords)).permute(2, 0, 1)


def test_antisymmetric_response_is_the_second_derivative_for_complex_orbitals(lh, hydrogen):
    """D + itA has the density of D, and −½ t² (Aχ)ᵀ v (Aχ) more exact exchange."""
    mf = on_small_grid(dft.UKS(hydrogen, xc=lh))
    part = local.part(mf._numint, hydrogen, seam.find(lh).functional, 1000)
    state, v = part.at(mf.make_rdm1()), fitted_pairs(part)
    a = rotated(mf.make_rdm1())
    a = a - a.swapaxes(1, 2)
    changed = torch.from_numpy(np.stack([dft.numint.eval_ao(hydrogen, part.grids.coords) @ m.T for m in a]))
    more = -0.5 * torch.einsum("sgk,gkl,sgl->sg", changed, v, changed)

    def energy(square):
        exact = state.exact + square * more
        return float(part.weights @ pointwise.value_and_gradient(part.functional, state.rho, exact)[0])

    numerical = (energy(1e-4) - energy(-1e-4)) / 1e-4  # d²E/dt² = 2 dE/d(t²) at t = 0
    v1 = response.LocalResponse(part, mf.make_rdm1())(a, hermi=2)
    assert abs(numerical) > 1e-4
    assert -np.einsum("sij,sji", v1, a) == pytest.approx(numerical, rel=1e-7)


# ------------------------------------------------------------------------------------------ excitations

def spin_pairs(mf):
    """Virtual and occupied orbitals of each spin of an unrestricted object, and differences of their levels."""
    pairs = [(c[:, n == 0], c[:, n > 0]) for c, n in zip(mf.mo_coeff, mf.mo_occ, strict=True)]
    gaps = [(e[n == 0][:, None] - e[n > 0]).ravel() for e, n in zip(mf.mo_energy, mf.mo_occ, strict=True)]
    return pairs, np.concatenate(gaps)


def matrices(mf):
    """A + B by differences of the Fock matrix along rotations of the orbitals; A − B from exchange integrals.

    Both of an unrestricted object; rows and columns are virtual–occupied pairs of spin a, then b.
    """
    pairs, gaps = spin_pairs(mf)
    part = local.part(mf._numint, mf.mol, seam.find(mf.xc).functional, 1000)
    state, v = part.at(mf.make_rdm1()), fitted_pairs(part).numpy()
    v_exact = pointwise.value_and_gradient(part.functional, state.rho, state.exact)[2]
    f, ao = (part.weights * v_exact).numpy(), dft.numint.eval_ao(mf.mol, part.grids.coords)
    dm, plus, minus = np.asarray(mf.make_rdm1()), [], []
    for s, (virtual, occupied) in enumerate(pairs):
        for a in virtual.T:
            for i in occupied.T:
                one = np.zeros_like(dm)
                one[s] = np.outer(a, i)
                change = one + one.swapaxes(1, 2)
                v1 = derivative(lambda t, change=change: potential(mf, dm + t * change), 1e-3)
                plus.append(elements(pairs, v1))
                odd = one - one.swapaxes(1, 2)
                vx, xao = v @ odd[s], ao @ odd[s].T
                k = np.einsum("g,gi,gl->il", f[s], np.einsum("gij,gj->gi", vx, ao, optimize=True), ao)
                k += np.einsum("g,gi,gl->il", f[s], ao, np.einsum("gjl,gj->gl", v, -xao, optimize=True))
                v1 = -mf.get_k(dm=odd, hermi=2)
                v1[s] -= 0.5 * k
                minus.append(elements(pairs, v1))
    return np.diag(gaps) + np.array(plus).T, np.diag(gaps) + np.array(minus).T


def elements(pairs, v1) -> np.ndarray:
    return np.concatenate([(v.T @ m @ o).ravel() for (v, o), m in zip(pairs, v1, strict=True)])


def asked_for(td) -> np.ndarray:
    """The matrix whose eigenvectors PySCF looks for: A, or [[A, B], [−B, −A]]."""
    product, diagonal = td.gen_vind()[:2]
    return np.asarray(product(np.eye(diagonal.size))).T


def blocks(td) -> tuple[np.ndarray, np.ndarray]:
    """A + B and A − B from what PySCF asks for in TDDFT, rows and columns occupied–virtual pairs."""
    whole = asked_for(td)
    half = len(whole) // 2
    a, b = whole[:half, :half], whole[:half, half:]
    np.testing.assert_allclose(whole[half:], -np.hstack((b, a)), rtol=0, atol=1e-10)
    return a + b, a - b


def occupied_first(matrix: np.ndarray, pairs) -> np.ndarray:
    """Rows and columns in PySCF's order, occupied–virtual."""
    order, start = [], 0
    for virtual, occupied in pairs:
        shape = virtual.shape[1], occupied.shape[1]
        order.append(start + np.arange(shape[0] * shape[1]).reshape(shape).T.ravel())
        start += shape[0] * shape[1]
    order = np.concatenate(order)
    return matrix[np.ix_(order, order)]


@pytest.mark.parametrize("charge, spin, basis", [
    (1, 0, "sto-3g"), (0, 1, "sto-3g"), pytest.param(1, 0, "6-31g", marks=pytest.mark.slow),
    pytest.param(0, 1, "6-31g", marks=pytest.mark.slow)])
def test_tddft_has_the_second_derivatives_of_the_energy(charge, spin, basis, lh):
    """Of HeH⁺, singlets and triplets, and HeH; the lowest excitations are the lowest eigenvalues."""
    mol = gto.M(atom="He 0 0 0; H 0.3 0.2 0.8", basis=basis, charge=charge, spin=spin, verbose=0)
    mf = on_small_grid((dft.UKS if spin else dft.RKS)(mol, xc=lh))
    both = mf if spin else mf.to_uks()
    plus, minus = (occupied_first(m, spin_pairs(both)[0]) for m in matrices(both))
    cases = [(both, {}, plus, minus)]
    if not spin:
        n = len(plus) // 2
        cases += [(mf, {"singlet": singlet}, *(m[:n, :n] + (m[:n, n:] if singlet else -m[:n, n:])
                                               for m in (plus, minus))) for singlet in (True, False)]
    for mf, settings, plus, minus in cases:
        a_plus_b, a_minus_b = blocks(mf.TDDFT().set(**settings))
        np.testing.assert_allclose(a_plus_b, plus, rtol=0, atol=1e-7)
        np.testing.assert_allclose(a_minus_b, minus, rtol=0, atol=1e-9)
        a = asked_for(mf.TDA().set(**settings))
        np.testing.assert_allclose(a, (plus + minus) / 2, rtol=0, atol=1e-7)
        assert excitation(mf.TDA().set(**settings)) == pytest.approx(np.linalg.eigvalsh(a)[0], abs=1e-7)
        lowest = np.sqrt(np.linalg.eigvals(minus @ plus).real.min())
        assert excitation(mf.TDDFT().set(**settings)) == pytest.approx(lowest, abs=1e-7)


def excitation(td) -> float:
    """The lowest one."""
    td.nstates, td.conv_tol = 1, 1e-6
    td.kernel()
    assert all(td.converged)
    return td.e[0]


@pytest.mark.parametrize("method", ["TDA", "TDDFT"])
def test_one_electron_is_excited_as_in_hartree_fock(method, lh):
    mol = gto.M(atom="H 0 0 0; H 0 0 1.1", basis="6-31g", charge=1, spin=1, verbose=0)
    exact = dft.UKS(mol, xc="hf").run(conv_tol=1e-13)
    mf = dft.UKS(mol, xc=lh).run(conv_tol=1e-13, dm0=exact.make_rdm1())
    assert mf.e_tot == pytest.approx(exact.e_tot, abs=1e-9)
    assert excitation(getattr(mf, method)()) == pytest.approx(excitation(getattr(exact, method)()), abs=1e-8)


def test_what_has_no_local_exchange_refuses(rks, uks):
    for mf in (rks, uks):
        with pytest.raises(Unsupported, match="is a local hybrid"):
            mf.TDA().get_ab()
        with pytest.raises(Unsupported, match="is a local hybrid"):
            mf.TDA().run(nstates=3).nuc_grad_method().kernel()


def test_changes_between_virtual_orbitals_refuse(rks, uks):
    for mf in (rks, uks):
        with pytest.raises(Unsupported, match="between virtual orbitals"):
            mf.gen_response(hermi=1)(symmetric(*np.shape(mf.make_rdm1())))


def test_complex_orbitals_refuse(rks):
    with pytest.raises(Unsupported, match="complex"):
        rks.gen_response(mo_coeff=rks.mo_coeff * 1j)
    with pytest.raises(Unsupported, match="complex"):
        rks.gen_response(hermi=1)(rks.make_rdm1() * 1j)


# --------------------------------------------------------------------- second-order SCF and stability

@pytest.mark.parametrize("kind", ["RKS", "UKS", "ROKS"])
def test_second_order_scf_finds_the_same_minimum(kind, rks, uks, lh, cation):
    mf = {"RKS": rks, "UKS": uks}.get(kind) or on_small_grid(dft.ROKS(cation, xc=lh))
    fresh = mf.copy().reset().set(mo_coeff=None, mo_occ=None, conv_tol=1e-11, conv_tol_grad=1e-5)
    second = fresh.newton().run()
    assert second.converged
    assert second.e_tot == pytest.approx(mf.e_tot, abs=1e-9)
    np.testing.assert_allclose(second.make_rdm1(), mf.make_rdm1(), rtol=0, atol=1e-4)


def test_newton_in_a_smaller_basis(lh):
    """The orbitals are then projections, which are not orthonormal."""
    mol = gto.M(atom="He 0 0 0; H 0 0 0.8", charge=1, basis="6-31g**", verbose=0)
    mf = on_small_grid(dft.RKS(mol, xc=lh))
    second = mf.copy().newton()
    second.mol = newton_ah.project_mol(mol, "6-31g")
    second.kernel(mf.mo_coeff, mf.mo_occ)
    assert second.converged and second.e_tot == pytest.approx(mf.e_tot, abs=1e-6)


def test_newton_breaks_the_symmetry_of_a_stretched_bond(lh):
    mol = gto.M(atom=STRETCHED, basis="sto-3g", verbose=0)
    start = np.array([np.diag([1.0, 0.0]), np.diag([0.0, 1.0])])
    first = dft.UKS(mol, xc=lh).set(conv_tol=1e-11)
    first.grids.level = 0
    first.kernel(dm0=start)
    second = first.copy().newton()
    second.kernel(dm0=start)
    assert second.converged and second.spin_square()[0] > 0.8
    assert second.e_tot == pytest.approx(first.e_tot, abs=1e-9)
    assert first.stability(return_status=True)[2]


def test_converged_states_are_stable_inside(rks, uks):
    for mf in (rks, uks):
        orbitals, _, stable, _ = mf.stability(return_status=True)
        assert stable
        np.testing.assert_allclose(np.abs(orbitals), np.abs(mf.mo_coeff), atol=1e-6)


def test_a_stretched_bond_is_unstable(lh):
    mol = gto.M(atom=STRETCHED, basis="sto-3g", verbose=0)
    mf = on_small_grid(dft.RKS(mol, xc=lh))
    _, _, inside, outside = mf.stability(external=True, return_status=True)
    assert inside and not outside
    broken = mf.to_uks()
    broken.kernel(dm0=np.array([np.diag([1.0, 0.0]), np.diag([0.0, 1.0])]))
    assert broken.e_tot < mf.e_tot - 1e-2
    assert broken.stability(external=True, return_status=True)[2]


def test_spin_flips_are_said_to_be_unreliable(uks, monkeypatch):
    said = []
    monkeypatch.setattr(response.lib.logger, "warn", lambda mf, message, *values: said.append(message % values))
    uks.gen_response(with_j=False, hermi=0)
    assert said == ["UKS to GKS instability: PySCF takes the kernel of spin-conserving changes for spin flips, and GKS "
                    f"does not work with {uks.xc}; do not rely on it"]


def test_stability_shares_the_integrals(rks, monkeypatch):
    made = []
    original = response.ExchangeResponse
    monkeypatch.setattr(response, "ExchangeResponse", lambda *args: made.append(1) or original(*args))
    rks.stability(external=True)
    assert len(made) == 2  # one for the internal, one for both external ones
    gc.collect()
    assert all(latest() is None for latest in response._latest.values())


# ------------------------------------------------------------------------------- PySCF's wrappers

@pytest.mark.slow
@pytest.mark.parametrize("wrap", [lambda mf: mf.density_fit(auxbasis="weigend"), lambda mf: mf.PCM(),
                                  lambda mf: mf.density_fit(auxbasis="weigend").PCM(),
                                  lambda mf: mf.PCM().density_fit(auxbasis="weigend")],
                         ids=["df", "pcm", "df pcm", "pcm df"])
def test_response_in_every_wrapper(wrap, lh, water):
    mf = on_small_grid(wrap(dft.RKS(water, xc=lh)))
    if hasattr(mf, "with_solvent"):
        mf.with_solvent.equilibrium_solvation = True
    dm = np.asarray(mf.make_rdm1())
    x = direction(*dm.shape)

    def turned(t):
        u = expm(t * x)
        veff = mf.get_veff(dm=u @ dm @ u.T)
        return np.asarray(veff) + getattr(veff, "v_solvent", 0)

    found, occupied = mf.gen_response(hermi=1)(x @ dm + dm @ x.T), mf.mo_coeff[:, mf.mo_occ > 0]
    np.testing.assert_allclose(found @ occupied, derivative(turned, 2e-3) @ occupied, rtol=0, atol=1e-6)
    second = mf.newton().run(conv_tol=1e-11)
    assert second.e_tot == pytest.approx(mf.e_tot, abs=1e-9)
