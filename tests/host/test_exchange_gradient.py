"""Derivatives of local exact exchange with respect to nuclei and grid points, against differences of the energy."""

import numpy as np
import pytest
import torch
from pyscf import gto

from mlxc.host.exchange import LocalExchange
from mlxc.host.exchange_gradient import exchange_gradient
from mlxc.host.fitting import Fitting
from mlxc.host.fitting_gradient import metric_gradient, potential_gradients, three_centre_gradient
from tests.host.support import WATER, derivative, direction, moved, symmetric

OMEGA = 0.3
MOLECULES = {
    "h2o": dict(atom=WATER, basis="6-31g"),
    "oh": dict(atom="O 0 0 0; H 0 0.2 0.97", basis="6-31g", spin=1),
    "heh+": dict(atom="He 0 0 0; H 0.1 0.3 0.77", basis="sto-3g", charge=1),
}
#: Two s functions that are nearly one, of which J⁺ holds one.
DEPENDENT = {"O": [[0, [2.0, 1.0]], [0, [2.0 * (1 + 1e-6), 1.0]], [1, [1.0, 1.0]]], "H": [[0, [1.0, 1.0]]]}


def _case(name: str):
    """Molecule, converged density matrix, points, and f of both signs with zeros, in one spin and in both."""
    mol = gto.M(verbose=0, **MOLECULES[name])
    generator = np.random.default_rng(5)
    coords = mol.atom_coords().mean(0) + generator.normal(size=(40, 3))
    f = generator.normal(size=(2, 40))
    f[0, :3] = f[1, 2:5] = 0
    mf = (mol.UHF() if mol.spin else mol.RHF()).run()
    return mol, mf.make_rdm1(), coords, f


def _energy(mol, dm, coords, f, auxbasis=None) -> np.ndarray:
    """f e_x at the points, summed over spins."""
    return (LocalExchange(mol, coords, OMEGA, auxbasis).energy_density(dm) * f).sum(0)


@pytest.mark.parametrize("name, auxbasis", [
    ("h2o", None), ("oh", None), ("oh", "def2-universal-jkfit"), ("heh+", None), ("heh+", "def2-universal-jkfit"),
    ("oh", DEPENDENT),
], ids=["h2o", "oh", "oh, jkfit", "heh+", "heh+, jkfit", "oh, dependent"])
def test_gradient_is_the_derivative_of_the_energy(name, auxbasis):
    mol, dm, coords, f = _case(name)
    exchange = LocalExchange(mol, coords, OMEGA, auxbasis)
    assert exchange.fitting.removed == (auxbasis is DEPENDENT)
    nuclei, points = (g.numpy() for g in exchange_gradient(exchange, dm, f))
    step = direction(mol.natm, 3)
    expected = derivative(lambda t: _energy(moved(mol, t * step), dm, coords, f, auxbasis).sum(), 1e-3)
    assert np.vdot(nuclei, step) == pytest.approx(expected, rel=1e-7)

    steps = direction(*coords.shape)
    expected = derivative(lambda t: _energy(mol, dm, coords + t * steps, f, auxbasis), 5e-3)
    np.testing.assert_allclose((points * steps).sum(1), expected, rtol=1e-7, atol=1e-7)


def test_moving_nuclei_and_points_together_changes_nothing():
    mol, dm, coords, f = _case("oh")
    nuclei, points = exchange_gradient(LocalExchange(mol, coords, OMEGA), dm, f)
    torch.testing.assert_close(nuclei.sum(0), -points.sum(0), rtol=0, atol=1e-10)
    assert not points[2].any() and points[3:5].any(1).all()


def test_closed_shell_is_two_equal_spins():
    mol, dm, coords, f = _case("h2o")
    exchange = LocalExchange(mol, coords, OMEGA)
    one = exchange_gradient(exchange, dm, f)
    both = exchange_gradient(exchange, np.array([dm / 2, dm / 2]), f)
    for found, expected in zip(both, one, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def test_what_is_kept_on_the_grid_and_the_size_of_blocks_change_nothing():
    mol, dm, coords, f = _case("oh")
    exchange = LocalExchange(mol, coords, OMEGA)
    expected = exchange_gradient(exchange, dm, f)
    exchange.energy_density(dm)
    assert exchange._states[0].g is not None
    kept = exchange_gradient(exchange, dm, f)
    exchange = LocalExchange(mol, coords, OMEGA)
    exchange.grid.block = 16
    small = exchange_gradient(exchange, dm, f)
    for found, reference in zip(kept + small, expected + expected, strict=True):
        torch.testing.assert_close(found, reference, rtol=0, atol=1e-10)


def test_negative_occupations():
    """Differences of density matrices, in which the signs of the occupations matter."""
    mol, dm, coords, f = _case("heh+")
    change = 0.1 * symmetric(mol.nao, mol.nao)
    step = direction(mol.natm, 3)
    nuclei, _ = exchange_gradient(LocalExchange(mol, coords, OMEGA), change, f)
    expected = derivative(lambda t: _energy(moved(mol, t * step), change, coords, f).sum(), 1e-2)
    assert np.vdot(nuclei.numpy(), step) == pytest.approx(expected, rel=1e-6)


def test_contracted_integrals_are_derivatives(monkeypatch):
    """In blocks of few shells."""
    monkeypatch.setattr("mlxc.host.fitting_gradient.BLOCK_NUMBERS", 1000)
    mol = gto.M(verbose=0, **MOLECULES["oh"])
    fitting, step = Fitting(mol, OMEGA), direction(2, 3)
    gamma = torch.from_numpy(symmetric(fitting.naux, mol.nao, mol.nao))
    weights = torch.from_numpy(direction(fitting.naux, fitting.naux))

    def three(t):
        other = Fitting(moved(mol, t * step), OMEGA)
        identity = torch.eye(mol.nao, dtype=torch.float64)
        return sum(float((gamma[part] * b).sum()) for part, b in other.half_transformed(identity))

    def two(t):
        aux = Fitting(moved(mol, t * step), OMEGA).auxmol
        with aux.with_short_range_coulomb(OMEGA):
            return float((weights.numpy() * aux.intor("int2c2e")).sum())

    for analytic, energy in ((three_centre_gradient(fitting, lambda part: gamma[part]), three),
                             (metric_gradient(fitting, weights), two)):
        assert np.vdot(analytic.numpy(), step) == pytest.approx(derivative(energy, 5e-3), rel=1e-7)
        torch.testing.assert_close(analytic.sum(0), torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-10)


@pytest.mark.parametrize("cart", [False, True])
def test_potential_gradients_are_derivatives(cart):
    mol = gto.M(verbose=0, cart=cart, **MOLECULES["oh"])
    fitting, coords = Fitting(mol, OMEGA), direction(5, 3)
    step = direction(3, seed=8)
    expected = derivative(lambda t: fitting.potentials(coords + t * step).numpy(), 2e-3)
    found = np.einsum("xpm,x->pm", potential_gradients(fitting, coords).numpy(), step)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
