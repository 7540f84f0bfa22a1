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

from math import pi

import torch
from torch import Tensor

from mlxc.xc.density import Density
from mlxc.xc.reference.attenuation import attenuation
from mlxc.xc.safe import power

#: Spin density below which ε(n) keeps its value at the floor, bohr⁻³: n·ε is then under 1e-26 Ha bohr⁻³.
RHO_FLOOR = 1e-20

#: 1 ± ζ is not let fall below this (one unit in the last place of 1, as libxc's zeta_threshold).
ZETA_FLOOR = 2.0**-52

#: A, α₁, β₁ … β₄ of ε_0, ε_1 and −α_c: Table I of doi:10.1103/PhysRevB.45.13244, with A as the PBE authors give it
#: ("pw_mod" of libxc): (1 − ln 2)/π², half of it, and 1/6π², to six digits.
PARAMAGNETIC = (0.0310907, 0.21370, 7.5957, 3.5876, 1.6382, 0.49294)
FERROMAGNETIC = (0.01554535, 0.20548, 14.1189, 6.1977, 3.3662, 0.62517)
SPIN_STIFFNESS = (0.0168869, 0.11125, 10.357, 3.6231, 0.88026, 0.49671)

_F_NORM = 2 ** (4 / 3) - 2
_F_CURVATURE = 8 / (9 * _F_NORM)  # f″(0)


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
    """Correlation energy per volume of the uniform gas, n·ε_c(r_s, ζ).

    Args:
        na: spin-up density, shape (n,), bohr⁻³; zero is allowed.
        nb: spin-down density, the same.

    Returns:
        e_c, shape (n,), Ha bohr⁻³.
    """
    n = na + nb
    safe_n = n.clamp(min=RHO_FLOOR)
    f = (power(2 * na / safe_n, 4 / 3, ZETA_FLOOR) + power(2 * nb / safe_n, 4 / 3, ZETA_FLOOR) - 2) / _F_NORM
    zeta4 = ((na - nb) / safe_n) ** 4
    root_rs = _root_rs(safe_n)
    stiffness = -_g(root_rs, SPIN_STIFFNESS) / _F_CURVATURE
    para, ferro = _g(root_rs, PARAMAGNETIC), _g(root_rs, FERROMAGNETIC)
    return n * (para + f * (stiffness * (1 - zeta4) + (ferro - para) * zeta4))


def pw92_polarized(n: Tensor) -> Tensor:
    """e_c(n, 0) of a gas of one spin, n·ε_1(r_s), shape (n,), Ha bohr⁻³."""
    return n * _g(_root_rs(n.clamp(min=RHO_FLOOR)), FERROMAGNETIC)


def pw92_unpolarized(n: Tensor) -> Tensor:
    """e_c(n/2, n/2), n·ε_0(r_s), shape (n,), Ha bohr⁻³."""
    return n * _g(_root_rs(n.clamp(min=RHO_FLOOR)), PARAMAGNETIC)


def pw92_correlation(density: Density) -> Tensor:
    """e_c of a density of either kind, shape (n,), Ha bohr⁻³; a closed shell costs one G in place of three."""
    return pw92_unpolarized(density.n) if density.closed_shell else pw92_energy_density(*density.rho)


def stoll_partition(density: Density) -> tuple[Tensor, Tensor, Tensor]:
    """PW92 correlation divided into like-spin and unlike-spin parts.

        e_c^{σσ} = e_c(n_σ, 0),    e_c^{ab} = e_c(n_a, n_b) − e_c^{aa} − e_c^{bb}

    Args:
        density: either kind; only ``rho`` is used.

    Returns:
        (e_c^{aa}, e_c^{bb}, e_c^{ab}), each of shape (n,), Ha bohr⁻³; for a closed shell the first two are one tensor.

    Source: Stoll, Pavlidou, Preuss, Theor. Chim. Acta 49, 143 (1978), doi:10.1007/BF02399063.
    """
    aa = pw92_polarized(density.rho[0])
    bb = aa if density.closed_shell else pw92_polarized(density.rho[1])
    return aa, bb, pw92_correlation(density) - aa - bb


def _root_rs(n: Tensor) -> Tensor:
    """√r_s, r_s = (3/4πn)^{1/3}."""
    return (3 / (4 * pi)) ** (1 / 6) * n ** (-1 / 6)


def _g(root_rs: Tensor, parameters: tuple[float, ...]) -> Tensor:
    a, alpha1, beta1, beta2, beta3, beta4 = parameters
    denominator = root_rs * (beta1 + root_rs * (beta2 + root_rs * (beta3 + root_rs * beta4)))
    return -2 * a * (1 + alpha1 * root_rs * root_rs) * torch.log1p(1 / (2 * a * denominator))
