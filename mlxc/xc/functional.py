"""The learned functionals, as a paper's method section would state them.

`mlxc_rs`, a range-separated meta-GGA hybrid:

    E_xc = E_x^{LR,HF}(ω) + a E_x^{SR,HF}(ω) + (1 − a) Σ_σ ∫ e_xσ^{SR,sl} dr + ∫ e_c dr

`mlxc_lh`, a local hybrid: full exact exchange, replaced at short range where the network says so:

    E_xc = E_x^HF + Σ_σ ∫ b_σ [e_xσ^{SR,sl} − e_xσ^{SR,HF}] dr + ∫ e_c dr,     b_σ = (1 − q) b_max / (1 + exp(−B_θ))

The exact exchange energies come from the host program, e_xσ^{SR,HF}(r) from `mlxc.host.exchange`. Learned are

    e_xσ^{SR,sl} = e_x^LDA(n_σ) A(ω/k_Fσ) F_θ(u_σ, w_σ, v_σ)
    e_c          = (1 − q) [Σ_σ e_c^σσ (1 − w_σ) G^ss_θ(u_σ, w_σ, r_σ) + e_c^ab G^os_θ(u, w, r)]
    F = 1 + κ tanh(u N_1 + w N_2),     G = 1 + tanh(u N_1 + w N_2),     B_θ = B_θ(u_σ, w_σ, v_σ [, h_σ, h])

with the variables of `features`, the uniform-gas energies of `reference.lda` and `reference.attenuation`, and N_1 and
N_2 the outputs of one network for each of F, G^ss and G^os. u = w = 0 in the uniform gas, so F = G = 1 there whatever
the networks say; 1 − κ < F < 1 + κ (Lieb–Oxford, κ = 0.804) and 0 < G < 2 everywhere else. G^os of `mlxc_rs` sees ζ²
too; that of `mlxc_lh` in two of five members. What ζ² says of open shells is learned from atoms, the only ones in the
training set: it straightens fractional charges, and binds radicals too weakly where its absence binds them too strongly
(docs/decisions.md, 37).

q is 1 where one orbital is occupied (`constraints.one_electron`): there `mlxc_lh` is Hartree–Fock, in the energy, the
potential and the response. 1 − w_σ = 2 (τ_σ − τ_Wσ)/(τ_σ + τ_UEGσ) is 0 for one orbital and 1 in the uniform gas, as
1 − z_σ = 1 − τ_Wσ/τ_σ is, but its derivative in τ_σ stays finite where an orbital's gradient vanishes, as midway
between the atoms of H₂. `relaxed` has the same functionals without some of this, for experiments.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import reduce

import torch
from torch import Tensor, nn

from mlxc.xc import constraints, features
from mlxc.xc.density import Density
from mlxc.xc.features import Variables
from mlxc.xc.network import Network
from mlxc.xc.reference.lda import short_range_lda_exchange, stoll_partition

#: Largest enhancement of exchange over the uniform gas is 1 + KAPPA: the local Lieb–Oxford bound,
#: doi:10.1103/PhysRevLett.77.3865.
KAPPA = 0.804


@dataclass(frozen=True)
class Term:
    """One learned term of the energy density, gas · (1 + κ tanh(u N_1 + w N_2)), or b · (that − exact).

    Attributes:
        network: name of the network that gives N_1 and N_2.
        gas: energy per volume of the uniform gas with all hard factors, (n,), Ha bohr⁻³.
        u, w: the variables that vanish together in the uniform gas only, (n,).
        inputs: of networks, (n, k); one that has fewer than k sees the first of them.
        kappa: bound of the enhancement's deviation from 1.
        exact: the exact exchange that this term replaces by the fraction b, with the same hard factors as ``gas``.
    """

    network: str
    gas: Tensor
    u: Tensor
    w: Tensor
    inputs: Tensor
    kappa: float
    exact: Tensor | None = None


class Learned(nn.Module):
    """Learned exchange and correlation, without a statement of how much of them there is.

    Attributes:
        name: the functional's name in PySCF.
        omega, sr_fraction, lr_fraction: exact exchange that the host program computes: ω in bohr⁻¹ (0 for none),
            its fractions at short and long range.
        local_omega: ω of the learned short-range exchange, bohr⁻¹.
        exchange, network: what it was made with; two functionals are of one form where class, exchange, and width and
            depth of the networks are equal.
        members: how many functionals it is the mean of, see `mlxc.xc.ensemble`.
        zeta2: whether unlike-spin correlation sees ζ², beside u, w and r; what it does unless ``network`` says.
        kind: the form's name on a model card.
    """

    xc_type = "MGGA"
    kind: str
    members = 1
    zeta2 = True
    omega: float
    sr_fraction: float
    exchange: dict[str, float]

    def __init__(self, local_omega: float, network: dict, name: str):
        super().__init__()
        self.name, self.local_omega = name, local_omega
        size = {"width": network["width"], "depth": network["depth"]}
        self.zeta2 = network.get("zeta2", type(self).zeta2)
        self.network = size | ({"zeta2": self.zeta2} if self.zeta2 != type(self).zeta2 else {})
        self.networks = nn.ModuleDict({
            "exchange": Network(3, (1.0, 0.0), **size),
            "same_spin": Network(3, (-1.0, 0.0), **size),
            "opposite_spin": Network(4 if self.zeta2 else 3, (-1.0, 0.0), **size),
        })

    @property
    def long_range_fraction(self) -> Tensor:
        """Fraction of exact exchange at long range, (); a parameter where `mlxc.xc.relaxed` frees it."""
        return torch.ones((), dtype=torch.float64)

    @property
    def lr_fraction(self) -> float:
        """The same as a number."""
        return float(self.long_range_fraction.detach())

    def term_energy(self, term: Term) -> Tensor:
        """Energy per volume of one term, (n,), Ha bohr⁻³."""
        return term.gas * (1 + term.kappa * self.bounded(self.exponent(term)))

    def exponent(self, term: Term) -> Tensor:
        """u N_1 + w N_2: zero in the uniform gas whatever the networks' outputs are, (n,)."""
        outputs = self.outputs(term)
        return term.u * outputs[..., 0] + term.w * outputs[..., 1]

    def outputs(self, term: Term) -> Tensor:
        """Of a term's network, (n, outputs): N_1, N_2 and what a relaxed form adds."""
        network = self.networks[term.network]
        return network(term.inputs[..., :network.inputs])

    def bounded(self, exponent: Tensor) -> Tensor:
        """tanh, in (−1, 1)."""
        return torch.tanh(exponent)

    def gate(self, x_total: Variables, zeta2: Tensor) -> Tensor:
        """1 − q, (n,): 0 where a single orbital is occupied."""
        return 1 - constraints.one_electron(x_total.z, zeta2)

    def like_spin_factor(self, x: Variables) -> Tensor:
        """1 − w_σ, (n,): 0 for one orbital in the channel."""
        return 1 - x.w

    def sum(self, terms: Iterable[Term]) -> Tensor:
        """Energy per volume of several terms, (n,), Ha bohr⁻³."""
        return reduce(torch.add, map(self.term_energy, terms))

    def exchange_terms(self, density: Density, omega: float | None = None) -> Iterator[Term]:
        """e_xσ^{SR,sl} of each channel, once with a factor of 2 for closed shells.

        Args:
            density: n points.
            omega: another ω than ``local_omega``, bohr⁻¹.
        """
        omega = self.local_omega if omega is None else omega
        for rho, factor, _, x in channels(density):
            v = omega / (omega + x.kf)
            inputs = torch.stack((x.u, x.w, v), -1)
            yield Term("exchange", factor * short_range_lda_exchange(rho, omega), x.u, x.w, inputs, KAPPA)

    def correlation_terms(self, density: Density) -> Iterator[Term]:
        """Like-spin correlation of each channel, and unlike-spin correlation."""
        x_total, zeta2 = features.total(density), features.zeta2(density)
        gate = self.gate(x_total, zeta2)
        *e_same, e_ab = stoll_partition(density)
        for _, factor, spin, x in channels(density):
            e_c = gate * factor * e_same[spin] * self.like_spin_factor(x)
            yield Term("same_spin", e_c, x.u, x.w, torch.stack((x.u, x.w, x.r), -1), 1.0)
        x = x_total
        inputs = torch.stack((x.u, x.w, x.r, zeta2) if self.zeta2 else (x.u, x.w, x.r), -1)
        yield Term("opposite_spin", gate * e_ab, x.u, x.w, inputs, 1.0)


def channels(density: Density) -> Iterator[tuple[Tensor, Tensor, int, Variables]]:
    """(ρ_σ, factor, σ, variables) of each channel; the factor is 2 for the one channel of a closed shell, 0 where the
    channel is empty."""
    for spin in (0,) if density.closed_shell else (0, 1):
        rho, sigma, tau = density.rho[spin], density.sigma[2 * spin], density.tau[spin]
        occupied, x = features.channel(rho, sigma, tau)
        yield rho, (2 if density.closed_shell else 1) * occupied, spin, x


class RangeSeparated(Learned):
    """`mlxc_rs`: exact exchange at long range, learned exchange at short range and learned correlation.

    Args:
        exchange: ``omega`` in bohr⁻¹ and ``sr_fraction``, the constant fraction a of short-range exact exchange.
        network: ``width`` and ``depth`` of the three networks, ``zeta2`` as `Learned`.
        name: the functional's name in PySCF.
    """

    kind = "rs"

    def __init__(self, exchange: dict, network: dict, name: str = "mlxc_rs"):
        super().__init__(float(exchange["omega"]), network, name)
        self.omega = self.local_omega
        self.sr_fraction = float(exchange["sr_fraction"])
        self.exchange = {"omega": self.omega, "sr_fraction": self.sr_fraction}
        self.double()

    def edens(self, density: Density) -> Tensor:
        """XC energy per volume without the exact exchange.

        Args:
            density: n points.

        Returns:
            (n,) in Ha bohr⁻³.
        """
        return self.sum(self.terms(density))

    def terms(self, density: Density) -> Iterator[Term]:
        """All learned terms."""
        for term in self.exchange_terms(density):
            yield replace(term, gas=(1 - self.sr_fraction) * term.gas)
        yield from self.correlation_terms(density)


class LocalHybrid(Learned):
    """`mlxc_lh`: full exact exchange, a learned local replacement of it at short range and learned correlation.

    Args:
        exchange: ``local_omega`` in bohr⁻¹, the range of what is replaced, and ``b_max``, the bound of b.
        network: ``width`` and ``depth`` of the four networks; ``zeta2`` as `Learned`; ``hole``: whether b_σ sees h_σ
            and h.
        name: the functional's name in PySCF.
    """

    kind = "lh"
    omega, sr_fraction, zeta2 = 0.0, 1.0, False

    def __init__(self, exchange: dict, network: dict, name: str = "mlxc_lh"):
        super().__init__(float(exchange["local_omega"]), network, name)
        self.b_max = float(exchange["b_max"])
        self.exchange = {"local_omega": self.local_omega, "b_max": self.b_max}
        self.hole = bool(network.get("hole", False))
        self.networks["mixing"] = Network(5 if self.hole else 3, (0.0,), network["width"], network["depth"])
        self.network |= {"hole": True} if self.hole else {}
        self.double()

    def edens(self, density: Density) -> Tensor:
        """The semilocal part that stands by itself, correlation: (n,) in Ha bohr⁻³; see `replacement` for the rest."""
        return self.sum(self.correlation_terms(density))

    def replacement(self, density: Density, exact: Tensor) -> Tensor:
        """Σ_σ b_σ (e_xσ^{SR,sl} − e_xσ^{SR,HF}).

        Args:
            density: n points.
            exact: e_xσ^{SR,HF}, short-range exact exchange per volume, (2, n), Ha bohr⁻³.

        Returns:
            (n,) in Ha bohr⁻³.
        """
        return self.sum(self.replacement_terms(density, exact))

    def replacement_terms(self, density: Density, exact: Tensor) -> Iterator[Term]:
        """b_σ (e_xσ^{SR,sl} − e_xσ^{SR,HF}) of each channel, gated by 1 − q."""
        gate = self.gate(features.total(density), features.zeta2(density))
        terms = list(self.exchange_terms(density))
        exact = torch.stack([factor * exact[spin] for _, factor, spin, _ in channels(density)])
        for term, e, inputs in zip(terms, exact, self.mixing_inputs(terms, exact), strict=True):
            yield replace(term, gas=gate * term.gas, exact=gate * e, inputs=inputs)

    def mixing_inputs(self, terms: list[Term], exact: Tensor) -> list[Tensor]:
        """What b_σ sees of each channel, (n, 3), or with h_σ and h (n, 5).

        h is that of both spins' sums, and not the other spin's, so that it stays smooth where that has no electrons.
        """
        if not self.hole:
            return [term.inputs for term in terms]
        gas = torch.stack([term.gas for term in terms])
        each, both = features.hole(exact, gas), features.hole(exact.sum(0), gas.sum(0))
        return [torch.cat((term.inputs, torch.stack((h, both), -1)), -1) for term, h in zip(terms, each, strict=True)]

    def terms(self, density: Density, exact: Tensor) -> Iterator[Term]:
        """All learned terms."""
        yield from self.replacement_terms(density, exact)
        yield from self.correlation_terms(density)

    def term_energy(self, term: Term) -> Tensor:
        """Energy per volume of one term, (n,), Ha bohr⁻³."""
        energy = super().term_energy(term)
        return energy if term.exact is None else self.mixing(term.inputs) * (energy - term.exact)

    def mixing(self, inputs: Tensor) -> Tensor:
        """b_σ without its gate, in (0, b_max), (n,)."""
        return self.b_max * torch.sigmoid(self.networks["mixing"](inputs)[..., 0])
