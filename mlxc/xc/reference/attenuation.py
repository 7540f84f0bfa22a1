"""Attenuation of exchange in the uniform electron gas by erfc(ωr)/r.

The exchange energy density of a gas of Fermi wave vector k_F under the operator erfc(ωr)/r is e_x^LDA·A(x), with

    x    = ω / k_F,    k_F = (6π² n_σ)^{1/3}
    A(x) = 1 − (4x/3)·{√π erf(1/x) + (x − x³/2)·exp(−1/x²) − 3x/2 + x³/2}

(libxc and the literature often use a = x/2). A falls from 1 at x = 0 to k_F²/9ω². Expanding erf and exp in the braces,
the three terms of each power collapse to one and the leading ones cancel against the 1:

    A(x) = 2 Σ_{m≥1} (−1)^{m+1} x^{−2m} / [(2m + 1)·(m + 2)!]

This converges for every x > 0. Below SERIES_FROM the closed form is evaluated, above it SERIES_TERMS of the series:
where they meet, both have lost less than two digits in the third derivative.

Source: Gill, Adamson, Pople, Mol. Phys. 88, 1005 (1996), doi:10.1080/00268979609484488;
Iikura, Tsuneda, Yanai, Hirao, J. Chem. Phys. 115, 3540 (2001), doi:10.1063/1.1383587. The series: derived here.
"""

from math import factorial, pi, sqrt

import torch
from torch import Tensor

from mlxc.xc.safe import branch

SERIES_FROM = 1.0
SERIES_TERMS = 16
_COEFFICIENTS = [2 * (-1) ** (m + 1) / ((2 * m + 1) * factorial(m + 2)) for m in range(1, SERIES_TERMS + 1)]

#: erf(1/x) = 1 and exp(−1/x²) = 0, with their derivatives, in float64 below this x.
_UNATTENUATED_EDGE = 0.03


def attenuation(omega_over_kf: Tensor) -> Tensor:
    """A(x), the ratio of short-range to full exchange of the uniform gas.

    Args:
        omega_over_kf: x = ω/k_F of the spin channel, shape (n,), x >= 0; not a = x/2.

    Returns:
        A in (0, 1], shape (n,); relative error of A, A′, A″ and A‴ below 1e-13 for 0 <= x <= 1e12.
    """
    return branch(omega_over_kf < SERIES_FROM, omega_over_kf, _closed_form, _series, x_in=0.5, x_out=2.0)


def _closed_form(x: Tensor) -> Tensor:
    y = 1 / x.clamp(min=_UNATTENUATED_EDGE)
    gauss = torch.exp(-y * y)
    return 1 - (4 * x / 3) * (sqrt(pi) * torch.erf(y) - x * ((1.5 - gauss) - (1 - gauss) * (x * x / 2)))


def _series(x: Tensor) -> Tensor:
    u = 1 / (x * x)
    total = torch.full_like(u, _COEFFICIENTS[-1])
    for coefficient in reversed(_COEFFICIENTS[:-1]):
        total = total * u + coefficient
    return total * u
