"""`mlxc_rslh`, the mean of a range-separated and a local hybrid, by itself a range-separated local hybrid:

    E_xc = ½ E_xc[rs] + ½ E_xc[lh] = E_x^{LR,HF}(ω) + a E_x^{SR,HF}(ω) + (1 − a) Σ_σ ∫ e_xσ^{SR,sl}(ω) dr
           + Σ_σ ∫ b_σ [e_xσ^{SR,sl}(ω') − e_xσ^{SR,HF}(ω')] dr + ½ ∫ (e_c[rs] + e_c[lh]) dr

a = (1 + a[rs])/2, b = b[lh]/2; ω is that of the range-separated hybrid, ω' that of the local one. Two forms that are
fitted to the same data are wrong about different reactions, so that their mean is better than either
(docs/decisions.md, 36). It obeys what both obey: for one electron its correlation is exact, and its exchange half as
wrong as that of the range-separated hybrid.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mlxc.errors import InvalidInput
from mlxc.xc.density import Density
from mlxc.xc.ensemble import LocalHybridEnsemble, RangeSeparatedEnsemble, combine
from mlxc.xc.functional import Learned, LocalHybrid, RangeSeparated, Term


@dataclass(frozen=True)
class Half:
    """A term of one of the two functionals.

    Attributes:
        form: the functional that it belongs to.
        term: the term.
    """

    form: Learned
    term: Term

    @property
    def network(self) -> str:
        """Name of the network that it takes."""
        return self.term.network


class RangeSeparatedLocalHybrid(nn.Module):
    """The mean of a range-separated and a local hybrid, or of ensembles of them with equally many members.

    Attributes:
        rs, lh: the two.
        name: the functional's name in PySCF.
        omega, sr_fraction, lr_fraction: exact exchange that the host program computes: ω in bohr⁻¹, a, and 1.
        local_omega, b_max: ω' in bohr⁻¹ and the bound of b.
        exchange, network: what it can be made with, see `untrained`.
        members: how many functionals of this form it is the mean of: member m has member m of both.
    """

    xc_type = "MGGA"
    kind = "rslh"
    lr_fraction = 1.0

    def __init__(self, rs: RangeSeparated, lh: LocalHybrid, name: str = "mlxc_rslh"):
        super().__init__()
        if (type(rs), type(lh)) not in ((RangeSeparated, LocalHybrid), (RangeSeparatedEnsemble, LocalHybridEnsemble)):
            raise InvalidInput(f"the mean of {type(rs).__name__} and {type(lh).__name__}: expected a range-separated "
                               "and a local hybrid that obey every constraint, or an ensemble of each")
        sizes = [(f.members, f.network["width"], f.network["depth"]) for f in (rs, lh)]
        if sizes[0] != sizes[1] or lh.hole or not rs.zeta2:
            raise InvalidInput(f"{rs.name} has {rs.members} members of {rs.network}, {lh.name} {lh.members} of "
                               f"{lh.network}: expected equally many, of one size, the first with ζ², the second "
                               "without the exchange hole")
        self.rs, self.lh, self.name = rs, lh, name
        self.omega, self.local_omega = rs.omega, lh.local_omega
        self.sr_fraction, self.b_max = (1 + rs.sr_fraction) / 2, lh.b_max / 2
        self.members, self.network = rs.members, lh.network
        self.exchange = {key: getattr(self, key) for key in ("omega", "sr_fraction", "local_omega", "b_max")}

    @property
    def long_range_fraction(self) -> Tensor:
        """Fraction of exact exchange at long range, ()."""
        return self.rs.long_range_fraction

    def edens(self, density: Density) -> Tensor:
        """The semilocal part that stands by itself: (n,) in Ha bohr⁻³; see `replacement` for the rest."""
        return (self.rs.edens(density) + self.lh.edens(density)) / 2

    def replacement(self, density: Density, exact: Tensor) -> Tensor:
        """Σ_σ b_σ (e_xσ^{SR,sl} − e_xσ^{SR,HF}), as `LocalHybrid.replacement`."""
        return self.lh.replacement(density, exact) / 2

    def exchange_terms(self, density: Density, omega: float | None = None) -> Iterator[Half]:
        """e_xσ^{SR,sl} of both; arguments as `Learned.exchange_terms`."""
        for form in (self.rs, self.lh):
            yield from (Half(form, term) for term in form.exchange_terms(density, omega))

    def correlation_terms(self, density: Density) -> Iterator[Half]:
        """Correlation of both."""
        for form in (self.rs, self.lh):
            yield from (Half(form, term) for term in form.correlation_terms(density))

    def sum(self, halves: Iterable[Half]) -> Tensor:
        """Energy per volume of terms of both, half of each, (n,), Ha bohr⁻³."""
        return torch.stack([half.form.term_energy(half.term) for half in halves]).sum(0) / 2

    @property
    def ensembles(self) -> tuple[RangeSeparatedEnsemble, LocalHybridEnsemble]:
        """The two, where they are means themselves.

        Raises:
            InvalidInput: they are not.
        """
        if isinstance(self.rs, RangeSeparatedEnsemble) and isinstance(self.lh, LocalHybridEnsemble):
            return self.rs, self.lh
        raise InvalidInput(f"{self.name} has no members")

    def member_edens(self, density: Density) -> Tensor:
        """`edens` of each member, (M, n), Ha bohr⁻³."""
        rs, lh = self.ensembles
        return (rs.member_edens(density) + lh.member_edens(density)) / 2

    def member_replacement(self, density: Density, exact: Tensor) -> Tensor:
        """`replacement` of each member, (M, n), Ha bohr⁻³."""
        return self.ensembles[1].member_replacement(density, exact) / 2

    def member(self, m: int) -> "RangeSeparatedLocalHybrid":
        """Member m, 0 … M − 1, as a functional by itself, named ``<name>_m``."""
        rs, lh = self.ensembles
        return RangeSeparatedLocalHybrid(rs.member(m), lh.member(m), f"{self.name}_{m}")  # type: ignore[arg-type]


def untrained(exchange: dict, network: dict, name: str, members: int = 1) -> RangeSeparatedLocalHybrid:
    """A functional of this form with its parameters at the start.

    Args:
        exchange: ``omega``, ``sr_fraction``, ``local_omega`` and ``b_max``.
        network: ``width`` and ``depth`` of the networks of both.
        name: the functional's name in PySCF.
        members: how many functionals it is the mean of.
    """
    rs = RangeSeparated({"omega": exchange["omega"], "sr_fraction": 2 * exchange["sr_fraction"] - 1}, network)
    lh = LocalHybrid({"local_omega": exchange["local_omega"], "b_max": 2 * exchange["b_max"]}, network)
    if members == 1:
        return RangeSeparatedLocalHybrid(rs, lh, name)
    several = combine([rs] * members, rs.name), combine([lh] * members, lh.name)
    return RangeSeparatedLocalHybrid(*several, name)  # type: ignore[arg-type]
