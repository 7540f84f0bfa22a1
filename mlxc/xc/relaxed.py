"""The learned functionals without some of what holds by construction, for experiments on what each law is worth.

A model card or training configuration names what is left out in its [network], ``relaxed = [...]``:

| name | what it becomes |
|---|---|
| one_electron | q = 0 |
| like_spin | e_c^σσ without the factor 1 − w_σ |
| uniform_gas | F = 1 + κ tanh(u N_1 + w N_2 + N_3), G likewise; N_3, a third output, starts at 0 |
| bounds | x in place of tanh x, and b_max (½ + B/4) in place of the sigmoid: their tangents at 0 |
| long_range | c E_x^{LR,HF} + (1 − c) Σ_σ ∫ e_xσ^{LR,sl} dr in place of E_x^{LR,HF}; c, a parameter, starts at ½ |

with e_xσ^{LR,sl} = e_x^LDA(n_σ) [1 − A(ω/k_Fσ)] F_θ. What is left can still be asked for in the loss
(`training.loss.PENALTIES`). Invariance, spin symmetry and locality cannot be left out.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from mlxc.errors import InvalidInput
from mlxc.suggest import did_you_mean
from mlxc.xc.density import Density
from mlxc.xc.features import Variables
from mlxc.xc.functional import KAPPA, Learned, LocalHybrid, RangeSeparated, Term, channels
from mlxc.xc.network import Network
from mlxc.xc.reference.lda import lda_exchange

#: What can be left out, and the constraints that then no longer hold, see `constraints.CLAIMS`.
RELAXABLE: dict[str, tuple[str, ...]] = {
    "one_electron": ("one_electron_correlation", "one_electron_exchange", "one_electron_fock", "one_electron_scf",
                     "one_electron_response", "hydrogenic_ions", "fractional_hydrogen"),
    "like_spin": ("like_spin_correlation",),
    "uniform_gas": ("uniform_gas",),
    "bounds": ("correlation_sign", "lieb_oxford"),
    "long_range": ("long_range_exchange", "asymptotic_potential", "bound_anions", "one_electron_exchange",
                   "one_electron_fock", "one_electron_scf", "one_electron_response", "hydrogenic_ions",
                   "fractional_hydrogen"),
}


def broken(relaxed: Iterable[str]) -> set[str]:
    """Ids of the constraints that do not hold by construction without these."""
    return {law for name in relaxed for law in RELAXABLE[name]}


def require_relaxable(names: Iterable[str]):
    """Raises InvalidInput for what cannot be left out, with the closest name that can."""
    for name in names:
        if name not in RELAXABLE:
            raise InvalidInput(f"[network] relaxed has {name!r}; there are {', '.join(RELAXABLE)}"
                               f"{did_you_mean(str(name), RELAXABLE)}")


class LongRange(Term):
    """A term of exchange at long range, of which the functional has the part 1 − c in place of ``exact``."""


class Relaxed(Learned):
    """What the absence of constraints changes; mixed into a form, see `mlxc.zoo.store.untrained`.

    Attributes:
        relaxed: what is left out, keys of RELAXABLE.
    """

    def __init__(self, exchange: dict, network: dict, name: str):
        """Args: as the form's; ``relaxed`` in network."""
        super().__init__(exchange, network, name)  # type: ignore[arg-type]
        require_relaxable(network["relaxed"])
        self.relaxed = frozenset(network["relaxed"])
        self.network = self.network | {"relaxed": sorted(self.relaxed)}
        if "uniform_gas" in self.relaxed:
            size = {key: self.network[key] for key in ("width", "depth")}
            for key in ("exchange", "same_spin", "opposite_spin"):
                plain = cast(Network, self.networks[key])
                self.networks[key] = Network(plain.inputs, (*plain.linear.bias.tolist(), 0.0), **size)
        if "long_range" in self.relaxed:
            self.omega = self.local_omega
            self.long_range = nn.Parameter(torch.tensor(0.5))
        self.double()

    @property
    def long_range_fraction(self) -> Tensor:
        """c, the fraction of exact exchange at long range, ()."""
        return self.long_range if "long_range" in self.relaxed else super().long_range_fraction

    def gate(self, x_total: Variables, zeta2: Tensor) -> Tensor:
        """1 − q, or 1."""
        return torch.ones_like(zeta2) if "one_electron" in self.relaxed else super().gate(x_total, zeta2)

    def like_spin_factor(self, x: Variables) -> Tensor:
        """1 − w_σ, or 1."""
        return torch.ones_like(x.w) if "like_spin" in self.relaxed else super().like_spin_factor(x)

    def exponent(self, term: Term) -> Tensor:
        """u N_1 + w N_2, or with N_3 added, (n,)."""
        if "uniform_gas" not in self.relaxed:
            return super().exponent(term)
        outputs = self.outputs(term)
        return term.u * outputs[..., 0] + term.w * outputs[..., 1] + outputs[..., 2]

    def bounded(self, exponent: Tensor) -> Tensor:
        """tanh x, or x."""
        return exponent if "bounds" in self.relaxed else super().bounded(exponent)

    def long_range_terms(self, density: Density) -> Iterator[Term]:
        """Of each channel what stands in place of exact exchange at long range, up to the factor 1 − c."""
        if "long_range" in self.relaxed:
            for term, (rho, factor, _, _) in zip(self.exchange_terms(density), channels(density), strict=True):
                gas = factor * lda_exchange(rho) - term.gas
                yield LongRange(term.network, gas, term.u, term.w, term.inputs, term.kappa)

    def exact_long_range(self, energy: float) -> Term:
        """What they stand for, as a term of a single point: E_x^{LR,HF}, Ha."""
        nothing = torch.zeros(1, dtype=torch.float64)
        inputs = torch.zeros(1, 3, dtype=torch.float64)
        return LongRange("exchange", nothing, nothing, nothing, inputs, KAPPA, exact=nothing + energy)

    def term_energy(self, term: Term) -> Tensor:
        """Energy per volume of one term, (n,), Ha bohr⁻³."""
        if not isinstance(term, LongRange):
            return super().term_energy(term)
        energy = super().term_energy(replace(term, exact=None))
        return (1 - self.long_range) * (energy if term.exact is None else energy - term.exact)


class RelaxedRangeSeparated(Relaxed, RangeSeparated):
    """A range-separated hybrid without some of its constraints."""

    def terms(self, density: Density) -> Iterator[Term]:
        """All learned terms."""
        yield from super().terms(density)
        yield from self.long_range_terms(density)


class RelaxedLocalHybrid(Relaxed, LocalHybrid):
    """A local hybrid without some of its constraints."""

    def edens(self, density: Density) -> Tensor:
        """Correlation, and semilocal exchange at long range, (n,), Ha bohr⁻³."""
        return self.sum((*self.correlation_terms(density), *self.long_range_terms(density)))

    def terms(self, density: Density, exact: Tensor) -> Iterator[Term]:
        """All learned terms."""
        yield from super().terms(density, exact)
        yield from self.long_range_terms(density)

    def mixing(self, inputs: Tensor) -> Tensor:
        """b_σ without its gate, (n,): the sigmoid, or its tangent."""
        if "bounds" not in self.relaxed:
            return super().mixing(inputs)
        return self.b_max * (0.5 + self.networks["mixing"](inputs)[..., 0] / 4)
