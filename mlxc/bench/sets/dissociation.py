"""Bonds that are pulled apart: energies relative to the functional's own fragments.

H₂ and He₂⁺ against full configuration interaction in the same basis (`benchmarks/make_curves.py`); LiF far beyond the
distance where the ionic and the neutral curves cross (7.2 Å, from IP(Li) − EA(F)), where the exact energy is that of
the atoms. H₂⁺ is in the set one-electron. H₂ is computed restricted, which is the hard test of static correlation that
no functional of mlxc's claims to pass, and with broken spin symmetry.
"""

import json
from pathlib import Path
from typing import NamedTuple

from mlxc.bench.entries import Builder, Set
from mlxc.bench.jobs import Job
from mlxc.bench.protocol import Protocol
from mlxc.errors import InvalidInput

#: Full CI energies of the curves that have any, and their basis.
BASIS = "aug-cc-pvtz"
REFERENCES = Path(__file__).parents[1] / "data" / "curves.json"


class Curve(NamedTuple):
    """A diatomic: symbols, charge, 2S, fragments (symbol, charge, 2S), and distances in Å."""

    symbols: tuple[str, ...]
    charge: int
    spin: int
    fragments: tuple[tuple[str, int, int], ...]
    distances: tuple[float, ...]


CURVES = {
    "H2": Curve(("H", "H"), 0, 0, (("H", 0, 1), ("H", 0, 1)), (0.5, 0.74, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0)),
    "He2+": Curve(("He", "He"), 1, 1, (("He", 0, 0), ("He", 1, 1)), (0.8, 1.08, 1.4, 1.75, 2.25, 3.0, 4.0, 5.0, 7.0)),
    "LiF": Curve(("Li", "F"), 0, 0, (("Li", 0, 1), ("F", 0, 1)), (10.0, 12.0, 15.0)),
}


def curves(protocol: Protocol) -> Set:
    """E(R) minus the fragments, kcal/mol, against the distance."""
    if protocol.diffuse_basis != BASIS:
        raise InvalidInput(f"the set dissociation has references in {BASIS} alone: leave --diffuse-basis out")
    build, reference = Builder(), json.loads(REFERENCES.read_text(encoding="utf-8"))
    for name, c in CURVES.items():
        apart = [(Job(symbol, ((symbol, (0.0, 0.0, 0.0)),), charge, spin, protocol.diffuse_basis), -1.0)
                 for symbol, charge, spin in c.fragments]
        ways = {", restricted": True, ", broken symmetry": False} if name == "H2" else {"": False}
        for ending, restricted in ways.items():
            subset = name + ending
            for r in c.distances:
                atoms = tuple((symbol, (0.0, 0.0, i * r)) for i, symbol in enumerate(c.symbols))
                job = Job(f"{name} {r:g}", atoms, c.charge, c.spin, protocol.diffuse_basis, restricted=restricted)
                exact = reference[name]["points"][f"{r:g}"] if name in reference else 0.0
                build.add(f"{subset} {r:g}", subset, "dissociation", [(job, 1.0), *apart], exact, x=r,
                          quantity="scf_energy")
    return build.finished("dissociation", "Bonds that are pulled apart: errors relative to the fragments", "R, Å")
