"""The exact constraints: what holds, where it is enforced, and how large its violation is.

A hard constraint holds to rounding whatever the networks say; a soft one is a term of the training loss. `mlxc check`
prints the table, and the tests run every measure on a functional that violates it. `mlxc.host.physics` adds the laws
that only a self-consistent calculation shows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mlxc.xc import violations

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
        tolerance: what rounding may leave, or what a soft constraint allows.
        hard: holds by construction.
    """

    id: str
    law: str
    enforced: str
    source: str
    violation: Callable[..., float]
    tolerance: float
    hard: bool = True


@dataclass(frozen=True)
class Measured:
    """A constraint's measured violation for one functional."""

    constraint: Constraint
    claimed: bool
    violation: float

    @property
    def id(self) -> str:
        """The constraint's name."""
        return self.constraint.id

    @property
    def tolerance(self) -> float:
        """The violation that the constraint allows."""
        return self.constraint.tolerance

    @property
    def ok(self) -> bool:
        """Whether the law holds; NaN does not."""
        return self.violation <= self.tolerance


def measure(functional, table: Sequence[Constraint] | None = None) -> list[Measured]:
    """Measures the constraints of a table, by default CONSTRAINTS.

    Those on the functional's card count as claimed; where there is no card, those that its kind claims.
    """
    card = getattr(functional, "card", None)
    claims = CLAIMS[getattr(functional, "kind", "rs")] if card is None else card["claims"]
    with torch.no_grad():
        return [Measured(c, c.id in claims, c.violation(functional)) for c in table or CONSTRAINTS]


_PBE, _BECKE = "doi:10.1103/PhysRevLett.77.3865", "doi:10.1063/1.454274"
_CORRELATION, _REPLACEMENT = "functional.Learned.correlation_terms", "functional.LocalHybrid.replacement_terms"

CONSTRAINTS = (
    Constraint("uniform_gas", "σ = 0, τ = τ_UEG:  e_xc = e_x^LDA(n_a, n_b) + e_c^PW92(n_a, n_b)",
               "functional.Learned.exponent", "doi:10.1103/PhysRevB.45.13244", violations.gas_violation, 1e-12),
    Constraint("one_electron_correlation", "one real orbital:  e_c = v_c = f_c = 0, in the empty channel too",
               f"constraints.one_electron in {_CORRELATION}", _BECKE, violations.one_electron_violation, 1e-10),
    Constraint("one_electron_exchange", "one real orbital:  e_x = e_x^HF, v_x = v_x^HF, f_x = f_x^HF at each point",
               f"constraints.one_electron in {_REPLACEMENT}", "doi:10.1103/PhysRevB.23.5048",
               violations.exact_exchange_violation, 1e-10),
    Constraint("like_spin_correlation", "one real orbital in each channel:  e_c^aa = e_c^bb = 0",
               f"1 − w in {_CORRELATION}", _BECKE, violations.like_spin_violation, 1e-12),
    Constraint("correlation_sign", "e_c ≤ 0", "1 + tanh in functional.Learned.term_energy", _PBE,
               violations.sign_violation, 0.0),
    Constraint("spin_symmetry", "E_xc[n_a, n_b] = E_xc[n_b, n_a]", "features.zeta2", "",
               violations.spin_symmetry_violation, 1e-12),
    Constraint("spin_scaling", "E_x[n_a, n_b] = ½ E_x[2n_a] + ½ E_x[2n_b], semilocal part",
               "functional.Learned.exchange_terms, of each spin by itself", "doi:10.1103/PhysRevA.20.397",
               violations.spin_scaling_violation, 1e-12),
    Constraint("coordinate_scaling", "ω → 0:  e_x[λ³n(λr)] = λ⁴ e_x[n](λr)", "features.channel: no dimensions",
               "doi:10.1103/PhysRevA.32.2010", violations.coordinate_scaling_violation, 1e-12),
    Constraint("lieb_oxford", "ω → 0:  0 ≤ F_x ≤ 1.804", "functional.KAPPA", _PBE,
               violations.lieb_oxford_violation, 1e-12),
    Constraint("long_range_exchange", "exact exchange at long range, hence v_xc → −1/r",
               "functional.Learned.lr_fraction", "doi:10.1063/1.1383587", violations.long_range_violation, 0.0),
)

#: What only a local hybrid obeys: Hartree–Fock for one electron, point by point and in `mlxc.host.physics`.
_LOCAL_HYBRID = ["one_electron_exchange", "one_electron_fock", "one_electron_scf", "one_electron_response",
                 "hydrogenic_ions", "fractional_hydrogen"]

#: What both kinds obey: the rest of the table above, and of `mlxc.host.physics`.
_BOTH = [c.id for c in CONSTRAINTS if c.id not in _LOCAL_HYBRID]
_BOTH += ["asymptotic_potential", "one_electron_energy", "size_consistency", "ion_and_molecule", "spin_flip",
          "closed_shell", "rotation_invariance", "forces", "bound_anions"]

#: Constraints that a kind of functional carries.
CLAIMS = {"rs": _BOTH, "lh": _BOTH + _LOCAL_HYBRID}
