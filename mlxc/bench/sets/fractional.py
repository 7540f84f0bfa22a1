"""Fractional electron numbers: E(N) is a straight line between whole ones (doi:10.1103/PhysRevLett.49.1691).

The error of a point is its distance from the line through the functional's own end points. Atoms whose fractional
charges mlxc's functionals are trained on, and atoms and molecules that they never saw, are families of their own.
"""

from pyscf.data.elements import charge as nuclear_charge

from mlxc.bench.entries import Builder, Set
from mlxc.bench.jobs import Job
from mlxc.bench.protocol import Protocol

#: 2S of cation, neutral and (where it is bound) anion.
ATOMS = {"C": (1, 2, 3), "N": (2, 3, None), "O": (3, 2, 1), "F": (2, 1, 0), "Cl": (2, 1, 0), "Al": (0, 1, 2),
         "B": (0, 1, 2), "P": (2, 3, 2), "S": (3, 2, 1)}

#: Atoms whose ions and fractional points are in no training set of mlxc's.
HELD_OUT = ("B", "P", "S")

#: Closed-shell molecules that lose part of an electron, at experimental geometries (NIST Chemistry WebBook), Å.
MOLECULES = {
    "H2O": (("O", (0.0, 0.0, 0.0)), ("H", (0.7572, 0.5865, 0.0)), ("H", (-0.7572, 0.5865, 0.0))),
    "NH3": (("N", (0.0, 0.0, 0.0)), ("H", (0.0, 0.9377, 0.3816)), ("H", (0.8121, -0.4689, 0.3816)),
            ("H", (-0.8121, -0.4689, 0.3816))),
    "C2H4": (("C", (0.0, 0.0, 0.6695)), ("C", (0.0, 0.0, -0.6695)), ("H", (0.0, 0.9289, 1.2321)),
             ("H", (0.0, -0.9289, 1.2321)), ("H", (0.0, 0.9289, -1.2321)), ("H", (0.0, -0.9289, -1.2321))),
}

#: Parts of an electron.
FRACTIONS = (0.25, 0.5, 0.75)


def lines(protocol: Protocol) -> Set:
    """Distances from the straight line, eV, against the charge."""
    build = Builder()
    for symbol, spins in ATOMS.items():
        family = "atoms never seen" if symbol in HELD_OUT else "atoms trained on"
        atoms, z = ((symbol, (0.0, 0.0, 0.0)),), nuclear_charge(symbol)
        for lower, upper in ((1, 0), (0, -1)):  # charges: between cation and atom, and atom and anion
            ends = [spin for charge in (lower, upper) if (spin := spins[1 - charge]) is not None]
            if len(ends) == 2:
                _line(build, symbol, family, atoms, z, (lower, upper), ends, protocol.diffuse_basis)
    for name, nuclei in MOLECULES.items():
        _line(build, name, "molecules never seen", nuclei, sum(nuclear_charge(a[0]) for a in nuclei), (1, 0), [1, 0],
              protocol.diffuse_basis)
    return build.finished("fractional", "Fractional charges: distance from the straight line between whole ones",
                          "charge, e")


def _line(build: Builder, name: str, family: str, atoms: tuple, z: int, charges: tuple[int, int], spins: list[int],
          basis: str):
    """Points between two whole charges; ``spins`` are 2S there."""
    sign = {1: "+", 0: "", -1: "-"}
    ends = [Job(name + sign[c], atoms, c, s, basis, restricted=False) for c, s in zip(charges, spins, strict=True)]
    (a0, b0), (a1, b1) = (((z - c + s) / 2, (z - c - s) / 2) for c, s in zip(charges, spins, strict=True))
    for f in FRACTIONS:
        electrons = ((1 - f) * a0 + f * a1, (1 - f) * b0 + f * b1)
        charge = charges[0] + f * (charges[1] - charges[0])
        middle = Job(f"{name} {charge:+.2f}", atoms, charges[0], spins[0], basis, electrons)
        build.add(f"{name} {charge:+.2f}", name, family, [(middle, 1.0), (ends[0], f - 1), (ends[1], -f)], 0.0,
                  unit="eV", quantity="scf_energy", x=charge)
