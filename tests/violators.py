"""Functionals each of which breaks one law: every measure of a law must see the one that breaks it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from mlxc.xc import constraints, features
from mlxc.xc.functional import Learned, LocalHybrid, RangeSeparated, Term
from mlxc.xc.reference.lda import stoll_partition
from tests.functionals import random_functional, random_local_hybrid


def violator(mixin: type, base: type[Learned], scale: float = 3.0) -> Learned:
    """A learned functional of random weights, changed by a class of this module."""
    make = random_functional if base is RangeSeparated else random_local_hybrid
    functional = make(scale, seed=2)
    functional.name = f"mlxc_{mixin.__name__.lower()}"
    functional.__class__ = type(mixin.__name__, (mixin, base), {})
    return functional


class Changed:
    """A functional each of whose terms is changed."""

    def exchange_terms(self, density, omega=None):
        return self.all_changed(super().exchange_terms(density, omega), density)

    def correlation_terms(self, density):
        return self.all_changed(super().correlation_terms(density), density)

    def all_changed(self, terms, density) -> Iterator[Term]:
        seen = Counter()
        for term in terms:
            yield self.changed(term, density, seen[term.network])
            seen[term.network] += 1

    def changed(self, term, density, spin) -> Term:
        return term


class Offset(Changed):
    """G is not 1 in the uniform gas."""

    def exponent(self, term):
        return super().exponent(term) + (0.01 if term.network == "opposite_spin" else 0)


def ungated(terms, indicator) -> Iterator[Term]:
    """The terms with another indicator of one electron."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constraints, "one_electron", indicator)
        yield from terms


def never(z, zeta2):
    """q = 0."""
    return torch.zeros_like(z)


def plain(z, zeta2):
    """q = z² ζ², whose slope does not vanish at 1."""
    return z**2 * zeta2


class UngatedCorrelation:
    """The energy vanishes, for 1 − w_σ and Stoll's partition do, the potential of the empty channel does not."""

    def correlation_terms(self, density):
        return ungated(super().correlation_terms(density), never)


class PlainlyGatedCorrelation:
    """Energy and potential of the occupied channel vanish, the kernel does not."""

    def correlation_terms(self, density):
        return ungated(super().correlation_terms(density), plain)


class UngatedReplacement:
    """Exact exchange is replaced where one orbital is occupied."""

    def replacement_terms(self, density, exact):
        return ungated(super().replacement_terms(density, exact), never)


class PlainlyGatedReplacement:
    """The energy of one orbital is exact, the potential of the empty channel and the kernel are not."""

    def replacement_terms(self, density, exact):
        return ungated(super().replacement_terms(density, exact), plain)


class WithoutLikeSpinFactor(Changed):
    """1 − w_σ is left out."""

    def changed(self, term, density, spin):
        if term.network != "same_spin":
            return term
        gate = 1 - constraints.one_electron(features.total(density).z, features.zeta2(density))
        return replace(term, gas=gate * stoll_partition(density)[spin])


class Unbounded(Changed):
    """κ = 1.2 in correlation: G can be negative."""

    def changed(self, term, density, spin):
        return term if term.network == "exchange" else replace(term, kappa=1.2)


class Lopsided(Changed):
    """ζ in place of the last of the inputs."""

    def changed(self, term, density, spin):
        if term.network != "opposite_spin":
            return term
        zeta = (density.rho[0] - density.rho[1]) / density.n
        return replace(term, inputs=torch.cat((term.inputs[:, :-1], zeta[:, None]), -1))


class LopsidedReplacement:
    """The replacement knows spin a from spin b."""

    def replacement(self, density, exact):
        zeta = (density.rho[0] - density.rho[1]) / density.n
        return super().replacement(density, exact) * (1 + 0.02 * zeta)


class TotalDensityExchange(Changed):
    """Exchange of one spin that knows of the other."""

    def changed(self, term, density, spin):
        return replace(term, u=features.total(density).u) if term.network == "exchange" else term


class DimensionalExchange(Changed):
    """Exchange with r_s among its inputs."""

    def changed(self, term, density, spin):
        if term.network != "exchange":
            return term
        r = features.channel(density.rho[spin], density.sigma[2 * spin], density.tau[spin])[1].r
        return replace(term, inputs=torch.cat((term.inputs[:, :2], r[:, None]), -1))


class LooseBound(Changed):
    """F from 0 to 2."""

    def changed(self, term, density, spin):
        return replace(term, kappa=1.0) if term.network == "exchange" else term


class ShortTail:
    """Nine tenths of long-range exchange."""

    lr_fraction = 0.9


class WeakExchange:
    """Nine tenths of exact exchange everywhere."""

    sr_fraction = lr_fraction = 0.9


class NotAdditive:
    """The energy density at a point depends on the density at others."""

    def edens(self, density):
        return super().edens(density) * (1 + 5e-8 * density.n.sum())


class ForeignPotential:
    """A part of the energy is not in the potential."""

    def edens(self, density):
        fixed = replace(density, rho=density.rho.detach(), sigma=density.sigma.detach(), tau=density.tau.detach())
        return super().edens(density) + 0.1 * super().edens(fixed)


class ClosedShellsDiffer:
    """Closed shells have another energy than two equal spin channels."""

    def edens(self, density):
        return super().edens(density) * (1.001 if density.closed_shell else 1.0)


#: (what is changed, the law that breaks, the kinds of functionals that have it).
BOTH = (RangeSeparated, LocalHybrid)
VIOLATORS = tuple((mixin, law, base) for mixin, law, bases in (
    (Offset, "uniform_gas", BOTH),
    (UngatedCorrelation, "one_electron_correlation", BOTH),
    (PlainlyGatedCorrelation, "one_electron_correlation", BOTH),
    (UngatedReplacement, "one_electron_exchange", (LocalHybrid,)),
    (PlainlyGatedReplacement, "one_electron_exchange", (LocalHybrid,)),
    (WithoutLikeSpinFactor, "like_spin_correlation", BOTH),
    (Unbounded, "correlation_sign", BOTH),
    (Lopsided, "spin_symmetry", BOTH),
    (LopsidedReplacement, "spin_symmetry", (LocalHybrid,)),
    (TotalDensityExchange, "spin_scaling", BOTH),
    (DimensionalExchange, "coordinate_scaling", BOTH),
    (LooseBound, "lieb_oxford", BOTH),
    (ShortTail, "long_range_exchange", BOTH),
) for base in bases)
