"""Nuclei at fixed places with some number of electrons of each spin."""

from collections.abc import Iterable
from dataclasses import dataclass

from pyscf.data.elements import charge as nuclear_charge


@dataclass(frozen=True)
class Species:
    """A density to be computed: n_alpha and n_beta electrons (fractions allowed) at fixed nuclei."""

    key: str
    atoms: tuple  # of (symbol, (x, y, z)) in Å
    n_alpha: float
    n_beta: float
    basis: str

    @property
    def charge(self) -> float:
        """Total charge, fractional where the occupation is."""
        return sum(nuclear_charge(a[0]) for a in self.atoms) - self.n_alpha - self.n_beta

    @property
    def electrons(self) -> float:
        """Number of electrons."""
        return self.n_alpha + self.n_beta

    @property
    def is_fractional(self) -> bool:
        """Whether an occupation is not a whole number."""
        return not (float(self.n_alpha).is_integer() and float(self.n_beta).is_integer())


def occupied(key: str, atoms: tuple, charge: float, spin: float, basis: str) -> Species:
    """The species with a total charge and 2S = n_alpha − n_beta."""
    n = sum(nuclear_charge(a[0]) for a in atoms) - charge
    return Species(key, atoms, (n + spin) / 2, (n - spin) / 2, basis)


def atoms_of(entry: dict) -> tuple:
    """((symbol, (x, y, z)), …) of an entry with ``atoms`` = [[symbol, x, y, z], …]."""
    return tuple((a[0], tuple(a[1:])) for a in entry["atoms"])


def chosen_basis(members: Iterable[Species], basis: str, diffuse_basis: str) -> str:
    """One basis per reaction, the diffuse one where an anion or a one-electron species takes part."""
    return diffuse_basis if any(s.charge < 0 or s.electrons == 1 for s in members) else basis
