"""How far a functional is from each law of `constraints`: sampled densities, and the largest error found on them."""

import copy
from itertools import combinations_with_replacement
from math import pi

import torch
from torch import Tensor

from mlxc.xc import features
from mlxc.xc.density import Density
from mlxc.xc.derivatives import xc_rows
from mlxc.xc.reference.lda import lda_exchange, pw92_correlation, short_range_lda_exchange


def sampled_density(n: int = 4000, seed: int = 0) -> Density:
    """Random spin densities with τ_σ ≥ τ_Wσ: n_σ in 1e-6 … 1e3 bohr⁻³, s_σ up to 10, α_σ up to 10."""
    generator = torch.Generator().manual_seed(seed)
    uniform = lambda low, high: low + (high - low) * torch.rand(2, n, generator=generator, dtype=torch.float64)  # noqa: E731
    rho = 10 ** uniform(-6, 3)
    length = 2 * (6 * pi**2 * rho) ** (1 / 3) * rho * uniform(0, 10)
    cosine = uniform(-1, 1)[0]
    sigma = torch.stack((length[0] ** 2, cosine * length[0] * length[1], length[1] ** 2))
    tau = length**2 / (8 * rho) + uniform(0, 10) * features.TAU_UEG * rho ** (5 / 3)
    return Density(rho, sigma, tau)


def uniform_gas(n: int = 200) -> Density:
    """Uniform gases of any density and polarisation: σ = 0 and τ_σ = τ_UEGσ."""
    rho = sampled_density(n).rho
    return Density(rho, torch.zeros(3, n, dtype=rho.dtype), features.TAU_UEG * rho ** (5 / 3))


def one_orbital(n: int = 4000) -> Density:
    """Densities of a single real spin orbital: n_b = 0 and τ_a = τ_Wa."""
    d = sampled_density(n)
    off = torch.tensor([[1.0], [0.0]], dtype=d.rho.dtype)
    sigma = d.sigma * torch.tensor([[1.0], [0.0], [0.0]], dtype=d.rho.dtype)
    return Density(d.rho * off, sigma, sigma[::2] / (8 * d.rho))


def one_orbital_per_spin() -> Density:
    """Densities of one real orbital in each channel: τ_σ = τ_Wσ."""
    d = sampled_density()
    return Density(d.rho, d.sigma, d.sigma[::2] / (8 * d.rho))


def swapped(d: Density) -> Density:
    """The density with its spins exchanged."""
    return Density(d.rho.flip(0), d.sigma.flip(0), d.tau.flip(0))


def channel_doubled(d: Density, spin: int) -> Density:
    """The closed shell both of whose channels are one channel of d."""
    return Density(d.rho[[spin, spin]], d.sigma[[2 * spin] * 3], d.tau[[spin, spin]])


def scaled(d: Density, factor: float) -> Density:
    """The uniformly scaled density λ³ n(λr) at the scaled points."""
    return Density(factor**3 * d.rho, factor**8 * d.sigma, factor**5 * d.tau)


def exchange(functional, d: Density) -> Tensor:
    """The functional's semilocal exchange energy density e_x^{SR,sl}, (n,)."""
    return functional.sum(functional.exchange_terms(d))


def correlation(functional, d: Density) -> Tensor:
    """The functional's correlation energy density, (n,)."""
    return functional.sum(functional.correlation_terms(d))


def _unscreened(functional):
    """The functional with ω → 0: its model of full-range exchange."""
    full = copy.copy(functional)
    full.local_omega = 0.0
    return full


def _largest(error: Tensor, scale: Tensor) -> float:
    return float((error.abs() / scale.abs()).max())


def gas_violation(f) -> float:
    """Relative error of the XC energy in uniform gases."""
    d = uniform_gas()
    x = torch.stack([short_range_lda_exchange(rho, f.local_omega) for rho in d.rho])
    exact = (1 - f.sr_fraction) * x.sum(0) + pw92_correlation(d)
    energy = f.edens(d) + (f.replacement(d, x) if hasattr(f, "replacement") else 0.0)
    return _largest(energy - exact, exact)


class _Correlation:
    """The correlation of a functional as one that can be differentiated."""

    def __init__(self, functional):
        self.functional = functional

    def edens(self, density: Density) -> Tensor:
        return correlation(self.functional, density)


def one_electron_violation(f) -> float:
    """Energy, potential and kernel, each times the occupied channel's variables, in units of PW92's energy."""
    d = one_orbital(500)
    (rho, _), (sigma, _, _), (tau, _) = d.rho, d.sigma, d.tau
    sizes = (rho, rho, sigma, sigma, sigma, tau, tau)
    rows = xc_rows(_Correlation(f), (*d.rho, *d.sigma, *d.tau), 2)
    scale = [rho, *sizes, *(a * b for a, b in combinations_with_replacement(sizes, 2))]
    return _largest(rows * torch.stack(scale), pw92_correlation(d))


def like_spin_violation(f) -> float:
    """Like-spin correlation of one orbital per channel, in units of PW92's energy."""
    d = one_orbital_per_spin()
    like = f.sum(t for t in f.correlation_terms(d) if t.network == "same_spin")
    return _largest(like, pw92_correlation(d))


def sign_violation(f) -> float:
    """Largest positive correlation energy, in units of PW92's."""
    d = sampled_density()
    return float((correlation(f, d) / pw92_correlation(d).abs()).clamp(min=0).max())


def spin_symmetry_violation(f) -> float:
    """Relative change of the XC energy when the spins are exchanged."""
    d = sampled_density()
    return _largest(f.edens(d) - f.edens(swapped(d)), f.edens(d))


def spin_scaling_violation(f) -> float:
    """Relative error of the spin-scaling relation of the semilocal exchange."""
    d = sampled_density()
    halves = (exchange(f, channel_doubled(d, 0)) + exchange(f, channel_doubled(d, 1))) / 2
    return _largest(exchange(f, d) - halves, exchange(f, d))


def coordinate_scaling_violation(f) -> float:
    """Relative error of the scaling of full-range semilocal exchange with the coordinates."""
    d, full, factor = sampled_density(), _unscreened(f), 1.7
    return _largest(exchange(full, scaled(d, factor)) - factor**4 * exchange(full, d), factor**4 * exchange(full, d))


def lieb_oxford_violation(f) -> float:
    """Excess of the enhancement of full-range exchange over its bounds."""
    d = sampled_density()
    enhancement = exchange(_unscreened(f), d) / d.spin_sum(lambda rho, _sigma, _tau: lda_exchange(rho))
    return float(torch.maximum(enhancement - 1.804, -enhancement).clamp(min=0).max())


def long_range_violation(f) -> float:
    """What is missing from full exact exchange at long range."""
    everywhere = f.omega == 0 and f.sr_fraction == 1
    return abs(1 - f.lr_fraction) + (0.0 if f.omega > 0 or everywhere else 1.0)
