"""Our integration of what depends on the density alone, against PySCF's own."""

import numpy as np
import pytest
from pyscf import dft, gto

import mlxc
from mlxc.errors import InvalidDensity
from mlxc.host import semilocal
from tests.host.support import WATER, direction, symmetric


def pyscfs(name: str):
    """PySCF's own method of its numerical integration."""
    return getattr(dft.numint.NumInt, name).wrapped_by_mlxc


@pytest.fixture(scope="module")
def closed():
    return dft.RKS(gto.M(atom=WATER, basis="6-31+g*", cart=True, verbose=0), xc="mlxc_rs").run(max_cycle=2)


@pytest.fixture(scope="module")
def radical():
    mol = gto.M(atom="Cl 0 0 0; H 0 0.2 1.3", charge=1, spin=1, basis="lanl2dz", ecp="lanl2dz", verbose=0)
    return dft.UKS(mol, xc="mlxc_rs").run(max_cycle=2)


def same(found, expected):
    """Electrons, energy and matrix."""
    for one, other in zip(found, expected, strict=True):
        assert np.shape(one) == np.shape(other)
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("tagged", [True, False])
@pytest.mark.parametrize("xc", ["mlxc_rs", "MLXC_RS-D4"])
def test_closed_shell(closed, tagged, xc):
    dm = closed.make_rdm1() if tagged else np.array(closed.make_rdm1())
    how = closed._numint, closed.mol, closed.grids, xc, dm
    same(closed._numint.nr_rks(*how[1:]), pyscfs("nr_rks")(*how))


@pytest.mark.parametrize("tagged", [True, False])
def test_open_shell(radical, tagged):
    dm = radical.make_rdm1() if tagged else np.array(radical.make_rdm1())
    how = radical._numint, radical.mol, radical.grids, "mlxc_rs", dm
    same(radical._numint.nr_uks(*how[1:]), pyscfs("nr_uks")(*how))


def test_restricted_open_shell(radical):
    mf = dft.ROKS(radical.mol, xc="mlxc_rs").set(grids=radical.grids).run(max_cycle=2)
    how = mf._numint, mf.mol, mf.grids, "mlxc_rs", mf.make_rdm1()
    same(mf._numint.nr_uks(*how[1:]), pyscfs("nr_uks")(*how))


def test_a_closed_shells_matrix_for_both_spins(closed):
    """One density matrix, in PySCF's method for two."""
    how = closed._numint, closed.mol, closed.grids, "mlxc_rs", np.array(closed.make_rdm1())
    same(closed._numint.nr_uks(*how[1:]), pyscfs("nr_uks")(*how))


@pytest.mark.parametrize("change", [
    lambda dm: list(dm), lambda dm: np.stack((dm, dm), 1), lambda dm: dm.astype(np.float32),
], ids=["list", "two states", "float32"])
def test_other_forms_are_pyscfs(radical, change, monkeypatch):
    monkeypatch.setattr(semilocal, "xc_matrix", lambda *args: pytest.fail("not PySCF's"))
    how = radical._numint, radical.mol, radical.grids, "mlxc_rs", change(np.array(radical.make_rdm1()))
    same(radical._numint.nr_uks(*how[1:]), pyscfs("nr_uks")(*how))


def test_what_is_not_symmetric_is_pyscfs(closed):
    dm = np.array(closed.make_rdm1())
    dm += dm @ direction(*dm.shape) - direction(*dm.shape).T @ dm
    how = closed._numint, closed.mol, closed.grids, "mlxc_rs", dm, 0, 0
    same(closed._numint.nr_rks(*how[1:]), pyscfs("nr_rks")(*how))


def test_an_empty_channel_and_little_memory():
    mol = gto.M(atom="H 0 0 0", spin=1, basis="6-31g", verbose=0)
    mf = dft.UKS(mol, xc="mlxc_rs").run(max_cycle=2)
    for dm in (mf.make_rdm1(), np.zeros((2, mol.nao, mol.nao))):
        how = mf._numint, mol, mf.grids, "mlxc_rs", dm
        same(mf._numint.nr_uks(*how[1:], max_memory=0.1), pyscfs("nr_uks")(*how))


def test_bad_changes(closed):
    fxc = closed._numint.cache_xc_kernel(closed.mol, closed.grids, closed.xc, closed.mo_coeff, closed.mo_occ)[2]
    x = np.full((closed.mol.nao, closed.mol.nao), np.nan)
    with pytest.raises(InvalidDensity, match="change of the density matrix holds NaN"):
        closed._numint.nr_rks_fxc(closed.mol, closed.grids, closed.xc, None, x, fxc=fxc)


def test_the_index_of_the_change_is_pyscfs(closed, radical):
    """Closed shells and both spins differ in it, which shows where the table is not symmetric."""
    for name, mf, shape in (("nr_rks_fxc", closed, (5, 5)), ("nr_uks_fxc", radical, (2, 5, 2, 5))):
        x = symmetric(mf.mol.nao, mf.mol.nao)
        fxc = direction(*shape, len(mf.grids.weights))
        how = mf._numint, mf.mol, mf.grids, mf.xc, None, x, 0, 1, None, None, fxc
        found, expected = getattr(mf._numint, name)(*how[1:]), pyscfs(name)(*how)
        assert np.abs(expected).max() > 1e-6
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("hermi", [0, 1, 2])
@pytest.mark.parametrize("sets", [(), (3,)])
@pytest.mark.parametrize("kind", ["closed", "radical"])
def test_changes(kind, sets, hermi, request):
    mf = request.getfixturevalue(kind)
    spins, name = ((), "nr_rks_fxc") if kind == "closed" else ((2,), "nr_uks_fxc")
    x = direction(*spins, *sets, mf.mol.nao, mf.mol.nao)
    x = {0: x, 1: x + x.swapaxes(-1, -2), 2: x - x.swapaxes(-1, -2)}[hermi]
    fxc = mf._numint.cache_xc_kernel(mf.mol, mf.grids, mf.xc, mf.mo_coeff, mf.mo_occ, len(spins))[2]
    how = mf._numint, mf.mol, mf.grids, mf.xc, None, x, 0, hermi, None, None, fxc
    found, expected = getattr(mf._numint, name)(*how[1:]), pyscfs(name)(*how)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize(("xc", "basis", "largest"), [("mlxc_rs", "sto-3g", 6), ("r2scan", "sto-3g", 800)])
def test_large_molecules_and_other_functionals_are_pyscfs(xc, basis, largest, monkeypatch):
    monkeypatch.setattr(semilocal, "SPARSE", largest)
    monkeypatch.setattr(semilocal, "xc_matrix", lambda *args: pytest.fail("not PySCF's"))
    monkeypatch.setattr(semilocal, "change_of_matrix", lambda *args: pytest.fail("not PySCF's"))
    mf = dft.RKS(gto.M(atom=WATER, basis=basis, verbose=0), xc=xc).run(max_cycle=1)
    mf.gen_response(hermi=1)(symmetric(mf.mol.nao, mf.mol.nao))


@pytest.mark.parametrize("name", ["xc_matrix", "change_of_matrix"])
def test_scf_and_response_are_integrated_here(name, monkeypatch):
    seen, own = [], getattr(semilocal, name)
    monkeypatch.setattr(semilocal, name, lambda *args: seen.append(name) or own(*args))
    mf = mlxc.RKS(gto.M(atom=WATER, basis="sto-3g", verbose=0)).density_fit().run(max_cycle=1)
    mf.gen_response(hermi=1)(symmetric(mf.mol.nao, mf.mol.nao))
    assert seen
