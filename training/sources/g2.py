"""The G2/97 set that comes with ASE: 148 molecules at MP2(full)/6-31G(d) geometries.

Atomisation energies are experimental: ASE holds enthalpies of formation at 298 K with zero-point energies E_0 and
thermal corrections c = H(298 K) − H(0 K) (V. N. Staroverov et al., doi:10.1063/1.1626543) and those of atoms at 0 K
(L. A. Curtiss et al., doi:10.1063/1.473182), so that

    D_e = Σ_A (ΔH_A − c_A) − ΔH + c + E_0,

spin–orbit coupling and relativity included. Vertical ionisation energies (CCCBDB) are there for some molecules; closed
shells among them are taken, since their cations are doublets.
"""

from collections import Counter
from typing import Any

from mlxc.errors import Unsupported
from mlxc.manifest.checks import FORMAT

SOURCE = "G2/97 as in ase.data.g2: experimental enthalpies of formation, doi:10.1063/1.1626543"
IONISATION_SOURCE = "vertical ionisation energy of CCCBDB as in ase.data.g2"


def content() -> dict[str, Any]:
    """The content of a manifest: atomisation energies (kcal/mol) and vertical ionisation energies (eV)."""
    try:
        from ase import Atoms
        from ase.data import g2
    except ImportError as error:
        raise Unsupported("the source g2 is part of ASE: pip install ase") from error

    species: dict[str, dict] = {}
    reactions: list[dict] = []
    for name in (*g2.atom_names, *g2.molecule_names):
        entry = g2.data[name]
        atoms = Atoms(entry["symbols"], entry["positions"])
        spin = round(sum(entry["magmoms"] or [0]))
        species[name] = {"atoms": [[a.symbol, *map(float, a.position)] for a in atoms], "charge": 0, "spin": abs(spin)}
        if len(atoms) == 1:
            continue
        parts: dict[str, int] = dict(Counter(atoms.get_chemical_symbols()))
        reactions.append({"id": f"TAE({name})", "stoichiometry": {name: -1, **parts}, "unit": "kcal/mol",
                          "reference": round(_atomisation(g2.data, name, parts), 4), "subset": "atomisation",
                          "source": SOURCE})
        energy = entry.get("vertical ionization energy")
        if energy is not None and spin == 0:
            species[f"{name}+"] = species[name] | {"charge": 1, "spin": 1}
            reactions.append({"id": f"IP({name})", "stoichiometry": {name: -1, f"{name}+": 1, "e-": 1}, "unit": "eV",
                              "reference": energy, "subset": "ionisation", "source": IONISATION_SOURCE})
    return {"format": FORMAT, "name": "g2", "description": SOURCE, "species": species, "reactions": reactions}


def _atomisation(data: dict, name: str, parts: dict[str, int]) -> float:
    """D_e in kcal/mol; ASE's own function knows only the first half of the set."""
    entry = data[name]
    atoms = sum(n * (data[symbol]["enthalpy"] - data[symbol]["thermal correction"]) for symbol, n in parts.items())
    return atoms - entry["enthalpy"] + entry["thermal correction"] + entry["ZPE"]
