"""What must be the same on both sides of a reaction.

For Σ_k c_k E_k with species of nuclei, charge q_k and 2S_k:

* mass: Σ_k c_k (number of nuclei of each element) = 0;
* charge: Σ_k c_k q_k = 0. Free electrons and protons, whose energy is zero, are written out as `e-` and `H+`, so that a
  wrong charge cannot pass for an ionisation;
* spin: the spins of the two sides must be able to couple to a common total spin. Those of a side couple to every 2S of
  its parity from max(2 max_k 2S_k − Σ_k 2S_k, 0 or 1) to Σ_k 2S_k. An energy that changes the spin is well defined
  (CaO → Ca + O(³P)), but more often a multiplicity is mistyped: the entry must say ``"spin_change": true``. Parity
  needs no check: it follows from mass and charge, once every species has a 2S that its electrons allow.
"""

import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from fractions import Fraction

from pyscf.data.elements import charge as nuclear_charge

from mlxc.errors import InvalidInput
from mlxc.manifest.species import Species

#: Largest deviation of a sum of coefficients from zero; coefficients such as 1/3 are rounded in a file.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Content:
    """Nuclei, charge and 2S of a species."""

    nuclei: Counter
    charge: float
    spin: float


#: Species of zero energy, which have names of their own in a stoichiometry.
FREE = {"e-": Content(Counter(), -1, 1), "H+": Content(Counter({"H": 1}), 1, 0)}


def content(species: Species) -> Content:
    """What a species brings into a balance."""
    return Content(Counter(a[0] for a in species.atoms), species.charge, species.n_alpha - species.n_beta)


def problem(stoichiometry: dict[str, float], contents: dict[str, Content], spin_change: bool = False) -> str | None:
    """What is not balanced, and what to do; None where all is.

    Args:
        stoichiometry: coefficient by name; products positive.
        contents: of every name that is not in FREE.
        spin_change: the spins need not couple.
    """
    contents = FREE | contents
    nuclei, charge = _sums(stoichiometry, contents)
    if nuclei:
        shown = ", ".join(f"{n:+g} {symbol}" for symbol, n in nuclei.items())
        hint = " (write a bare proton as H+)" if set(nuclei) == {"H"} else ""
        return f"nuclei are not balanced: products − reactants = {shown}; correct the coefficients{hint}"
    if abs(charge) > TOLERANCE:
        return (f"charge is not balanced: products − reactants = {charge:+g}; correct a charge, or write free "
                "electrons as e-")
    if not spin_change and not _spins_couple(stoichiometry, contents):
        return ('the spins of the two sides do not couple to a common total spin; correct a multiplicity, or say '
                '"spin_change": true')
    return None


def completed(stoichiometry: dict[str, float], contents: dict[str, Content]) -> dict[str, float]:
    """The stoichiometry with the protons and electrons that a table of reference energies leaves out.

    Raises:
        InvalidInput: another element than H is not balanced.
    """
    nuclei, charge = _sums(stoichiometry, FREE | contents)
    if set(nuclei) - {"H"}:
        raise InvalidInput(problem(stoichiometry, contents))
    protons = -nuclei.get("H", 0)
    electrons = charge + protons
    return stoichiometry | {name: n for name, n in (("H+", protons), ("e-", electrons)) if abs(n) > TOLERANCE}


def needs_spin_change(stoichiometry: dict[str, float], contents: dict[str, Content]) -> bool:
    """Whether the spins of the two sides cannot couple to a common total spin."""
    return not _spins_couple(stoichiometry, FREE | contents)


def possible_spin(nuclei: list[str], charge: int, spin: int) -> bool:
    """Whether the electrons of a molecule can have `spin` of them unpaired."""
    n = sum(nuclear_charge(symbol) for symbol in nuclei) - charge
    return 0 <= spin <= n and (n - spin) % 2 == 0


def _sums(stoichiometry: dict[str, float], contents: dict[str, Content]) -> tuple[dict[str, float], float]:
    """Products minus reactants: nuclei that are not zero, and charge."""
    nuclei: dict[str, float] = defaultdict(float)
    for name, c in stoichiometry.items():
        for symbol, n in contents[name].nuclei.items():
            nuclei[symbol] += c * n
    charge = sum(c * contents[name].charge for name, c in stoichiometry.items())
    return {symbol: n for symbol, n in nuclei.items() if abs(n) > TOLERANCE}, charge


def _spins_couple(stoichiometry: dict[str, float], contents: dict[str, Content]) -> bool:
    coefficients = {name: Fraction(c).limit_denominator(12) for name, c in stoichiometry.items()}
    common = math.lcm(*(c.denominator for c in coefficients.values()))
    ranges = []
    for sign in (1, -1):
        spins = [(round(sign * c * common), contents[name].spin) for name, c in coefficients.items() if sign * c > 0]
        total = sum(n * s for n, s in spins)
        largest = max((s for _, s in spins), default=0)
        ranges.append((max(2 * largest - total, total % 2), total))
    (a, b), (c, d) = ranges
    return max(a, c) <= min(b, d)
