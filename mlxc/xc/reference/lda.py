"""The local density approximation: Slater exchange per spin and Perdew–Wang 1992 correlation.

    e_xσ = −(3/4)(6/π)^{1/3} n_σ^{4/3}
    e_c  = n·{ε_0 + [α_c/f″(0)]·f(ζ)·(1 − ζ⁴) + (ε_1 − ε_0)·f(ζ)·ζ⁴}
    f(ζ) = [(1 + ζ)^{4/3} + (1 − ζ)^{4/3} − 2] / (2^{4/3} − 2)

ε_0, ε_1 and −α_c are values at r_s = (3/4πn)^{1/3} of

    G(r_s) = −2A(1 + α₁r_s)·ln{1 + 1/[2A(β₁r_s^{1/2} + β₂r_s + β₃r_s^{3/2} + β₄r_s²)]}

Every energy is written n·ε(max(n, RHO_FLOOR)): exactly zero for an empty channel, with finite derivatives there.

Sources: Dirac, Proc. Camb. Phil. Soc. 26, 376 (1930), doi:10.1017/S0305004100016108;
Perdew, Wang, Phys. Rev. B 45, 13244 (1992), doi:10.1103/PhysRevB.45.13244.
"""

from collections.abc import Callable
from math import pi
from typing import NamedTuple

import torch
from torch import Tensor

from mlxc.xc.density import Density
from mlxc.xc.reference.attenuation import attenuation
from mlxc.xc.safe import divide, power

#: Spin density below which ε(n) keeps its value at the floor, bohr⁻³: n·ε is then under 1e-26 Ha bohr⁻³.
RHO_FLOOR = 1e-20

#: Total density below which there is no ζ, bohr⁻³.
EMPTY = 1e-40

#: 1 ± ζ is not let fall below this (one unit in the last place of 1, as libxc's zeta_threshold).
ZETA_FLOOR = 2.0**-52

_F_NORM = 2 ** (4 / 3) - 2


class PW92(NamedTuple):
    """One parameter set: A, α₁, β₁ … β₄ of ε_0, of ε_1 and of −α_c, and f″(0)."""

    paramagnetic: tuple[float, ...]
    ferromagnetic: tuple[float, ...]
    stiffness: tuple[float, ...]
    curvature: float


#: Table I of doi:10.1103/PhysRevB.45.13244.
PW_ORIGINAL = PW92(
    (0.031091, 0.21370, 7.5957, 3.5876, 1.6382, 0.49294),
    (0.015545, 0.20548, 14.1189, 6.1977, 3.3662, 0.62517),
    (0.016887, 0.11125, 10.357, 3.6231, 0.88026, 0.49671),
    1.709921,
)

#: The same with more digits of A, whose exact values are (1 − ln 2)/π², half of it and 1/6π², and with f″(0) in full:
#: the PBE authors' program and libxc's "pw_mod".
PW_MOD = PW92(
    (0.0310907, *PW_ORIGINAL.paramagnetic[1:]),
    (0.01554535, *PW_ORIGINAL.ferromagnetic[1:]),
    (0.0168869, *PW_ORIGINAL.stiffness[1:]),
    8 / (9 * _F_NORM),
)


class LDA:
    """Slater exchange and PW92 correlation."""

    name, xc_type = "lda_pw", "LDA"
    omega = lr_fraction = sr_fraction = 0.0

    def edens(self, density: Density) -> Tensor:
        """XC energy per volume, shape (n,), Ha bohr⁻³."""
        return density.spin_sum(lambda n, _sigma, _tau: lda_exchange(n)) + pw92_correlation(density)


def fermi_wavevector(n_spin: Tensor) -> Tensor:
    """k_Fσ = (6π² n_σ)^{1/3} of one spin channel, bohr⁻¹, at max(n_σ, RHO_FLOOR); shape as n_spin."""
    return (6 * pi**2) ** (1 / 3) * power(n_spin, 1 / 3, RHO_FLOOR)


def lda_exchange(n_spin: Tensor) -> Tensor:
    """Exchange energy per volume of one spin channel, −(3/4)(6/π)^{1/3} n_σ^{4/3}.

    Args:
        n_spin: n_σ, shape (n,), bohr⁻³; zero is allowed.

    Returns:
        e_xσ, shape (n,), Ha bohr⁻³; exactly 0 at n_σ = 0.
    """
    return n_spin * (-3 / (4 * pi)) * fermi_wavevector(n_spin)


def short_range_lda_exchange(n_spin: Tensor, omega: float | Tensor) -> Tensor:
    """Exchange energy per volume of one spin channel for erfc(ωr)/r: e_xσ·A(ω/k_Fσ), shape (n,), Ha bohr⁻³."""
    return lda_exchange(n_spin) * attenuation(omega / fermi_wavevector(n_spin))


def pw92_energy_density(na: Tensor, nb: Tensor) -> Tensor:
    """Correlation energy per volume of the uniform gas, n·ε_c(r_s, ζ), with PW_MOD.

    Args:
        na: spin-up density, shape (n,), bohr⁻³; zero is allowed.
        nb: spin-down density, the same.

    Returns:
        e_c, shape (n,), Ha bohr⁻³; exactly 0 where n = 0.
    """
    n = na + nb
    return n * _interpolate(_root_rs(n), *spin_fractions(na, nb), PW_MOD, _g)


def pw92_polarized(n: Tensor, parameters: PW92 = PW_MOD) -> Tensor:
    """e_c(n, 0) of a gas of one spin, n·ε_1(r_s), shape (n,), Ha bohr⁻³."""
    return n * _g(_root_rs(n), parameters.ferromagnetic)


def pw92_per_electron(density: Density, parameters: PW92 = PW_MOD) -> Tensor:
    """ε_c of a density of either kind, shape (n,), Ha; a closed shell costs one G in place of three."""
    return _of_density(density, parameters, _g)


def pw92_correlation(density: Density, parameters: PW92 = PW_MOD) -> Tensor:
    """e_c = n·ε_c of a density of either kind, shape (n,), Ha bohr⁻³; exactly 0 where n = 0."""
    return density.n * pw92_per_electron(density, parameters)


def pw92_rs_derivative(density: Density) -> Tensor:
    """∂ε_c/∂r_s at constant ζ, shape (n,), Ha bohr⁻¹ (r2SCAN is built from it)."""
    return _of_density(density, PW_MOD, _g_prime)


def spin_fractions(na: Tensor, nb: Tensor) -> tuple[Tensor, Tensor]:
    """(1 + ζ, 1 − ζ) without cancellation, each clipped at ZETA_FLOOR; (1, 1) where there is no density; shape (n,)."""
    up, down = (divide(2 * n, na + nb, EMPTY, otherwise=1.0) for n in (na, nb))
    return up.clamp(min=ZETA_FLOOR), down.clamp(min=ZETA_FLOOR)


def stoll_partition(density: Density, parameters: PW92 = PW_MOD) -> tuple[Tensor, Tensor, Tensor]:
    """PW92 correlation divided into like-spin and unlike-spin parts.

        e_c^{σσ} = e_c(n_σ, 0),    e_c^{ab} = e_c(n_a, n_b) − e_c^{aa} − e_c^{bb}

    Args:
        density: either kind; only ``rho`` is used.
        parameters: of PW92.

    Returns:
        (e_c^{aa}, e_c^{bb}, e_c^{ab}), each of shape (n,), Ha bohr⁻³; for a closed shell the first two are one tensor.

    Source: Stoll, Pavlidou, Preuss, Theor. Chim. Acta 49, 143 (1978), doi:10.1007/PL00020511.
    """
    aa = pw92_polarized(density.rho[0], parameters)
    bb = aa if density.closed_shell else pw92_polarized(density.rho[1], parameters)
    return aa, bb, pw92_correlation(density, parameters) - aa - bb


def _root_rs(n: Tensor) -> Tensor:
    """√r_s, r_s = (3/4πn)^{1/3} at max(n, RHO_FLOOR)."""
    return (3 / (4 * pi)) ** (1 / 6) * power(n, -1 / 6, RHO_FLOOR)


def _of_density(density: Density, parameters: PW92, g: Callable) -> Tensor:
    root_rs = _root_rs(density.n)
    if density.closed_shell:
        return g(root_rs, parameters.paramagnetic)
    return _interpolate(root_rs, *spin_fractions(*density.rho), parameters, g)


def _interpolate(root_rs: Tensor, up: Tensor, down: Tensor, parameters: PW92, g: Callable) -> Tensor:
    """The sum in braces: linear in the three G, and so the same for their derivatives."""
    f = (up ** (4 / 3) + down ** (4 / 3) - 2) / _F_NORM
    zeta4 = ((up - down) / 2) ** 4
    para, ferro = g(root_rs, parameters.paramagnetic), g(root_rs, parameters.ferromagnetic)
    stiffness = -g(root_rs, parameters.stiffness) / parameters.curvature
    return para + f * (stiffness * (1 - zeta4) + (ferro - para) * zeta4)


def _g(root_rs: Tensor, parameters: tuple[float, ...]) -> Tensor:
    a, alpha1, beta1, beta2, beta3, beta4 = parameters
    q = 2 * a * root_rs * (beta1 + root_rs * (beta2 + root_rs * (beta3 + root_rs * beta4)))
    return -2 * a * (1 + alpha1 * root_rs * root_rs) * torch.log1p(1 / q)


def _g_prime(root_rs: Tensor, parameters: tuple[float, ...]) -> Tensor:
    """dG/dr_s."""
    a, alpha1, beta1, beta2, beta3, beta4 = parameters
    q = 2 * a * root_rs * (beta1 + root_rs * (beta2 + root_rs * (beta3 + root_rs * beta4)))
    q_prime = a * (beta1 / root_rs + 2 * beta2 + root_rs * (3 * beta3 + root_rs * 4 * beta4))
    return 2 * a * ((1 + alpha1 * root_rs * root_rs) * q_prime / (q * (1 + q)) - alpha1 * torch.log1p(1 / q))
