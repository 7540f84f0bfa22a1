"""The generalized gradient approximation of Perdew, Burke and Ernzerhof.

Exchange, per spin channel (spin-scaled):

    e_xσ = e_xσ^LDA·F(s_σ²),    F = 1 + κ − κ/(1 + μs²/κ)
    s_σ² = |∇n_σ|² / [4(6π²)^{2/3} n_σ^{8/3}]

Correlation, with φ = [(1 + ζ)^{2/3} + (1 − ζ)^{2/3}]/2 and t² = π|∇n|²/(16φ²k_F n²), k_F = (3π²n)^{1/3}:

    e_c = n·{ε_c + γφ³ ln[1 + (β/γ) t² (1 + At²)/(1 + At² + A²t⁴)]},    A = (β/γ)/w,  w = exp(−ε_c/γφ³) − 1

Written in v = At²(1 + At²) the logarithm is ln[1 + w·v/(1 + v)], which stays finite for any gradient.

Source: Perdew, Burke, Ernzerhof, Phys. Rev. Lett. 77, 3865 (1996), doi:10.1103/PhysRevLett.77.3865.
"""

from math import log, pi

import torch
from torch import Tensor

from mlxc.xc.density import Density
from mlxc.xc.reference.lda import RHO_FLOOR, lda_exchange, pw92_per_electron, spin_fractions
from mlxc.xc.safe import power

#: κ, β and γ of doi:10.1103/PhysRevLett.77.3865; β with the digits of the authors' program, μ = βπ²/3.
KAPPA = 0.804
BETA = 0.06672455060314922
GAMMA = (1 - log(2)) / pi**2
MU = BETA * pi**2 / 3


class PBE:
    """PBE exchange and correlation."""

    name, xc_type = "pbe", "GGA"
    omega = lr_fraction = sr_fraction = 0.0

    def edens(self, density: Density) -> Tensor:
        """XC energy per volume, shape (n,), Ha bohr⁻³."""
        return density.spin_sum(lambda n, sigma, _tau: pbe_exchange(n, sigma)) + pbe_correlation(density)


def spin_reduced_gradient(n_spin: Tensor, sigma_spin: Tensor) -> Tensor:
    """s_σ² of one spin channel, shape (n,), 1; from n_σ in bohr⁻³ and σ_σσ in bohr⁻⁸."""
    return sigma_spin * power(n_spin, -8 / 3, RHO_FLOOR) / (4 * (6 * pi**2) ** (2 / 3))


def pbe_exchange(n_spin: Tensor, sigma_spin: Tensor) -> Tensor:
    """Exchange energy per volume of one spin channel, shape (n,), Ha bohr⁻³; 0 at n_σ = 0."""
    enhancement = 1 + KAPPA - KAPPA / (1 + (MU / KAPPA) * spin_reduced_gradient(n_spin, sigma_spin))
    return lda_exchange(n_spin) * enhancement


def pbe_correlation(density: Density) -> Tensor:
    """Correlation energy per volume, shape (n,), Ha bohr⁻³."""
    n, sigma, phi = density.n, density.sigma_total, spin_scaling(density)
    epsilon_c = pw92_per_electron(density)
    gamma_phi3 = GAMMA * phi**3
    w = torch.expm1(-epsilon_c / gamma_phi3)
    t2 = pi / (16 * (3 * pi**2) ** (1 / 3)) * sigma * power(n, -7 / 3, RHO_FLOOR) / phi**2
    a_t2 = (BETA / GAMMA) * t2 / w
    v = a_t2 * (1 + a_t2)
    return n * (epsilon_c + gamma_phi3 * torch.log1p(w * (v / (1 + v))))


def spin_scaling(density: Density) -> Tensor:
    """φ = [(1 + ζ)^{2/3} + (1 − ζ)^{2/3}]/2, shape (n,), 1."""
    if density.closed_shell:
        return torch.ones_like(density.rho[0])
    up, down = spin_fractions(*density.rho)
    return (up ** (2 / 3) + down ** (2 / 3)) / 2
