"""ωB97: long-range exact exchange, short-range B97 exchange, B97 correlation.

Exact exchange enters with fraction 1 at long range and 0 at short range (the host computes it). The rest is

    Σ_σ e_xσ^LDA·A(ω/k_Fσ)·g(c_x, u(γ_x s_σ²)) + Σ_σ e_c^{σσ}·g(c_ss, u(γ_ss s_σ²)) + e_c^{ab}·g(c_ab, u(γ_ab s_ab²))

    g(c, u) = Σ_i c_i uⁱ,   u(y) = y/(1 + y),   s_σ² = |∇n_σ|²/n_σ^{8/3},   s_ab² = (s_a² + s_b²)/2

with PW92 correlation (the original parameters) in Stoll's partition and A the attenuation factor of the uniform gas.

Sources: Chai, Head-Gordon, J. Chem. Phys. 128, 084106 (2008), doi:10.1063/1.2834918;
the power series: Becke, J. Chem. Phys. 107, 8554 (1997), doi:10.1063/1.475007.
"""

import torch
from torch import Tensor

from mlxc.xc.density import Density
from mlxc.xc.reference.lda import PW_ORIGINAL, RHO_FLOOR, short_range_lda_exchange, stoll_partition
from mlxc.xc.safe import power

#: Range separation, bohr⁻¹, and series of ωB97: Table I of doi:10.1063/1.2834918.
OMEGA = 0.4
EXCHANGE = (1.0, 1.13116, -2.74915, 12.09, -5.71642)
SAME_SPIN = (1.0, -2.55352, 11.8926, -26.9452, 17.0927)
OPPOSITE_SPIN = (1.0, 3.99051, -17.0066, 1.07292, 8.88211)

#: γ of each series, doi:10.1063/1.475007.
GAMMA_X, GAMMA_SS, GAMMA_AB = 0.004, 0.2, 0.006


class WB97:
    """The semilocal part of ωB97."""

    name, xc_type = "wb97", "GGA"
    omega, lr_fraction, sr_fraction = OMEGA, 1.0, 0.0

    def edens(self, density: Density) -> Tensor:
        """XC energy per volume without exact exchange, shape (n,), Ha bohr⁻³."""
        exchange = density.spin_sum(lambda n, sigma, _tau: wb97_exchange(n, sigma))
        return exchange + wb97_correlation(density)


def wb97_exchange(n_spin: Tensor, sigma_spin: Tensor) -> Tensor:
    """Short-range exchange energy per volume of one spin channel, shape (n,), Ha bohr⁻³; 0 at n_σ = 0."""
    series = _series(EXCHANGE, GAMMA_X * _s2(n_spin, sigma_spin))
    return short_range_lda_exchange(n_spin, OMEGA) * series


def wb97_correlation(density: Density) -> Tensor:
    """Correlation energy per volume, shape (n,), Ha bohr⁻³."""
    c_aa, c_bb, c_ab = stoll_partition(density, PW_ORIGINAL)
    s2_a = _s2(density.rho[0], density.sigma[0])
    s2_b = s2_a if density.closed_shell else _s2(density.rho[1], density.sigma[2])
    same = c_aa * _series(SAME_SPIN, GAMMA_SS * s2_a) + c_bb * _series(SAME_SPIN, GAMMA_SS * s2_b)
    return same + c_ab * _series(OPPOSITE_SPIN, GAMMA_AB * (s2_a + s2_b) / 2)


def _s2(n_spin: Tensor, sigma_spin: Tensor) -> Tensor:
    return sigma_spin * power(n_spin, -8 / 3, RHO_FLOOR)


def _series(coefficients: tuple[float, ...], y: Tensor) -> Tensor:
    """Σ_i c_i uⁱ with u = y/(1 + y), by Horner's rule."""
    u = y / (1 + y)
    total = torch.full_like(u, coefficients[-1])
    for c in reversed(coefficients[:-1]):
        total = total * u + c
    return total
