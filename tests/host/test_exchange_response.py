"""Linear response of local exchange: against differences of its energy and Fock matrix, and AO-pair integrals."""

import numpy as np
import pytest
import torch
from pyscf import dft, gto

from mlxc.errors import InvalidInput, MemoryWarning, Unsupported
from mlxc.host.exchange import LocalExchange
from mlxc.host.exchange_response import ExchangeResponse
from tests.host.support import WATER, rotated

OMEGA = 0.3


def factors(points: dft.Grids, count: int = 2) -> np.ndarray:
    """Weights times a smooth function of the position, other for each spin; zero at a few points."""
    f = points.weights * (1 + 0.5 * np.sin(points.coords[:, :count].T))
    f[:, ::7] = 0
    return f


class Radical:
    """OH in STO-3G on every fifth point of a coarse grid, with its response."""

    def __init__(self):
        self.mol = gto.M(atom="O 0 0 0; H 0 0.1 0.97", basis="sto-3g", spin=1, verbose=0)
        self.dm = np.array(self.mol.UHF().run().make_rdm1())
        self.points = dft.Grids(self.mol).set(level=0, verbose=0).build()
        self.points.coords, self.points.weights = self.points.coords[::5], self.points.weights[::5]
        self.exchange = LocalExchange(self.mol, self.points.coords, OMEGA)
        self.f = factors(self.points)
        self.response = ExchangeResponse(self.exchange, self.dm, self.f)
        x = rotated(self.dm)
        self.x = x + x.swapaxes(1, 2)

    def seen(self, matrix: np.ndarray) -> np.ndarray:
        """A matrix of both spins without its block between virtual orbitals."""
        virtual = np.eye(self.mol.nao) - self.mol.intor("int1e_ovlp") @ self.dm
        return matrix - virtual @ matrix @ virtual.swapaxes(-1, -2)


@pytest.fixture(scope="module")
def oh() -> Radical:
    return Radical()


def difference(function, dm, x) -> np.ndarray:
    """Change along X by central differences, which are exact for what is quadratic in D, whatever the step."""
    return function(dm + 0.5 * x) - function(dm - 0.5 * x)


def test_energy_density_is_the_derivative(oh):
    expected = difference(oh.exchange.energy_density, oh.dm, oh.x)
    expected[oh.f == 0] = 0
    np.testing.assert_allclose(oh.response.energy_density(oh.x), expected, rtol=0, atol=1e-9 * np.abs(expected).max())


def test_kernel_is_the_derivative_of_the_fock_matrix(oh):
    expected = oh.seen(difference(lambda d: oh.exchange.fock(d, oh.f), oh.dm, oh.x))
    atol = 1e-9 * np.abs(expected).max()
    for hermi in (0, 1):
        np.testing.assert_allclose(oh.response.kernel(oh.x, hermi), expected, rtol=0, atol=atol)


def test_matrix_is_the_fock_matrix_with_another_factor(oh):
    other = oh.points.weights * np.cos(oh.points.coords[:, :2].T) * (oh.f != 0)
    expected = oh.seen(oh.exchange.fock(oh.dm, other))
    np.testing.assert_allclose(oh.response.matrix(other), expected, rtol=0, atol=1e-9 * np.abs(expected).max())


def test_kernel_is_the_second_derivative(oh):
    """Tr Y K_f[X] = Σ f e¹[X, Y]: symmetric in X and Y, and twice the energy of X itself."""
    energy = np.vdot(oh.response.kernel(oh.x, 1), oh.x)
    assert energy == pytest.approx(2 * (oh.f * oh.exchange.energy_density(oh.x)).sum(), rel=1e-9)


def fitted_pairs(oh) -> np.ndarray:
    """v_μν(r) by the same fit, (n, nao, nao)."""
    fitting, eye = oh.exchange.fitting, torch.eye(oh.mol.nao, dtype=torch.float64)
    integrals = torch.cat([block for _, block in fitting.half_transformed(eye)])
    fit = fitting.solve(integrals.permute(1, 2, 0))
    return (fit @ fitting.potentials(oh.points.coords)).permute(2, 0, 1).numpy()


def by_pairs(mol, coords, v, f, x) -> np.ndarray:
    """K_il = Σ_jk (ij|kl) X_jk with (ij|kl) = −½ Σ_r f (v_ij P_kl + P_ij v_kl)."""
    ao = dft.numint.eval_ao(mol, coords)
    vx = np.einsum("gij,jk,gk->gi", v, x, ao, optimize=True)
    xv = np.einsum("gj,jk,gkl->gl", ao, x, v, optimize=True)
    return -0.5 * (np.einsum("g,gi,gl->il", f, vx, ao) + np.einsum("g,gi,gl->il", f, ao, xv))


@pytest.mark.parametrize("hermi", [0, 2])
def test_kernel_of_nonsymmetric_changes(oh, hermi):
    """PySCF's order of the indices, spin by spin and for several changes at once."""
    x = rotated(oh.dm, 10)
    x = x - x.swapaxes(-1, -2) if hermi == 2 else x
    v = fitted_pairs(oh)
    expected = oh.seen(np.array([[by_pairs(oh.mol, oh.points.coords, v, f, one)
                                  for f, one in zip(oh.f, both, strict=True)] for both in x]))
    found = oh.response.kernel(x, hermi)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * np.abs(expected).max())
    alone = oh.response.kernel(x[9], hermi)  # to rounding: which sums BLAS takes first may hang on how many there are
    np.testing.assert_allclose(alone, found[9], rtol=0, atol=1e-14 * np.abs(expected).max())


def test_an_antisymmetric_change_leaves_the_energy_density(oh):
    x = rotated(oh.dm)
    x = x - x.swapaxes(-1, -2)
    assert not oh.response.energy_density(x).any()
    found = oh.response.kernel(x, 2)
    assert np.abs(found).max() > 1e-3
    np.testing.assert_allclose(found, -found.swapaxes(-1, -2), rtol=0, atol=1e-15)


@pytest.mark.parametrize("hermi", [0, 1, 2])
def test_kernel_with_the_integrals_of_all_ao_pairs(oh, hermi):
    x = rotated(oh.dm)
    x = {0: x, 1: x + x.swapaxes(1, 2), 2: x - x.swapaxes(1, 2)}[hermi]
    v = oh.mol.intor("int1e_grids", grids=oh.points.coords)
    with oh.mol.with_range_coulomb(OMEGA):
        v = v - oh.mol.intor("int1e_grids", grids=oh.points.coords)
    expected = oh.seen(np.array([by_pairs(oh.mol, oh.points.coords, v, f, one)
                                 for f, one in zip(oh.f, x, strict=True)]))
    np.testing.assert_allclose(oh.response.kernel(x, hermi), expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_closed_shell_is_one_of_two_equal_spins():
    mol = gto.M(atom=WATER, basis="sto-3g", verbose=0)
    dm = mol.RHF().run().make_rdm1()
    points = dft.Grids(mol).set(level=0, verbose=0).build()
    exchange = LocalExchange(mol, points.coords[::9], OMEGA)
    f = points.weights[::9]
    closed = ExchangeResponse(exchange, dm, f)
    both = ExchangeResponse(exchange, np.array([dm, dm]) / 2, np.array([f, f]))
    x = rotated(dm, 3)
    pairs = np.stack((x, x), 1)
    np.testing.assert_allclose(closed.energy_density(x), both.energy_density(pairs)[:, 0], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(closed.kernel(x), both.kernel(pairs)[:, 0], rtol=1e-12, atol=1e-12)
    factor = closed.energy_density(x) * f
    np.testing.assert_allclose(closed.matrix(factor), both.matrix(np.stack((factor, factor), 1))[:, 0], rtol=0,
                               atol=1e-12)


def test_what_does_not_fit_into_memory_goes_to_a_file(oh):
    frugal = LocalExchange(oh.mol, oh.points.coords, OMEGA, max_memory=oh.exchange.grid.needed_mb + 0.05)
    with pytest.warns(MemoryWarning, match=r"needs \d+ MB, of which max_memory leaves it 0 MB"):
        response = ExchangeResponse(frugal, oh.dm, oh.f)
    f1 = oh.f * oh.response.energy_density(oh.x)
    for found, expected in ((response.energy_density(oh.x), oh.response.energy_density(oh.x)),
                            (response.matrix(f1), oh.response.matrix(f1)),
                            (response.kernel(oh.x), oh.response.kernel(oh.x))):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13 * np.abs(expected).max())


def test_bad_arrays(oh):
    with pytest.raises(InvalidInput, match="f has shape"):
        ExchangeResponse(oh.exchange, oh.dm, oh.f[0])
    with pytest.raises(InvalidInput, match="change of the density matrix has shape"):
        oh.response.kernel(oh.x[0])
    with pytest.raises(InvalidInput, match="f1 has shape"):
        oh.response.matrix(oh.f[:, 1:])
    with pytest.raises(Unsupported, match="complex"):
        oh.response.kernel(oh.x + 1j)
