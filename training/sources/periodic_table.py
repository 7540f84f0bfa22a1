"""Ionisation energies and electron affinities of atoms from the package mendeleev: experimental, ground level.

Multiplicities follow Hund's first rule for a configuration that ends with s and p electrons. Where a d or f shell is
being filled, the ion's configuration does not follow from the atom's, so that those elements are left out.
"""

from typing import Any

from mlxc.errors import InvalidInput, Unsupported
from mlxc.manifest.checks import FORMAT

SOURCE = "mendeleev (NIST ASD; experimental, relativity and spin-orbit coupling included)"

#: Last atomic number, and those in between whose d shell is being filled.
LAST, D_BLOCK = 36, range(21, 31)


def content(last: int = 18) -> dict[str, Any]:
    """The content of a manifest: atoms up to Z = last, their ions, and the energies between them, eV.

    Args:
        last: 1 to 36.

    Raises:
        Unsupported: mendeleev is not installed.
        InvalidInput: another ``last``.
    """
    try:
        from mendeleev import element
    except ImportError as error:
        raise Unsupported('the source mendeleev needs that package: pip install "mlxc[train]"') from error

    if not 1 <= last <= LAST:
        raise InvalidInput(f"last atomic number {last}, accepted are 1 to {LAST}")
    species: dict[str, dict] = {}
    reactions: list[dict] = []

    def reaction(kind: str, subset: str, symbol: str, stoichiometry: dict[str, int], value: float) -> None:
        reactions.append({"id": f"{kind}({symbol})", "stoichiometry": stoichiometry, "reference": value, "unit": "eV",
                          "subset": subset, "source": SOURCE})

    for z in range(1, last + 1):
        if z in D_BLOCK:
            continue
        e: Any = element(z)
        symbol, valence = e.symbol, _valence(e)
        for charge, name in ((0, symbol), (1, f"{symbol}+"), (-1, f"{symbol}-")):
            if z - charge > 0:
                species[name] = {"atoms": [[symbol, 0.0, 0.0, 0.0]], "charge": charge,
                                 "spin": unpaired(valence - charge, first_row=z <= 2)}
        ionised = {f"{symbol}+": 1} if z > 1 else {"H+": 1}
        reaction("IP", "ionisation", symbol, {symbol: -1, **ionised, "e-": 1}, e.ionenergies[1])
        if e.electron_affinity is not None and e.electron_affinity > 0:
            reaction("EA", "affinity", symbol, {symbol: 1, "e-": 1, f"{symbol}-": -1}, e.electron_affinity)
        else:
            del species[f"{symbol}-"]
    return {"format": FORMAT, "name": "mendeleev", "description": SOURCE, "species": species, "reactions": reactions}


def unpaired(valence: int, first_row: bool) -> int:
    """2S of `valence` electrons in one s and one p shell: s² first, then the p orbitals singly.

    Nine electrons are a full shell and one more in the next s shell.
    """
    if first_row:
        return valence % 2
    s = min(valence, 2)
    p = valence - s
    if s < 2:
        return s
    return p if p <= 3 else 6 - p if p <= 6 else 1


def _valence(element: Any) -> int:
    """Electrons in the outermost s and p shells."""
    n = element.ec.max_n()
    return sum(count for (shell, kind), count in element.ec.conf.items() if shell == n and kind in "sp")
