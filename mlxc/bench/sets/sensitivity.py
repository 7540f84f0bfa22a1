"""Grid and basis: how much numbers change that no physics changes.

A finer grid must leave every energy where it is; a larger basis changes reaction energies little. References are zero.
"""

from dataclasses import replace

from mlxc.bench.entries import Builder, Set
from mlxc.bench.jobs import Job
from mlxc.bench.protocol import Protocol

#: Grid level that others are compared with; three levels above the protocol's, if that is more.
FINE_GRID = 6

#: Next larger bases.
LARGER = {"def2-tzvpd": "def2-qzvppd", "aug-cc-pvtz": "aug-cc-pvqz"}

ORIGIN = (0.0, 0.0, 0.0)
CO = (("C", ORIGIN), ("O", (0.0, 0.0, 1.128)))
H2O = (("O", ORIGIN), ("H", (0.7572, 0.5865, 0.0)), ("H", (-0.7572, 0.5865, 0.0)))
OH = (("O", ORIGIN), ("H", (0.0, 0.0, 0.97)))

#: Species: atoms, charge, 2S.
SPECIES = {"Ar": ((("Ar", ORIGIN),), 0, 0), "CO": (CO, 0, 0), "H2O": (H2O, 0, 0), "H2O+": (H2O, 1, 1),
           "OH": (OH, 0, 1), "OH-": (OH, -1, 0), "O": ((("O", ORIGIN),), 0, 2), "C": ((("C", ORIGIN),), 0, 2),
           "H": ((("H", ORIGIN),), 0, 1)}

#: Reactions by name: stoichiometry.
REACTIONS = {"TAE(CO)": {"CO": -1, "C": 1, "O": 1}, "TAE(H2O)": {"H2O": -1, "O": 1, "H": 2},
             "IP(H2O)": {"H2O": -1, "H2O+": 1}, "EA(OH)": {"OH": 1, "OH-": -1}}


def grids_and_bases(protocol: Protocol) -> Set:
    """Total energies on the protocol's grid minus those on a fine one, and reaction energies in the next larger basis
    minus those in the protocol's, kcal/mol."""
    build = Builder()
    for name, (atoms, charge, spin) in SPECIES.items():
        coarse = Job(name, atoms, charge, spin, protocol.diffuse_basis)
        fine = replace(coarse, grid_level=min(9, max(FINE_GRID, protocol.grid_level + 3)))
        build.add(name, "grid", "grid", [(coarse, 1.0), (fine, -1.0)], 0.0, quantity="scf_energy")
    for basis in (protocol.basis, protocol.diffuse_basis):
        if (larger := LARGER.get(basis)) is None:
            continue
        for name, stoichiometry in REACTIONS.items():
            if any(SPECIES[s][1] < 0 for s in stoichiometry) and basis == protocol.basis != protocol.diffuse_basis:
                continue  # no anion is computed without diffuse functions
            terms = [(Job(s, *SPECIES[s], b), sign * c) for s, c in stoichiometry.items()
                     for b, sign in ((larger, 1.0), (basis, -1.0))]
            build.add(f"{name} {basis}", f"basis, {basis}", "basis", terms, 0.0, quantity="scf_energy")
    return build.finished("sensitivity", "What a finer grid and a larger basis change")
