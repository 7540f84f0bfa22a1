"""One electron: E must be the lowest level of the Hamiltonian, and what is over is self-interaction.

Atoms, H₂⁺ along its curve, HeH²⁺ and H₃²⁺, and the 2p and 3d levels of hydrogen, which are ground states in bases of p
or d functions alone (without density fitting, whose basis is too tight for them). The error is taken in the same basis,
without dispersion (which is not zero for one electron). mlxc_rs is trained on H₂⁺ up to 3 Å.
"""

from mlxc.bench.entries import Builder, Set
from mlxc.bench.jobs import Job
from mlxc.bench.protocol import Protocol

#: Distances of H₂⁺, Å.
DISTANCES = (0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0, 10.0)

#: Even-tempered exponents of a p and a d basis, bohr⁻²: first, ratio, number.
EVEN_TEMPERED = (0.005, 2.5, 9)


def curves(protocol: Protocol) -> Set:
    """Errors of one-electron systems, kcal/mol; those of H₂⁺ against the distance."""
    build, diffuse = Builder(), protocol.diffuse_basis

    def add(name: str, subset: str, atoms: tuple, charge: int, basis: str = diffuse, density_fit: bool = True, **more):
        job = Job(name, atoms, charge, 1, basis, density_fit=density_fit)
        build.add(name, subset, "one electron", [(job, 1.0)], 0.0, quantity="one_electron_error", **more)

    origin = (0.0, 0.0, 0.0)
    add("H", "atoms", (("H", origin),), 0)
    add("He+", "atoms", (("He", origin),), 1)
    for letter, level in (("p", "2p"), ("d", "3d")):
        add(f"H {level}", "atoms", (("H", origin),), 0, _shell(letter), density_fit=False)
    for r in DISTANCES:
        add(f"H2+ {r:g}", "H2+", (("H", origin), ("H", (0.0, 0.0, r))), 1, x=r)
    add("HeH2+ 0.8", "molecules", (("He", origin), ("H", (0.0, 0.0, 0.8))), 2)
    triangle = (origin, (0.9, 0.0, 0.0), (0.45, 0.45 * 3**0.5, 0.0))
    add("H3 2+ 0.9", "molecules", tuple(("H", corner) for corner in triangle), 2)
    return build.finished("one-electron", "One-electron systems: what is not zero is self-interaction", "R, Å")


def _shell(letter: str) -> str:
    """A basis of functions of one angular momentum alone."""
    first, ratio, count = EVEN_TEMPERED
    rows = "\n".join(f"H {letter.upper()}\n {first * ratio**k:.8f} 1.0" for k in range(count))
    return f"name:{letter}-only\n{rows}"
