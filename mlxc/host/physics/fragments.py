"""Fragments far apart do not know of each other: their energies add up, but for their electrostatics."""

import numpy as np
from pyscf import gto
from scipy.linalg import block_diag

from mlxc.host.physics.scf import energy, kohn_sham, molecule
from mlxc.xc.constraints import Constraint

WATER, FLUORIDE = "O 0 0 0; H 0 0.757 0.587; H 0 -0.757 0.587", "F 0 0 50"

#: Enough for the ion; separated energies add up in any basis.
ION_BASIS = "6-31+g*"


def size_consistency_violation(functional, distance: float = 20.0) -> float:
    """|E(H…H) − 2E(H)| of two hydrogen atoms of opposite spin, unrestricted, Ha."""
    atom = kohn_sham("UKS", molecule("H 0 0 0", spin=1), functional)
    alone = energy(atom)
    density = atom.make_rdm1()[0]
    nothing = np.zeros_like(density)
    guess = np.array([block_diag(density, nothing), block_diag(nothing, density)])
    pair = kohn_sham("UKS", molecule(f"H 0 0 0; H 0 0 {distance}"), functional)
    return abs(energy(pair, guess) - 2 * alone)


def ion_and_molecule_violation(functional) -> float:
    """|E(H₂O…F⁻) − E(H₂O) − E(F⁻) − charge of F⁻ in the field of H₂O| at 50 Å, Ha.

    What remains is the polarisation of water by the charge, −α q² / 2R⁴ = −6e-8 Ha.
    """
    water, ion = (kohn_sham("RKS", molecule(atoms, charge, basis=ION_BASIS), functional)
                  for atoms, charge in ((WATER, 0), (FLUORIDE, -1)))
    separate = energy(water) + energy(ion)
    pair = kohn_sham("RKS", molecule(f"{WATER}; {FLUORIDE}", -1, basis=ION_BASIS), functional)
    together = energy(pair, block_diag(water.make_rdm1(), ion.make_rdm1()))
    return abs(together - separate + electrostatic_potential(water.mol, water.make_rdm1(), ion.mol.atom_coord(0)))


def electrostatic_potential(mol: gto.Mole, dm: np.ndarray, point: np.ndarray) -> float:
    """Potential of nuclei and electrons at a point, Ha per positive charge."""
    nuclei = (mol.atom_charges() / np.linalg.norm(mol.atom_coords() - point, axis=1)).sum()
    return float(nuclei - np.einsum("ij,ij", mol.intor("int1e_grids", grids=point[None])[0], dm))


CONSTRAINTS = (
    Constraint("size_consistency", "H…H, 20 Å, opposite spins:  E = 2E(H), Ha",
               "features.channel: each point by itself", "", size_consistency_violation, 1e-7),
    Constraint("ion_and_molecule", "H₂O…F⁻, 50 Å:  E = E(H₂O) + E(F⁻) + electrostatics, Ha",
               "features.channel: each point by itself", "", ion_and_molecule_violation, 1e-6),
)
