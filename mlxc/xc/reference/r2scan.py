"""The regularized-restored meta-GGA r2SCAN.

Every ingredient is a function of p = s², ζ, r_s and the regularized iso-orbital indicator

    ᾱ = (τ − τ_W) / (τ_U + η τ_W),   τ_W = |∇n|²/8n,   τ_U = (3/10)(3π²)^{2/3} n^{5/3} d_s(ζ)

Energies of one orbital (index 0, ᾱ = 0) and of slowly varying density (index 1, ᾱ = 1) are joined by f(ᾱ):

    f = exp[−c₁ᾱ/(1 − ᾱ)] (ᾱ < 0),   Σ_i c_i ᾱⁱ (0 ≤ ᾱ ≤ 5/2),   −d exp[c₂/(1 − ᾱ)] (ᾱ > 5/2)

Exchange, per spin channel (spin-scaled):

    e_xσ = e_xσ^LDA·{h₁ + f_x·(h₀ − h₁)}·(1 − exp[−a₁ p^{−1/4}])
    h₀ = 1 + k₀,   h₁ = 1 + k₁ − k₁/(1 + x/k₁),   x = {C_η C₂ exp(−p²/d_p⁴) + μ}·p

Correlation:

    e_c = n·{ε₁ + f_c·(ε₀ − ε₁)}
    ε₁ = ε_c + γφ³ ln[1 + w₁(1 − g(y − Δy))],         w₁ = exp(−ε_c/γφ³) − 1,   y = β(r_s)t²/(γw₁)
    ε₀ = {ε_L + b₁ ln[1 + w₀(1 − g(χ p))]}·G_c(ζ),    w₀ = exp(−ε_L/b₁) − 1
    ε_L = −b₁/(1 + b₂√r_s + b₃r_s),   g(y) = (1 + 4y)^{−1/4},   G_c = {1 − 2.363[d_x(ζ) − 1]}·(1 − ζ¹²)

Source: Furness, Kaplan, Ning, Perdew, Sun, J. Phys. Chem. Lett. 11, 8208 (2020), doi:10.1021/acs.jpclett.0c02405;
limits taken over from SCAN: Sun, Ruzsinszky, Perdew, Phys. Rev. Lett. 115, 036402 (2015),
doi:10.1103/PhysRevLett.115.036402.
"""

from math import pi

import torch
from torch import Tensor

from mlxc.xc.density import Density
from mlxc.xc.reference.lda import RHO_FLOOR, lda_exchange, pw92_per_electron, pw92_rs_derivative, spin_fractions
from mlxc.xc.reference.pbe import GAMMA, spin_reduced_gradient, spin_scaling
from mlxc.xc.safe import branch, power

#: η and d_p2: doi:10.1021/acs.jpclett.0c02405.
ETA = 0.001
DP2 = 0.361

#: f(ᾱ): c₁, c₂, d and the polynomial; the same source (polynomials as in rSCAN, doi:10.1063/1.5094646).
F_X = (0.667, 0.8, 1.24, (1.0, -0.667, -0.4445555, -0.663086601049, 1.451297044490,
                          -0.887998041597, 0.234528941479, -0.023185843322))
F_C = (0.64, 1.5, 0.7, (1.0, -0.64, -0.4352, -1.535685604549, 3.061560252175,
                        -1.915710236206, 0.516884468372, -0.051848879792))

#: Exchange: k₀, k₁, a₁ and the gradient coefficient μ of the slowly varying gas. doi:10.1103/PhysRevLett.115.036402
K0, K1, A1, MU = 0.174, 0.065, 4.9479, 10 / 81

#: Correlation: β(r_s) = β₀(1 + 0.1r_s)/(1 + 0.1778r_s); b₁, b₂, b₃, χ and the factor in G_c. Same source;
#: β₀, χ and G_c's factor (2.3631 in print) with the digits that libxc has.
BETA0, BETA_UP, BETA_DOWN = 0.06672455060314922, 0.1, 0.1778
B1, B2, B3 = 0.0285764, 0.0889, 0.125541
CHI = 0.12802585262625815
GC = 2.363


def _slope_at_one(polynomial: tuple[float, ...]) -> float:
    """f′(1) = Σ_i i·c_i."""
    return sum(i * c for i, c in enumerate(polynomial))


_C_ETA = 20 / 27 + ETA * 5 / 3
_C2_X = K0 * _slope_at_one(F_X[3])
_SLOPE_C = _slope_at_one(F_C[3])

#: exp(−a₁p^{−1/4}) is 0 in float64, with its derivatives, from here down.
_P_UNIFORM = 1e-10


class R2SCAN:
    """r2SCAN exchange and correlation."""

    name, xc_type = "r2scan", "MGGA"
    omega = lr_fraction = sr_fraction = 0.0

    def edens(self, density: Density) -> Tensor:
        """XC energy per volume, shape (n,), Ha bohr⁻³."""
        return density.spin_sum(r2scan_exchange) + r2scan_correlation(density)


def r2scan_exchange(n_spin: Tensor, sigma_spin: Tensor, tau_spin: Tensor) -> Tensor:
    """Exchange energy per volume of one spin channel.

    Args:
        n_spin: n_σ, shape (n,), bohr⁻³; zero is allowed.
        sigma_spin: |∇n_σ|², shape (n,), bohr⁻⁸.
        tau_spin: ½Σ|∇φ|² of the channel, shape (n,), Ha bohr⁻³.

    Returns:
        e_xσ, shape (n,), Ha bohr⁻³; exactly 0 at n_σ = 0.
    """
    p = spin_reduced_gradient(n_spin, sigma_spin)
    tau_uniform = 0.3 * (6 * pi**2) ** (2 / 3) * power(n_spin, 5 / 3, RHO_FLOOR)
    f = interpolation(_alpha_bar(n_spin, sigma_spin, tau_spin, tau_uniform), F_X)
    x = (_C_ETA * _C2_X * _damping(p) + MU) * p
    h1 = 1 + K1 - K1 / (1 + x / K1)
    fade = -torch.expm1(-A1 * power(p, -1 / 4, _P_UNIFORM))
    return lda_exchange(n_spin) * (h1 + f * (1 + K0 - h1)) * fade


def r2scan_correlation(density: Density) -> Tensor:
    """Correlation energy per volume, shape (n,), Ha bohr⁻³."""
    n, sigma = density.n, density.sigma_total
    d_s, d_x, zeta12 = _spin_functions(density)
    tau_uniform = 0.3 * (3 * pi**2) ** (2 / 3) * power(n, 5 / 3, RHO_FLOOR) * d_s
    f = interpolation(_alpha_bar(n, sigma, density.tau_total, tau_uniform), F_C)
    p = sigma * power(n, -8 / 3, RHO_FLOOR) / (4 * (3 * pi**2) ** (2 / 3))
    rs = (3 / (4 * pi)) ** (1 / 3) * power(n, -1 / 3, RHO_FLOOR)
    g_c = (1 - GC * (d_x - 1)) * (1 - zeta12)
    epsilon_l, epsilon_l_prime = _one_orbital_limit(rs)
    epsilon0 = (epsilon_l + B1 * torch.log1p(torch.expm1(-epsilon_l / B1) * (1 - _g(CHI * p)))) * g_c
    epsilon1 = _slowly_varying(density, rs, p, d_s, epsilon_l * g_c, epsilon_l_prime * g_c)
    return n * (epsilon1 + f * (epsilon0 - epsilon1))


def interpolation(alpha: Tensor, parameters: tuple[float, float, float, tuple[float, ...]]) -> Tensor:
    """f(ᾱ), 1 at ᾱ = 0 and 0 at ᾱ = 1; twice continuously differentiable at 0, continuous at 5/2. Shape of alpha."""
    c1, c2, d, polynomial = parameters

    def middle(a: Tensor) -> Tensor:
        total = torch.full_like(a, polynomial[-1])
        for c in reversed(polynomial[:-1]):
            total = total * a + c
        return total

    def above_zero(a: Tensor) -> Tensor:
        return branch(a > 2.5, a, lambda b: -d * torch.exp(c2 / (1 - b)), middle, x_in=3.0, x_out=1.0)

    return branch(alpha < 0, alpha, lambda a: torch.exp(-c1 * a / (1 - a)), above_zero, x_in=-1.0, x_out=1.0)


def _alpha_bar(n: Tensor, sigma: Tensor, tau: Tensor, tau_uniform: Tensor) -> Tensor:
    tau_w = sigma / (8 * n.clamp(min=RHO_FLOOR))
    return (tau - tau_w) / (tau_uniform + ETA * tau_w)


def _damping(p: Tensor) -> Tensor:
    return torch.exp(-p * p / DP2**4)


def _g(y: Tensor) -> Tensor:
    return (1 + 4 * y) ** (-1 / 4)


def _spin_functions(density: Density) -> tuple[Tensor, Tensor, Tensor]:
    """d_s = [(1+ζ)^{5/3} + (1−ζ)^{5/3}]/2, d_x the same with 4/3, and ζ¹²."""
    if density.closed_shell:
        one = torch.ones_like(density.rho[0])
        return one, one, torch.zeros_like(one)
    up, down = spin_fractions(*density.rho)
    return (up ** (5 / 3) + down ** (5 / 3)) / 2, (up ** (4 / 3) + down ** (4 / 3)) / 2, ((up - down) / 2) ** 12


def _one_orbital_limit(rs: Tensor) -> tuple[Tensor, Tensor]:
    """ε_L and dε_L/dr_s."""
    denominator = 1 + B2 * rs.sqrt() + B3 * rs
    return -B1 / denominator, B1 * (B2 / (2 * rs.sqrt()) + B3) / denominator**2


def _slowly_varying(density: Density, rs: Tensor, p: Tensor, d_s: Tensor, epsilon_l: Tensor,
                    epsilon_l_prime: Tensor) -> Tensor:
    """ε₁; ε_L and its derivative come with their factor G_c(ζ).

    Δy = f_c′(1)/(27γ d_s φ³ w₁)·{20 r_s[ε_L′ − ε_c′] − 45η[ε_L − ε_c]}·p·exp(−p²/d_p⁴) restores the second-order
    gradient expansion, which the interpolation through ᾱ would otherwise break.
    """
    epsilon_c, phi = pw92_per_electron(density), spin_scaling(density)
    gamma_phi3 = GAMMA * phi**3
    w1 = torch.expm1(-epsilon_c / gamma_phi3)
    beta = BETA0 * (1 + BETA_UP * rs) / (1 + BETA_DOWN * rs)
    t2 = (3 * pi**2 / 16) ** (2 / 3) * p / (phi**2 * rs)
    y = beta * t2 / (GAMMA * w1)
    curvature = (20 * rs * (epsilon_l_prime - pw92_rs_derivative(density)) - 45 * ETA * (epsilon_l - epsilon_c))
    delta_y = _SLOPE_C / (27 * d_s * gamma_phi3 * w1) * curvature * p * _damping(p)
    return epsilon_c + gamma_phi3 * torch.log1p(w1 * (1 - _g(y - delta_y)))
