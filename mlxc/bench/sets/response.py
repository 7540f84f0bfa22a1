"""Dipole moments and static polarisabilities (doi:10.1021/acs.jctc.7b01252, doi:10.1039/c8cp03569e)."""

from pathlib import Path
from typing import Any

from mlxc.bench.entries import Builder, Set
from mlxc.bench.protocol import Protocol
from mlxc.bench.sets.levels import SMALL, tabulated


def dipoles(protocol: Protocol, data: Path, heavy_atoms: int | None = SMALL) -> Set:
    """|μ| against CCSD(T), D."""
    build = Builder()
    for e, job in tabulated(data / "dip152_public.json", protocol.diffuse_basis, heavy_atoms):
        build.add(_name(e), "dip152", "molecules" if job.spin == 0 else "radicals", [(job, 1.0)], e["reference"],
                  unit="D", quantity="dipole")
    return build.finished("dipoles" + ("" if heavy_atoms else "-all"), "Dipole moments against CCSD(T)")


def polarizabilities(protocol: Protocol, data: Path, heavy_atoms: int | None = SMALL) -> Set:
    """⅓ Tr α against CCSD(T), Å³."""
    build = Builder()
    for e, job in tabulated(data / "pol132_public.json", protocol.diffuse_basis, heavy_atoms, polarizability=True):
        build.add(_name(e), "pol132", "molecules" if job.spin == 0 else "radicals", [(job, 1.0)], e["reference"],
                  unit="Å³", quantity="polarizability")
    return build.finished("polarizabilities" + ("" if heavy_atoms else "-all"),
                          "Static polarisabilities against CCSD(T)")


def _name(entry: dict[str, Any]) -> str:
    """The molecule's, which says more than the entry's number."""
    return entry["species"].removeprefix("DiPol_")
