"""Dimensionless variables of the density: the inputs of the networks, all smooth and bounded for real densities.

Built from s² rather than s, from β rather than α and from ζ² rather than |ζ|, so that no square root or modulus
spoils a derivative where the gradient, the kinetic energy or the polarisation vanishes.

    k_F  = (3π² n)^⅓                        τ_W = |∇n|² / 8n       τ_UEG = (3/10) (3π²)^⅔ n^(5/3)
    s²   = |∇n|² / (2 k_F n)²               α   = (τ − τ_W) / τ_UEG
    u    = γ s² / (1 + γ s²)                in [0, 1):  0 at ∇n = 0
    w    = 1 − 2β,  β = (τ − τ_W) / (τ + τ_UEG)   in (−1, 1]:  1 at one orbital, 0 at s = 0 and α = 1
    v    = ω / (ω + k_F)                    in (0, 1):  1 in the tail
    r    = r_s / (1 + r_s)                  in (0, 1)
    h    = e² / (e² + e_gas²)               in [0, 1]:  how compact the exchange hole is, ½ in the uniform gas

Of one spin channel n stands for 2n_σ (spin scaling), so k_F = (6π² n_σ)^⅓ and τ_UEGσ = (3/10) (6π²)^⅔ n_σ^(5/3).
u = w = 0 holds for the uniform gas and, for any n, only there. β: Furness & Sun, doi:10.1103/PhysRevB.99.041119;
γ = μ/κ of PBE, doi:10.1103/PhysRevLett.77.3865, for which u is PBE's own (F_x − 1)/κ. h compares exact exchange per
volume with that of the uniform gas, both of the same range: where the hole is spread out, as at a shared hole or in a
stretched bond, it is small; the ratio as an input: doi:10.1103/PhysRevA.78.052513.
"""

from dataclasses import dataclass
from math import pi

import torch
from torch import Tensor

from mlxc.xc.density import Density
from mlxc.xc.reference.lda import RHO_FLOOR
from mlxc.xc.safe import power

GAMMA = 0.2195149727645171 / 0.804
TAU_UEG = 0.3 * (6 * pi**2) ** (2 / 3)

#: Spin density below which a channel is empty, bohr⁻³; its variables are then those of a uniform gas of density 1.
EMPTY_CHANNEL = 1e-15

#: τ/τ_UEG below which an orbital's gradient counts as vanished, with τ_W as with τ: z = 1 without a slope, for τ_W/τ is
#: rounding noise there, and its derivative would multiply rounding errors of the energy by 1/τ.
STATIONARY = 1e-8


#: Square of an energy density that counts as none.
TINY = 1e-300


@dataclass(frozen=True)
class Variables:
    """Dimensionless variables of one spin channel or of the total density, each of shape (n,)."""

    kf: Tensor
    s2: Tensor
    u: Tensor
    w: Tensor
    z: Tensor
    r: Tensor


def channel(rho: Tensor, sigma: Tensor, tau: Tensor) -> tuple[Tensor, Variables]:
    """Variables of one spin channel.

    Args:
        rho, sigma, tau: ρ_σ, |∇ρ_σ|², τ_σ of the channel, shape (n,).

    Returns:
        (occupied, variables): 1 where the channel is not empty, else 0. Where it is empty the variables are those of
        a uniform gas, without a gradient: multiply by ``occupied``.
    """
    occupied = rho > EMPTY_CHANNEL
    rho = torch.where(occupied, rho, 1.0)
    sigma = torch.where(occupied, sigma, 0.0)
    tau = torch.where(occupied, tau, TAU_UEG)
    tau_ueg = TAU_UEG * rho ** (5 / 3)
    return occupied.to(rho.dtype), _variables(2 * rho, 4 * sigma, 2 * tau, 2 * tau_ueg)


def total(density: Density) -> Variables:
    """Variables of the total density; τ_UEG is the sum of the channels', so that w = 0 for a gas of any ζ."""
    tau_ueg = TAU_UEG * (density.rho * power(density.rho, 2 / 3, RHO_FLOOR)).sum(0)
    return _variables(density.n, density.sigma_total, density.tau_total, tau_ueg)


def hole(exact: Tensor, gas: Tensor) -> Tensor:
    """h of exact exchange and the uniform gas's, each per volume, (n,); 0 where there is neither."""
    square = exact**2
    return square / (square + gas**2).clamp(min=TINY)


def zeta2(density: Density) -> Tensor:
    """ζ² = ((n_a − n_b) / n)²; zero for closed shells."""
    if density.closed_shell:
        return torch.zeros_like(density.n)
    return ((density.rho[0] - density.rho[1]) / density.n) ** 2


def _variables(n: Tensor, sigma: Tensor, tau: Tensor, tau_ueg: Tensor) -> Variables:
    kf = (3 * pi**2 * n) ** (1 / 3)
    gradient_unit = (2 * kf * n) ** 2
    u = GAMMA * sigma / (GAMMA * sigma + gradient_unit)  # not γs²/(1 + γs²): no overflow for any s²
    tau = tau.clamp(min=0)
    tau_w = sigma / (8 * n)
    moving = tau > STATIONARY * tau_ueg
    z = torch.where(moving, tau_w / torch.where(moving, tau, 1.0), 1.0)
    w = 1 - 2 * (tau - tau_w) / (tau + tau_ueg)
    rs = (3 / (4 * pi * n)) ** (1 / 3)
    return Variables(kf, sigma / gradient_unit, u, w, z, rs / (1 + rs))
