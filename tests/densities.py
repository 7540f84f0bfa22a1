"""Densities to test functionals on: sampled ones and those of a small molecule."""

from functools import cache
from itertools import product
from math import pi

import numpy as np

#: τ of the uniform gas of one spin over n_σ^{5/3}.
UNIFORM_TAU = 0.3 * (6 * pi**2) ** (2 / 3)


def sampled(spin: int, size: int = 300, seed: int = 1, alpha: tuple[float, float] = (1e-3, 6)) -> np.ndarray:
    """Rows [n, ∇n, τ] of random densities with τ ≥ τ_W, (5, size) or (2, 5, size); n from 1e-7 to 1e3 bohr⁻³.

    Reduced gradients are half-normal with width 1.5; ``alpha`` is the range of each channel's (τ − τ_W)/τ_UEG.
    """
    rng = np.random.default_rng(seed)
    n = 10 ** rng.uniform(-7, 3, size)
    if spin == 0:
        return 2 * _channel(rng, n / 2, alpha)
    fraction = rng.uniform(0.02, 0.98, size)
    return np.stack((_channel(rng, n * fraction, alpha), _channel(rng, n * (1 - fraction), alpha)))


def _channel(rng: np.random.Generator, n: np.ndarray, alpha: tuple[float, float]) -> np.ndarray:
    direction = rng.normal(size=(3, n.size))
    direction /= np.linalg.norm(direction, axis=0)
    s = 1.5 * np.abs(rng.normal(size=n.size))
    gradient = direction * s * 2 * (6 * pi**2) ** (1 / 3) * n ** (4 / 3)
    tau = (gradient**2).sum(0) / (8 * n) + 10 ** rng.uniform(*np.log10(alpha), n.size) * UNIFORM_TAU * n ** (5 / 3)
    return np.vstack((n, gradient, tau))


def extreme_densities() -> np.ndarray:
    """7 variables, n from 1e-30 to 1e6: every spin polarization, s and α from 0 to absurd, and mere noise."""
    n = np.logspace(-30, 6, 13)

    def channel(n, s2, alpha):
        sigma = 4 * (6 * np.pi**2) ** (2 / 3) * s2 * n ** (8 / 3)
        tau_w = np.divide(sigma, 8 * n, out=np.zeros_like(n), where=n > 0)
        return n, sigma, tau_w + alpha * UNIFORM_TAU * n ** (5 / 3)

    points = []
    for s2, alpha, minority, sign in product((0, 1e-12, 1, 1e8), (0, 1, 1e6), (0, 1e-30, 1e-12, 1), (1, -1)):
        (na, saa, ta), (nb, sbb, tb) = channel(n, s2, alpha), channel(n * minority, s2, alpha)
        points.append((na, nb, saa, sign * np.sqrt(saa * sbb), sbb, ta, tb))
        points.append((nb, na, sbb, sign * np.sqrt(saa * sbb), saa, tb, ta))
    for noise, nb in product((1e-40, 1e-20, 1.0), (-1e-18, 0.0, 1e-30)):
        zero, noise = 0 * n, noise + 0 * n
        points.append((n, nb + zero, zero, zero, noise, zero, noise))
        points.append((n, n, noise, -noise, noise, noise, noise))
    return np.concatenate(points, axis=-1)


@cache
def oh_radical() -> np.ndarray:
    """Rows (2, 5, n) of the UHF density of OH (6-31G, coarsest grid) where n > 1e-8 bohr⁻³."""
    from pyscf import dft, gto, scf

    mol = gto.M(atom="O 0 0 0; H 0 0 0.97", basis="6-31g", spin=1, verbose=0)
    mf = scf.UHF(mol).run()
    grids = dft.gen_grid.Grids(mol)
    grids.level = 0
    ni, ao = dft.numint.NumInt(), dft.numint.eval_ao(mol, grids.build().coords, deriv=1)
    rho = np.stack([ni.eval_rho(mol, ao, dm, xctype="MGGA", with_lapl=False) for dm in mf.make_rdm1()])
    return rho[..., rho[:, 0].sum(0) > 1e-8]
