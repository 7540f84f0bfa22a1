"""The mean of several functionals of one form, which differ in their parameters and in what their networks see:

    E_xc = (1/M) Σ_m E_xc[θ_m]

What does not depend on the parameters (variables of the density, energies of the uniform gas, hard factors) is
computed once; the networks of all members are evaluated together, and what follows from their outputs has a leading
axis of members until a term's energy is averaged. For a local hybrid that is the mean of the products b_m (e_m − e_HF),
not the product of means. An input that a member does not see has weights of zero there. Every law of `constraints` that
holds for each member holds for the mean: they are all linear in the energy, or bounds.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from mlxc.errors import InvalidInput
from mlxc.xc.density import Density
from mlxc.xc.functional import Learned, LocalHybrid, RangeSeparated, Term
from mlxc.xc.network import StackedNetwork


class Ensemble(Learned):
    """What the mean adds to its members' form; mixed into it, see `combine`.

    Attributes:
        form: class of the members.
        members: their number M.
    """

    form: type[Learned]

    def __init__(self, members: Sequence[Learned], name: str):
        """Args: members, of the class ``form``, whose parameters are copied; name in PySCF."""
        super().__init__(members[0].exchange, members[0].network, name)  # type: ignore[arg-type]
        stacked = {key: StackedNetwork([m.networks[key] for m in members])  # type: ignore[misc]
                   for key in self.networks}
        self.networks = nn.ModuleDict(stacked)
        self.members = len(members)

    def term_energy(self, term: Term) -> Tensor:
        """Energy per volume of one term, the mean over the members, (n,), Ha bohr⁻³."""
        return super().term_energy(term).mean(0)

    def member_sum(self, terms: Iterable[Term]) -> Tensor:
        """Energy per volume of several terms by each member, (M, n), Ha bohr⁻³."""
        return reduce(torch.add, map(super().term_energy, terms))

    def member_edens(self, density: Density) -> Tensor:
        """`edens` of each member, (M, n), Ha bohr⁻³."""
        raise NotImplementedError

    def member(self, m: int) -> Learned:
        """Member m, 0 … M − 1, as a functional by itself, named ``<name>_m``."""
        alone = self.form(self.exchange, self.network, f"{self.name}_{m}")  # type: ignore[arg-type]
        alone.load_state_dict({key: values[m] for key, values in self.state_dict().items()})
        return alone.requires_grad_(False)


class RangeSeparatedEnsemble(Ensemble, RangeSeparated):
    """The mean of range-separated hybrids."""

    form = RangeSeparated

    def member_edens(self, density: Density) -> Tensor:
        """`edens` of each member, (M, n), Ha bohr⁻³."""
        return self.member_sum(self.terms(density))


class LocalHybridEnsemble(Ensemble, LocalHybrid):
    """The mean of local hybrids."""

    form = LocalHybrid

    def member_edens(self, density: Density) -> Tensor:
        """`edens` of each member, (M, n), Ha bohr⁻³."""
        return self.member_sum(self.correlation_terms(density))

    def member_replacement(self, density: Density, exact: Tensor) -> Tensor:
        """`replacement` of each member, (M, n), Ha bohr⁻³."""
        return self.member_sum(self.replacement_terms(density, exact))


#: Entries of ``network`` that say what networks see, in which members may differ.
SEEN = ("zeta2", "hole")

#: The mean of each form.
MEANS: dict[type[Learned], type[Ensemble]] = {kind.form: kind for kind in (RangeSeparatedEnsemble, LocalHybridEnsemble)}


def combine(functionals: Sequence[Learned], name: str) -> Ensemble:
    """The mean of functionals, which `mlxc.zoo.save` writes into one model file.

    Args:
        functionals: two or more of one form: class, exact exchange, width and depth of the networks; their parameters
            are copied.
        name: the mean's name in PySCF.

    Raises:
        InvalidInput: fewer than two, another class, or one that differs in its form from the first.
    """
    if len(functionals) < 2:
        raise InvalidInput(f"an ensemble of {len(functionals)} functionals: expected two or more")
    for f in functionals:
        if type(f) not in MEANS:
            raise InvalidInput(f"{getattr(f, 'name', f)!r} is a {type(f).__name__}, expected one of "
                               f"{', '.join(kind.__name__ for kind in MEANS)}: of an ensemble pass the members")
        if (found := _form(f)) != (expected := _form(functionals[0])):
            raise InvalidInput(f"the functionals differ in form: {f.name} is {found}, {functionals[0].name} is "
                               f"{expected}; members may differ in their parameters and in {' and '.join(SEEN)}")
    seen = {key: any(getattr(f, key, False) for f in functionals) for key in SEEN}
    return MEANS[type(functionals[0])]([seeing(f, f.network | seen) for f in functionals], name)


def seeing(functional: Learned, network: Mapping) -> Learned:
    """The same functional with networks that have more inputs, or fewer.

    Args:
        functional: its parameters are copied.
        network: as that of its form; further inputs get weights of zero, and those of inputs that go have to be zero.

    Raises:
        InvalidInput: the functional sees what the network lacks.
    """
    made, found = type(functional)(functional.exchange, network, functional.name), functional.state_dict()  # type: ignore[arg-type]
    for key, wanted in made.state_dict().items():
        more = wanted.shape[-1] - found[key].shape[-1]
        if more < 0 and found[key][..., more:].any():
            raise InvalidInput(f"{functional.name} has networks {functional.network}, which see more than {network}")
        found[key] = pad(found[key], (0, more))
    made.load_state_dict(found)
    return made.requires_grad_(next(functional.parameters()).requires_grad)


def _form(functional: Learned) -> str:
    size = {key: functional.network[key] for key in ("width", "depth")}
    return f"{type(functional).__name__}({functional.exchange}, {size})"
