"""Highest occupied levels: −ε_HOMO is the vertical ionisation energy (doi:10.1103/PhysRevLett.49.1691)."""

from pathlib import Path
from typing import Any

from pyscf.data.elements import charge as nuclear_charge

from mlxc.bench.entries import Builder, Set
from mlxc.bench.jobs import Job
from mlxc.bench.protocol import Protocol
from mlxc.bench.sets.reactions import read
from mlxc.manifest.species import atoms_of

#: Bound anions: bond lengths (Å; angle in degrees for three atoms) and adiabatic electron affinities of what is left,
#: eV, NIST Chemistry WebBook and C. Blondel et al. as collected by T. Andersen, doi:10.1063/1.556047.
ANIONS = {"F-": (("F",), 3.401), "Cl-": (("Cl",), 3.613), "OH-": (("O", "H", 0.964), 1.828),
          "SH-": (("S", "H", 1.343), 2.317), "CN-": (("C", "N", 1.177), 3.862), "H-": (("H",), 0.754)}

#: Heavy atoms of a molecule of the small lists, at most; and the last element, Kr: no pseudopotentials are used.
SMALL, LAST = 4, 36


def anions(protocol: Protocol) -> Set:
    """−ε_HOMO of anions that are bound, eV: positive where the functional binds the electron too."""
    build = Builder()
    for name, ((first, *rest), affinity) in ANIONS.items():
        atoms: tuple = ((first, (0.0, 0.0, 0.0)),)
        if rest:
            atoms += ((rest[0], (0.0, 0.0, rest[1])),)
        job = Job(name, atoms, -1, 0, protocol.diffuse_basis)
        build.add(name, "anions", "anions", [(job, 1.0)], affinity, unit="eV", quantity="minus_homo")
    return build.finished("anions", "Highest occupied levels of anions: bound where −ε is positive")


def ionisation(protocol: Protocol, data: Path, heavy_atoms: int | None = SMALL) -> Set:
    """−ε_HOMO against vertical ionisation energies of GW100 (CCSD(T)) and the CCCBDB (experiment), eV."""
    build = Builder()
    for name in ("GW100", "CCCBDB_IP"):
        for e, job in tabulated(data / f"{name}_public.json", protocol.basis, heavy_atoms):
            build.add(e["id"], name, "molecules" if job.spin == 0 else "radicals", [(job, 1.0)], e["reference"],
                      unit="eV", quantity="minus_homo")
    return build.finished("ionisation" + ("" if heavy_atoms else "-all"),
                          "Highest occupied levels against vertical ionisation energies of GW100 and the CCCBDB")


def tabulated(path: Path, basis: str, heavy_atoms: int | None, **more) -> list[tuple[dict[str, Any], Job]]:
    """The entries of a reference file with their jobs, those of larger molecules and of elements beyond Kr left out."""
    content, found = read(path), []
    for e in content["entries"]:
        s = content["species"][e["species"]]
        atoms = atoms_of(s)
        job = Job(e["species"], atoms, s["charge"], s["spin"], basis, **more)
        small = heavy_atoms is None or sum(a[0] != "H" for a in atoms) <= heavy_atoms
        if small and max(nuclear_charge(a[0]) for a in atoms) <= LAST:
            found.append((e, job))
    return found
