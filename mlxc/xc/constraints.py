"""The exact constraints: what holds, where it is enforced, and how a violation is measured on any functional.

Each entry of CONSTRAINTS measures the largest violation over sampled densities; a hard constraint holds to rounding
whatever the networks say. `mlxc check` prints the table, and the tests run every measure on a functional that
violates it.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations_with_replacement
from math import pi

import torch
from torch import Tensor

from mlxc.xc import features
from mlxc.xc.density import Density
from mlxc.xc.derivatives import xc_rows
from mlxc.xc.reference.lda import lda_exchange, pw92_correlation, short_range_lda_exchange

#: Power of z in the one-electron indicator.
Z_POWER = 2


def one_electron(z: Tensor, zeta2: Tensor) -> Tensor:
    """The one-electron indicator q = S(z^p ζ²), S(x) = x³ (10 − 15x + 6x²).

    1, with vanishing first and second derivatives of S, exactly where a single real orbital is occupied
    (z = τ_W/τ = 1 and ζ² = 1), 0 in closed shells.

    Args:
        z: τ_W/τ of the total density, (n,).
        zeta2: ζ², (n,).

    Returns:
        (n,), in [0, 1].
    """
    x = (z**Z_POWER * zeta2).clamp(max=1.0)
    return x**3 * (10 - 15 * x + 6 * x**2)


@dataclass(frozen=True)
class Constraint:
    """One law.

    Attributes:
        id: its name on a model card.
        law: the equation.
        enforced: where in the code it is made to hold.
        source: DOI.
        violation: measures the largest violation of a functional, relative unless the law says otherwise.
        tolerance: what rounding may leave.
    """

    id: str
    law: str
    enforced: str
    source: str
    violation: Callable[..., float]
    tolerance: float


@dataclass(frozen=True)
class Measured:
    """A constraint's measured violation for one functional."""

    id: str
    claimed: bool
    violation: float
    tolerance: float

    @property
    def ok(self) -> bool:
        """Whether the law holds; NaN does not."""
        return self.violation <= self.tolerance


def measure(functional) -> list[Measured]:
    """Measures every constraint; those on the functional's card (all, where there is no card) count as claimed."""
    card = getattr(functional, "card", None)
    claims = CLAIMS["rs"] if card is None else card["claims"]
    with torch.no_grad():
        return [Measured(c.id, c.id in claims, c.violation(functional), c.tolerance) for c in CONSTRAINTS]


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
    """The functional's semilocal exchange energy density, its share (1 − a) divided out, (n,)."""
    gas = sum(functional.term_energy(t) for t in functional.terms(d) if t.network == "exchange")
    return gas / (1 - functional.sr_fraction)


def correlation(functional, d: Density) -> Tensor:
    """The functional's correlation energy density, (n,)."""
    return sum(functional.term_energy(t) for t in functional.terms(d) if t.network != "exchange")


def _unscreened(functional):
    """The functional with ω → 0: its model of full-range exchange."""
    full = copy.copy(functional)
    full.omega = 0.0
    return full


def _largest(error: Tensor, scale: Tensor) -> float:
    return float((error.abs() / scale.abs()).max())


def _gas_violation(f) -> float:
    d = uniform_gas()
    x = d.spin_sum(lambda rho, _sigma, _tau: short_range_lda_exchange(rho, f.omega))
    exact = (1 - f.sr_fraction) * x + pw92_correlation(d)
    return _largest(f.edens(d) - exact, exact)


class _Correlation:
    """The correlation of a functional as one that can be differentiated."""

    def __init__(self, functional):
        self.functional = functional

    def edens(self, density: Density) -> Tensor:
        return correlation(self.functional, density)


def _one_electron_violation(f) -> float:
    """Energy, potential and kernel, each times the occupied channel's variables, in units of PW92's energy."""
    d = one_orbital(500)
    (rho, _), (sigma, _, _), (tau, _) = d.rho, d.sigma, d.tau
    sizes = (rho, rho, sigma, sigma, sigma, tau, tau)
    rows = xc_rows(_Correlation(f), (*d.rho, *d.sigma, *d.tau), 2)
    scale = [rho, *sizes, *(a * b for a, b in combinations_with_replacement(sizes, 2))]
    return _largest(rows * torch.stack(scale), pw92_correlation(d))


def _like_spin_violation(f) -> float:
    d = one_orbital_per_spin()
    like = sum(f.term_energy(t) for t in f.terms(d) if t.network == "same_spin")
    return _largest(like, pw92_correlation(d))


def _sign_violation(f) -> float:
    d = sampled_density()
    return float((correlation(f, d) / pw92_correlation(d).abs()).clamp(min=0).max())


def _spin_symmetry_violation(f) -> float:
    d = sampled_density()
    return _largest(f.edens(d) - f.edens(swapped(d)), f.edens(d))


def _spin_scaling_violation(f) -> float:
    d = sampled_density()
    halves = (exchange(f, channel_doubled(d, 0)) + exchange(f, channel_doubled(d, 1))) / 2
    return _largest(exchange(f, d) - halves, exchange(f, d))


def _coordinate_scaling_violation(f) -> float:
    d, full, factor = sampled_density(), _unscreened(f), 1.7
    return _largest(exchange(full, scaled(d, factor)) - factor**4 * exchange(full, d), factor**4 * exchange(full, d))


def _lieb_oxford_violation(f) -> float:
    d = sampled_density()
    enhancement = exchange(_unscreened(f), d) / d.spin_sum(lambda rho, _sigma, _tau: lda_exchange(rho))
    return float(torch.maximum(enhancement - 1.804, -enhancement).clamp(min=0).max())


def _long_range_violation(f) -> float:
    tail = 0.0 if f.omega > 0 else 1.0
    return abs(1 - f.lr_fraction) + tail


_PBE, _BECKE = "doi:10.1103/PhysRevLett.77.3865", "doi:10.1063/1.454274"
_FUNCTIONAL = "RangeSeparated.terms"

CONSTRAINTS = (
    Constraint("uniform_gas", "σ = 0, τ = τ_UEG:  e_xc = (1 − a) Σ_σ e_x^{SR,LDA}(n_σ) + e_c^PW92(n_a, n_b)",
               "functional.RangeSeparated.exponent", "doi:10.1103/PhysRevB.45.13244", _gas_violation, 1e-12),
    Constraint("one_electron_correlation", "one real orbital:  e_c = v_c = f_c = 0, in the empty channel too",
               f"constraints.one_electron in {_FUNCTIONAL}", _BECKE, _one_electron_violation, 1e-10),
    Constraint("like_spin_correlation", "one real orbital in each channel:  e_c^aa = e_c^bb = 0",
               f"1 − z in functional.{_FUNCTIONAL}", _BECKE, _like_spin_violation, 1e-12),
    Constraint("correlation_sign", "e_c ≤ 0", f"1 + tanh in functional.{_FUNCTIONAL}", _PBE, _sign_violation, 0.0),
    Constraint("spin_symmetry", "E_xc[n_a, n_b] = E_xc[n_b, n_a]", "features.zeta2", "",
               _spin_symmetry_violation, 1e-12),
    Constraint("spin_scaling", "E_x[n_a, n_b] = ½ E_x[2n_a] + ½ E_x[2n_b], semilocal part",
               f"per-spin terms in functional.{_FUNCTIONAL}", "doi:10.1103/PhysRevA.20.397",
               _spin_scaling_violation, 1e-12),
    Constraint("coordinate_scaling", "ω → 0:  e_x[λ³n(λr)] = λ⁴ e_x[n](λr)", "features: dimensionless variables",
               "doi:10.1103/PhysRevA.32.2010", _coordinate_scaling_violation, 1e-12),
    Constraint("lieb_oxford", "ω → 0:  0 ≤ F_x ≤ 1.804", "functional.KAPPA", _PBE, _lieb_oxford_violation, 1e-12),
    Constraint("long_range_exchange", "exact exchange at long range, hence v_xc → −1/r",
               "functional.RangeSeparated.lr_fraction", "doi:10.1063/1.1383587", _long_range_violation, 0.0),
)

#: Constraints that a kind of functional carries: by construction, and the two that `mlxc.host.physics` measures.
CLAIMS = {"rs": [c.id for c in CONSTRAINTS] + ["asymptotic_potential", "one_electron_energy"]}
