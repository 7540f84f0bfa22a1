"""How far a functional is from each law of `constraints`: sampled densities, and the largest error found on them."""

from collections.abc import Callable
from math import pi

import torch
from torch import Tensor

from mlxc.xc import features
from mlxc.xc.density import Density
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


def one_orbital_per_spin(n: int = 4000) -> Density:
    """Densities of one real orbital in each channel: τ_σ = τ_Wσ."""
    d = sampled_density(n)
    return Density(d.rho, d.sigma, d.sigma[::2] / (8 * d.rho))


def any_exact_exchange(d: Density, seed: int = 1) -> Tensor:
    """Random e_xσ^{SR,HF}, between 0 and twice the uniform gas's e_x(n_σ), (2, n): laws hold for each of them."""
    generator = torch.Generator().manual_seed(seed)
    fraction = 2 * torch.rand(d.rho.shape, generator=generator, dtype=d.rho.dtype)
    return fraction * torch.stack([lda_exchange(rho) for rho in d.rho])


def swapped(d: Density) -> Density:
    """The density with its spins exchanged."""
    return Density(d.rho.flip(0), d.sigma.flip(0), d.tau.flip(0))


def channel_doubled(d: Density, spin: int) -> Density:
    """The closed shell both of whose channels are one channel of d."""
    return Density(d.rho[[spin, spin]], d.sigma[[2 * spin] * 3], d.tau[[spin, spin]])


def scaled(d: Density, factor: float) -> Density:
    """The uniformly scaled density λ³ n(λr) at the scaled points."""
    return Density(factor**3 * d.rho, factor**8 * d.sigma, factor**5 * d.tau)


def exchange(functional, d: Density, omega: float | None = None) -> Tensor:
    """The functional's semilocal exchange energy density e_x^{SR,sl}, (n,); with ω = 0 its model of all exchange."""
    return functional.sum(functional.exchange_terms(d, omega))


def correlation(functional, d: Density) -> Tensor:
    """The functional's correlation energy density, (n,)."""
    return functional.sum(functional.correlation_terms(d))


def like_spin_correlation(functional, d: Density) -> Tensor:
    """Its like-spin part, (n,)."""
    return functional.sum(t for t in functional.correlation_terms(d) if t.network == "same_spin")


def replacement(functional, d: Density, exact: Tensor) -> Tensor:
    """What the functional has in place of short-range exact exchange, minus that, (n,).

    Args:
        functional, d: functional and density.
        exact: e_xσ^{SR,HF} with the functional's ω, (2, n), Ha bohr⁻³.
    """
    if hasattr(functional, "replacement"):
        return functional.replacement(d, exact)
    return (1 - functional.sr_fraction) * (exchange(functional, d) - exact.sum(0))


def energy(functional, d: Density, exact: Tensor) -> Tensor:
    """XC energy density as a function of the density and, in a local hybrid, of e_xσ^{SR,HF}, (n,)."""
    local = functional.replacement(d, exact) if hasattr(functional, "replacement") else 0.0
    return functional.edens(d) + local


def beyond_lieb_oxford(functional, d: Density) -> Tensor:
    """Excess of the enhancement of full-range exchange over its bounds, (n,)."""
    enhancement = exchange(functional, d, omega=0.0) / exchange_scale(d)
    return torch.maximum(enhancement - 1.804, -enhancement).clamp(min=0)


def _largest(error: Tensor, scale: Tensor) -> float:
    return float((error.abs() / scale.abs()).max())


def exchange_scale(d: Density) -> Tensor:
    """Exchange energy of the uniform gas, (n,)."""
    return d.spin_sum(lambda rho, _sigma, _tau: lda_exchange(rho))


def gas_error(f, d: Density) -> Tensor:
    """Relative error of the XC energy without the exact exchange that the host program computes, in uniform gases."""
    x = torch.stack([short_range_lda_exchange(rho, f.local_omega) for rho in d.rho])
    long_range = torch.stack([lda_exchange(rho) for rho in d.rho]) - x
    exact = ((1 - f.sr_fraction) * x + (1 - f.long_range_fraction) * long_range).sum(0) + pw92_correlation(d)
    return energy(f, d, x) / exact - 1


def gas_violation(f) -> float:
    """Largest relative error of the XC energy in uniform gases."""
    return float(gas_error(f, uniform_gas()).abs().max())


def _one_electron_terms(term: Callable[[Density, Tensor], Tensor], d: Density) -> Tensor:
    """A term of the energy density and its derivatives to second order, each times the occupied channel's variables.

    Args:
        term: a function of a density and e_xσ^{SR,HF}, whose values here are random.
        d: densities of one spin orbital. Their derivatives in the empty channel's variables count too.

    Returns:
        (k, n) values of the dimension of the energy, Ha bohr⁻³; second derivatives that are 0 as such are left out.
    """
    exact = any_exact_exchange(d)
    sizes = (*d.rho[[0, 0]], *d.sigma[[0, 0, 0]], *d.tau[[0, 0]], *exact[[0, 0]])
    with torch.enable_grad():
        x = [v.detach().requires_grad_() for v in (*d.rho, *d.sigma, *d.tau, *exact)]
        value = term(Density.from_variables(tuple(x[:7])), torch.stack(x[7:]))
        terms = [value]
        slopes = torch.autograd.grad(value.sum(), x, create_graph=True, materialize_grads=True)
        for slope, size in zip(slopes, sizes, strict=True):
            terms.append(slope * size)
            if slope.requires_grad:
                bends = torch.autograd.grad(slope.sum(), x, retain_graph=True, materialize_grads=True)
                terms += [bend * size * other for bend, other in zip(bends, sizes, strict=True)]
    return torch.stack(terms).detach()


def one_electron_violation(f) -> float:
    """Correlation's energy, potential and kernel for one spin orbital, in units of PW92's energy."""
    d = one_orbital(500)
    return _largest(_one_electron_terms(lambda d, _: correlation(f, d), d), pw92_correlation(d))


def exact_exchange_violation(f) -> float:
    """The same of what replaces exact exchange, in units of the uniform gas's exchange."""
    d = one_orbital(500)
    terms = _one_electron_terms(lambda d, exact: replacement(f, d, exact), d)
    return _largest(terms, exchange_scale(d))


def like_spin_violation(f) -> float:
    """Like-spin correlation of one orbital per channel, in units of PW92's energy."""
    d = one_orbital_per_spin()
    return _largest(like_spin_correlation(f, d), pw92_correlation(d))


def sign_violation(f) -> float:
    """Largest positive correlation energy, in units of PW92's."""
    d = sampled_density()
    return float((correlation(f, d) / pw92_correlation(d).abs()).clamp(min=0).max())


def spin_symmetry_violation(f) -> float:
    """Change of the XC energy when the spins are exchanged, in units of the uniform gas's exchange."""
    d = sampled_density()
    exact = any_exact_exchange(d)
    return _largest(energy(f, d, exact) - energy(f, swapped(d), exact.flip(0)), exchange_scale(d))


def spin_scaling_violation(f) -> float:
    """Relative error of the spin-scaling relation of the semilocal exchange."""
    d = sampled_density()
    halves = (exchange(f, channel_doubled(d, 0)) + exchange(f, channel_doubled(d, 1))) / 2
    return _largest(exchange(f, d) - halves, exchange(f, d))


def coordinate_scaling_violation(f) -> float:
    """Relative error of the scaling of full-range semilocal exchange with the coordinates."""
    d, factor = sampled_density(), 1.7
    expected = factor**4 * exchange(f, d, omega=0.0)
    return _largest(exchange(f, scaled(d, factor), omega=0.0) - expected, expected)


def lieb_oxford_violation(f) -> float:
    """Excess of the enhancement of full-range exchange over its bounds."""
    return float(beyond_lieb_oxford(f, sampled_density()).max())


def long_range_violation(f) -> float:
    """What is missing from full exact exchange at long range."""
    everywhere = f.omega == 0 and f.sr_fraction == 1
    return abs(1 - f.lr_fraction) + (0.0 if f.omega > 0 or everywhere else 1.0)
