"""The loss: one function per term, each a residual over its tolerance.

    L(θ) = Σ_t w_t H(r_t(θ)) + λ |θ − θ_0|²,      H(r) = r²/2 for |r| < 1, else |r| − 1/2  (Huber)

λ is the config's ``ridge``, θ_0 the start. What r is depends on the target's group; a group's tolerance σ (kcal/mol,
section [tolerance]) is the error at which its loss turns from quadratic to linear, its weight w (section [weight]) is 1
by default. Single targets have σ times their factor of section [factor]. The terms of section [penalty] are residuals
of the functional itself, for constraints that do not hold by construction: those that ``relaxed`` in [network] names
are soft with a penalty, and off without.

| group | r |
|---|---|
| any other: `reaction` | (Σ_k c_k E_k − reference)/σ |
| total: `total_energy` | (E − exact)/(σ max(1, \\|E\\|/100 Ha)) |
| one_electron: `one_electron` | (E − E_HF)/(σ times what the form cannot follow) |
| fractional, fractional_molecule: `fractional_point` | [E(N + f) − (1 − f) E(N) − f E(N ± 1)]/σ |
| curvature: `curvature` | (d²E/df² between whole charges)/σ, by finite differences |
| grid: `grid` | (E on a coarse grid − E)/σ |
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from mlxc.errors import InvalidInput
from mlxc.suggest import did_you_mean
from mlxc.xc import violations
from mlxc.xc.functional import Learned
from mlxc.xc.reference.lda import pw92_correlation
from training.data import Target

# ------------------------------------------------------------------------------ tolerances, kcal/mol, per target


def reaction(target: Target, tolerance: float) -> float:
    """Reaction energies: r = (Σ_k c_k E_k − reference)/σ; ``group`` is the subset."""
    return tolerance


def total_energy(target: Target, tolerance: float) -> float:
    """Total energies of atoms; σ grows with the energy beyond 100 Ha, as what a basis set misses in the cores does."""
    return tolerance * max(1.0, abs(target.reference or 0.0) / 100)


def one_electron(target: Target, tolerance: float) -> float:
    """Hartree–Fock energies of one electron; wide for stretched H₂⁺, which no semilocal exchange holds together.

    H₂⁺ is told by the id H2+_R, its distance R in Å.
    """
    if found := re.fullmatch(r"H2\+_(\d+\.?\d*)", target.id):
        distance = float(found[1])
        return tolerance * (1.0 if distance <= 1 else 3 * distance**2)
    return tolerance * (5.0 if target.id.startswith("H3_2+") else 1.0)


def fractional_point(target: Target, tolerance: float) -> float:
    """Deviation from the straight line between whole charges: E(N + f) − (1 − f) E(N) − f E(N ± 1) = 0."""
    return tolerance


def curvature(target: Target, tolerance: float) -> float:
    """Second derivative of the energy in the electron number; see `curvatures`. σ in kcal/mol per electron²."""
    return tolerance


def grid(target: Target, tolerance: float) -> float:
    """Smoothness: what a coarse grid cannot integrate is too rough for forces. E(coarse grid) − E(grid) = 0."""
    return tolerance


#: The term of each group; of any other it is `reaction`.
TERMS: dict[str, Callable[[Target, float], float]] = {
    "total": total_energy, "one_electron": one_electron, "fractional": fractional_point,
    "fractional_molecule": fractional_point, "curvature": curvature, "grid": grid}


def curvatures(targets: Sequence[Target]) -> list[Target]:
    """Targets d²E/df² = 0 at every fractional point, from its neighbours on the same line; group ``curvature``.

    With D the deviation from the straight line at f_0 < f_1 < f_2 (D = 0 at f = 0 and 1),

        d²E/df² ≈ 2 [D_0/((f_0 − f_1)(f_0 − f_2)) + D_1/((f_1 − f_0)(f_1 − f_2)) + D_2/((f_2 − f_0)(f_2 − f_1))].

    Args:
        targets: all; used are those of `fractional_point` with terms (point, 1), (end f = 0, f − 1), (end f = 1, −f),
            the last of which a bare proton lacks.
    """
    lines: dict[tuple, list[tuple[float, tuple]]] = defaultdict(lambda: [(0.0, ()), (1.0, ())])
    for t in targets:
        if TERMS.get(t.group) is fractional_point:
            ends = tuple(key for key, _ in t.terms[1:])
            lines[ends].append((1 + t.terms[1][1], t.terms))
    found = []
    for points in lines.values():
        points.sort(key=lambda point: point[0])
        for three in zip(points, points[1:], points[2:], strict=False):
            terms: dict[str, float] = defaultdict(float)
            for i, (f, deviation) in enumerate(three):
                others = [g for j, (g, _) in enumerate(three) if j != i]
                for key, c in deviation:
                    terms[key] += 2 * c / ((f - others[0]) * (f - others[1]))
            found.append(Target(f"curvature({three[1][1][0][0]})", "curvature", tuple(terms.items()), 0.0))
    return found


# --------------------------------------------------------------------------------------- soft constraints, [penalty]


def uniform_gas(functional: Learned) -> Tensor:
    """Relative error of the XC energy in 50 uniform gases."""
    return violations.gas_error(functional, violations.uniform_gas(50))


def correlation_sign(functional: Learned) -> Tensor:
    """Positive correlation energy in units of PW92's at 200 sampled densities."""
    d = violations.sampled_density(200)
    return (violations.correlation(functional, d) / pw92_correlation(d).abs()).clamp(min=0)


def lieb_oxford(functional: Learned) -> Tensor:
    """Excess of full-range semilocal exchange over its bounds at 200 sampled densities, in units of the gas's."""
    return violations.beyond_lieb_oxford(functional, violations.sampled_density(200))


def one_electron_correlation(functional: Learned) -> Tensor:
    """Correlation energy of one spin orbital in units of PW92's at 200 sampled densities."""
    d = violations.one_orbital(200)
    return violations.correlation(functional, d) / pw92_correlation(d)


def one_electron_exchange(functional: Learned) -> Tensor:
    """What replaces exact exchange of one spin orbital, in units of the gas's exchange, at 200 sampled densities."""
    d = violations.one_orbital(200)
    return violations.replacement(functional, d, violations.any_exact_exchange(d)) / violations.exchange_scale(d)


def like_spin_correlation(functional: Learned) -> Tensor:
    """Like-spin correlation of one orbital per channel in units of PW92's energy at 200 sampled densities."""
    d = violations.one_orbital_per_spin(200)
    return violations.like_spin_correlation(functional, d) / pw92_correlation(d)


def long_range_exchange(functional: Learned) -> Tensor:
    """1 − c, the fraction of long-range exchange that is not exact."""
    return (1 - functional.long_range_fraction).reshape(1)


#: Penalties by the names of the constraints; tolerances are fractions.
PENALTIES: dict[str, Callable[[Learned], Tensor]] = {
    term.__name__: term for term in (uniform_gas, correlation_sign, lieb_oxford, one_electron_correlation,
                                     one_electron_exchange, like_spin_correlation, long_range_exchange)}


# ------------------------------------------------------------------------------------------------------- the whole


@dataclass(frozen=True)
class Scale:
    """Tolerances and weights of a list of targets, (n,) each, and the penalties' tolerances."""

    tolerance: np.ndarray
    weight: np.ndarray
    penalty: Mapping[str, float]


def scale(targets: Sequence[Target], config: Mapping) -> Scale:
    """What the sections [tolerance], [factor], [weight] and [penalty] of a configuration say of the targets.

    ``resample`` in [fit] is the seed of random factors of the weights, ``scatter`` their relative width.

    Raises:
        InvalidInput: a group without tolerance, a tolerance that is not positive, an unknown group or penalty.
    """
    tolerance, factor, weight, penalty = (dict(config.get(name, {}))
                                          for name in ("tolerance", "factor", "weight", "penalty"))
    groups = {t.group for t in targets}
    for group in sorted(groups - tolerance.keys()):
        raise InvalidInput(f"[tolerance] has no {group}, which {sum(t.group == group for t in targets)} targets "
                           f"belong to; it has {', '.join(tolerance)}{did_you_mean(group, tolerance)}")
    for section, table, known in (("tolerance", tolerance, None), ("factor", factor, None),
                                  ("weight", weight, tolerance), ("penalty", penalty, PENALTIES)):
        for name, value in table.items():
            if known is not None and name not in known:
                raise InvalidInput(f"[{section}] {name} is unknown; there are {', '.join(known)}"
                                   f"{did_you_mean(name, known)}")
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
                raise InvalidInput(f"[{section}] {name} is {value!r}, expected a positive number")
    weights = np.array([float(weight.get(t.group, 1.0)) for t in targets])
    if "resample" in config.get("fit", {}):
        weights = weights * resampled(len(targets), config["fit"]["resample"], config["fit"].get("scatter", 1.0))
    sigma = [TERMS.get(t.group, reaction)(t, tolerance[t.group]) * factor.get(named(t, factor), 1.0) for t in targets]
    return Scale(np.array(sigma), weights, penalty)


def named(target: Target, factor: Iterable[str]) -> str | None:
    """The key of [factor] that is meant for a target: the longest with which its id begins."""
    return max((key for key in factor if target.id.startswith(key)), key=len, default=None)


def resampled(count: int, seed: int, scatter: float = 1.0) -> np.ndarray:
    """Weights of targets for a member of an ensemble, of mean 1 and standard deviation ``scatter``, (count,).

    They are independent, gamma distributed; a scatter of 1 is the Bayesian bootstrap, doi:10.1214/aos/1176345338.
    """
    if not scatter:
        return np.ones(count)
    return np.random.default_rng(seed).gamma(scatter**-2, scatter**2, size=count)


def huber(r: np.ndarray) -> np.ndarray:
    """H(r) of the module's docstring."""
    a = np.abs(r)
    return np.where(a < 1, a**2 / 2, a - 0.5)


def huber_weight(r: np.ndarray) -> np.ndarray:
    """H'(r)/r: 1 within the tolerance, 1/|r| beyond."""
    return 1 / np.maximum(1, np.abs(r))
