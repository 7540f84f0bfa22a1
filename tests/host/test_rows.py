"""The arrays that PySCF gets: layouts, values and errors, compared with libxc's for the same functional."""

import numpy as np
import pytest
from pyscf import dft, gto
from pyscf.dft import libxc, numint

from mlxc.errors import InvalidDensity, Unsupported
from mlxc.host import entry
from tests.host.support import OWN, derivative

ROWS = entry.ROWS


@pytest.fixture(scope="module")
def densities() -> dict[int, np.ndarray]:
    """Density rows of O₂'s triplet at some hundred points of n > 1e-4 bohr⁻³, spin 1 and (of both spins) spin 0."""
    mol = gto.M(atom="O 0 0 0; O 0 0 1.2", basis="6-31g", spin=2, verbose=0)
    dm = np.asarray(dft.UKS(mol).get_init_guess())
    grids = dft.Grids(mol)
    grids.level = 0
    grids.build()
    ao = numint.eval_ao(mol, grids.coords[::23], deriv=1)
    rho = np.array([numint.eval_rho(mol, ao, d, xctype="MGGA", with_lapl=False) for d in dm * [[[1.0]], [[0.9]]]])
    rho = rho[:, :, (rho[:, 0] > 1e-4).all(axis=0)]
    return {0: rho.sum(0), 1: rho}


def _rows_of(xc: str, rho: np.ndarray) -> np.ndarray:
    kept = rho[..., :ROWS[libxc.xc_type(xc)], :]
    return kept[..., 0, :] if libxc.xc_type(xc) == "LDA" else kept


def _assert_close(own, stock, tolerance):
    """Equal to ``tolerance`` of the largest value of each row."""
    assert (np.abs(own - stock) <= tolerance * np.abs(stock).max(axis=-1, keepdims=True) + 1e-14).all()


@pytest.mark.parametrize("spin", [0, 1])
@pytest.mark.parametrize("name", OWN)
def test_rows_are_libxcs_rows(name, spin, densities):
    rho = _rows_of(name, densities[spin])
    for deriv, tolerance in ((0, 1e-11), (1, 1e-10), (2, 1e-8), (3, 1e-6)):
        own = libxc._eval_xc(name, rho, spin, deriv)
        stock = libxc._eval_xc(OWN[name][1], rho, spin, deriv)
        assert own.shape == stock.shape and own.dtype == np.float64
        _assert_close(own, stock, tolerance)


@pytest.mark.parametrize("spin", [0, 1])
@pytest.mark.parametrize("name", ["own_r2scan", "own_pbe"])
def test_every_public_layout_is_libxcs(name, spin, densities):
    """`eval_xc`, `eval_xc1`, `eval_xc_eff` of the module and of NumInt, for all orders."""
    rho, stock_name = _rows_of(name, densities[spin]), OWN[name][1]
    ni = numint.NumInt()
    for deriv in (1, 2, 3):
        _assert_close(libxc.eval_xc1(name, rho, spin, deriv), libxc.eval_xc1(stock_name, rho, spin, deriv), 1e-6)
        for own, stock in zip(ni.eval_xc_eff(name, rho, deriv, spin=spin),
                              ni.eval_xc_eff(stock_name, rho, deriv, spin=spin), strict=True):
            assert (own is None) == (stock is None)
            if stock is not None:
                np.testing.assert_allclose(own, stock, rtol=0, atol=1e-6 * np.abs(stock).max())
        own, stock = ([a for part in libxc.eval_xc(n, rho, spin, deriv=deriv) if part is not None
                       for a in (part if isinstance(part, list) else [part]) if a is not None]
                      for n in (name, stock_name))
        assert [a.shape for a in own] == [a.shape for a in stock]
        for a, b in zip(own, stock, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-6 * np.abs(b).max())


@pytest.mark.parametrize("spin", [0, 1])
def test_tensors_are_derivatives_of_the_energy_in_the_density_rows(xc, spin, densities):
    """exc → vxc → fxc → kxc of the learned functional, each against differences of the one before."""
    rho, ni = densities[spin], numint.NumInt()
    step = 1e-3 * np.random.default_rng(0).normal(size=rho.shape) * rho[..., :1, :]

    def tensors(t, deriv=3):
        exc, *rest = ni.eval_xc_eff(xc, rho + t * step, deriv, xctype="MGGA", spin=spin)
        n = (rho + t * step)[..., 0, :]
        return [exc * (n.sum(0) if spin else n), *rest]

    analytic = tensors(0.0)
    axes = "sxg" if spin else "xg"
    for order in range(3):
        numeric = derivative(lambda t, order=order: tensors(t, order)[order], 0.05)
        left = "abcdef"[:order * (len(axes) - 1)]
        contracted = np.einsum(f"{left}{axes},{axes}->{left}g", analytic[order + 1], step)
        np.testing.assert_allclose(contracted, numeric, rtol=0, atol=1e-6 * np.abs(numeric).max())


def test_a_tuple_of_two_spins_and_a_laplacian_row_are_accepted(xc, densities):
    rho = densities[1]
    expected = libxc._eval_xc(xc, rho, 1, 1)
    with_laplacian = np.insert(rho, 4, 7.0, axis=1)
    np.testing.assert_array_equal(libxc._eval_xc(xc, tuple(rho), 1, 1), expected)
    np.testing.assert_array_equal(libxc._eval_xc(xc, with_laplacian, 1, 1), expected)


def test_results_are_fresh_and_writable(xc, densities):
    rho = densities[0].copy()
    rho.setflags(write=False)
    for deriv in (1, 2):
        first = libxc.eval_xc1(xc, rho, 0, deriv)
        kept = first.copy()
        first *= 0.5
        np.testing.assert_array_equal(libxc.eval_xc1(xc, rho, 0, deriv), kept)


def test_no_points_give_no_rows(xc):
    assert libxc._eval_xc(xc, np.zeros((5, 0)), 0, 1).shape == (4, 0)


@pytest.mark.parametrize("spin", [0, 1])
def test_tiny_and_huge_densities_have_finite_derivatives(xc, spin):
    n = np.logspace(-30, 6, 73)
    for gradient, tau_excess in ((0.0, 1.0), (1.0, 0.0), (1.0, 1.0)):
        rho = np.zeros((5, n.size))
        rho[0], rho[3] = n, gradient * 3 * n ** (4 / 3)
        rho[4] = rho[3] ** 2 / (8 * n) + tau_excess * 3 * n ** (5 / 3)
        for second in ((rho, 0 * rho, 1e-20 * rho, 0.3 * rho) if spin else (None,)):
            rows = libxc._eval_xc(xc, rho if second is None else np.array([rho, second]), spin, 3)
            assert np.isfinite(rows).all()


@pytest.mark.parametrize(("change", "message"), [
    (lambda rho: np.full_like(rho, np.nan), "NaN"),
    (lambda rho: np.where(rho > 1e-3, np.inf, rho), "NaN or infinity"),
    (lambda rho: -rho, "negative"),
    (lambda rho: rho[:4], "shape"),
    (lambda rho: rho[0], "shape"),
    (lambda rho: np.array([rho, rho]), "shape"),
    (lambda rho: np.array([rho, rho, rho]), "shape"),
    (lambda rho: [rho, rho[:, :3]], "no array"),
    (lambda rho: np.array([["a"] * 3] * 5), "no array"),
    (lambda rho: rho * 1j, "no array"),
])
def test_what_is_no_density_is_refused(xc, change, message, densities):
    with pytest.raises(InvalidDensity, match=message):
        libxc._eval_xc(xc, change(densities[0]), 0, 1)


@pytest.mark.parametrize(("name", "rows"), [("own_pbe", 5), ("own_lda", 4), ("own_pbe", 1)])
def test_rows_of_another_type_of_functional_are_refused(name, rows, densities):
    with pytest.raises(InvalidDensity, match="shape"):
        libxc._eval_xc(name, densities[0][:rows], 0, 1)


def test_a_negative_density_matrix_is_refused(xc, hydrogen):
    mf = dft.RKS(hydrogen, xc=xc)
    with pytest.raises(InvalidDensity, match="negative"):
        mf.get_veff(dm=-mf.get_init_guess())


def test_a_density_matrix_with_nan_is_refused(xc, hydrogen):
    mf = dft.RKS(hydrogen, xc=xc)
    with pytest.raises(InvalidDensity, match="NaN"):
        mf.get_veff(dm=mf.get_init_guess() * np.nan)


def test_order_four_is_refused(xc, densities):
    with pytest.raises(Unsupported, match="order 4"):
        libxc.eval_xc1(xc, densities[0], 0, 4)
