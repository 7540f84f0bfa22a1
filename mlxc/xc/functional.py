"""The learned functionals, as a paper's method section would state them.

`mlxc_rs`, a range-separated meta-GGA hybrid:

    E_xc = E_x^{LR,HF}(ω) + a E_x^{SR,HF}(ω)                              exact exchange, from the host program
         + (1 − a) Σ_σ ∫ e_x^LDA(n_σ) A(ω/k_Fσ) F_θ(u_σ, w_σ, v_σ) dr     learned short-range exchange
         + ∫ (1 − q) [Σ_σ e_c^σσ (1 − w_σ) G^ss_θ + e_c^ab G^os_θ] dr     learned correlation

with the variables of `features`, the uniform-gas energies of `reference.lda` and `reference.attenuation`, and

    F = 1 + κ tanh(u N_1 + w N_2),     G = 1 + tanh(u N_1 + w N_2),

N_1 and N_2 being the outputs of one network for each of F, G^ss and G^os. u = w = 0 in the uniform gas, so F = G = 1
there whatever the networks say; 1 − κ < F < 1 + κ (Lieb–Oxford, κ = 0.804) and 0 < G < 2 everywhere else.

1 − w_σ = 2 (τ_σ − τ_Wσ)/(τ_σ + τ_UEGσ) is 0 for one orbital and 1 in the uniform gas, as 1 − z_σ = 1 − τ_Wσ/τ_σ is, but
its derivative in τ_σ stays finite where an orbital's gradient vanishes, as midway between the atoms of H₂.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor, nn

from mlxc.xc import constraints, features
from mlxc.xc.density import Density
from mlxc.xc.network import Network
from mlxc.xc.reference.lda import short_range_lda_exchange, stoll_partition

#: Largest enhancement of exchange over the uniform gas is 1 + KAPPA: the local Lieb–Oxford bound,
#: doi:10.1103/PhysRevLett.77.3865.
KAPPA = 0.804


@dataclass(frozen=True)
class Term:
    """One learned term of the energy density, gas · (1 + κ tanh(u N_1 + w N_2)).

    Attributes:
        network: name of the network that gives N_1 and N_2.
        gas: energy per volume of the uniform gas with all hard factors, (n,), Ha bohr⁻³.
        u, w: the variables that vanish together in the uniform gas only, (n,).
        inputs: the network's inputs, (n, k).
        kappa: bound of the enhancement's deviation from 1.
    """

    network: str
    gas: Tensor
    u: Tensor
    w: Tensor
    inputs: Tensor
    kappa: float


class RangeSeparated(nn.Module):
    """`mlxc_rs`: exact exchange at long range, learned exchange at short range and learned correlation.

    Args:
        exchange: ``omega`` in bohr⁻¹ and ``sr_fraction``, the constant fraction a of short-range exact exchange.
        network: ``width`` and ``depth`` of the three networks.
        name: the functional's name in PySCF.
    """

    xc_type = "MGGA"
    lr_fraction = 1.0

    def __init__(self, exchange: dict, network: dict, name: str = "mlxc_rs"):
        super().__init__()
        self.name = name
        self.omega = float(exchange["omega"])
        self.sr_fraction = float(exchange["sr_fraction"])
        size = {"width": network["width"], "depth": network["depth"]}
        self.networks = nn.ModuleDict({
            "exchange": Network(3, (1.0, 0.0), **size),
            "same_spin": Network(3, (-1.0, 0.0), **size),
            "opposite_spin": Network(4, (-1.0, 0.0), **size),
        })
        self.double()

    def edens(self, density: Density) -> Tensor:
        """XC energy per volume without the exact exchange.

        Args:
            density: n points.

        Returns:
            (n,) in Ha bohr⁻³.
        """
        return reduce(torch.add, (self.term_energy(term) for term in self.terms(density)))

    def term_energy(self, term: Term) -> Tensor:
        """Energy per volume of one term, (n,), Ha bohr⁻³."""
        return term.gas * (1 + term.kappa * torch.tanh(self.exponent(term)))

    def exponent(self, term: Term) -> Tensor:
        """u N_1 + w N_2: zero in the uniform gas whatever the networks' outputs are, (n,)."""
        outputs = self.networks[term.network](term.inputs)
        return term.u * outputs[:, 0] + term.w * outputs[:, 1]

    def terms(self, density: Density) -> Iterator[Term]:
        """The learned terms: exchange and like-spin correlation of each channel, unlike-spin correlation."""
        x_total, zeta2 = features.total(density), features.zeta2(density)
        not_one_electron = 1 - constraints.one_electron(x_total.z, zeta2)
        *e_same, e_ab = stoll_partition(density)
        factor = 2 if density.closed_shell else 1
        for spin in (0,) if density.closed_shell else (0, 1):
            rho, sigma, tau = density.rho[spin], density.sigma[2 * spin], density.tau[spin]
            occupied, x = features.channel(rho, sigma, tau)
            occupied = factor * occupied
            e_x = (1 - self.sr_fraction) * occupied * short_range_lda_exchange(rho, self.omega)
            v = self.omega / (self.omega + x.kf)
            yield Term("exchange", e_x, x.u, x.w, torch.stack((x.u, x.w, v), -1), KAPPA)
            e_c = not_one_electron * occupied * e_same[spin] * (1 - x.w)
            yield Term("same_spin", e_c, x.u, x.w, torch.stack((x.u, x.w, x.r), -1), 1.0)
        x = x_total
        inputs = torch.stack((x.u, x.w, x.r, zeta2), -1)
        yield Term("opposite_spin", not_one_electron * e_ab, x.u, x.w, inputs, 1.0)
