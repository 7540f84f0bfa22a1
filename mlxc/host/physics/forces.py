"""Forces are the derivative of the energy: the potential belongs to the energy, and nothing moves unnoticed."""

import numpy as np

from mlxc.host.physics.scf import energy, kohn_sham, molecule, run, worst
from mlxc.xc.constraints import Constraint

#: Method, atoms (Å) and number of unpaired electrons; away from their minima and without symmetry.
MOLECULES = {"H2O": ("RKS", "O 0 0 0; H 0 0.757 0.587; H 0 -0.7 0.6", 0), "HHe": ("UKS", "H 0 0 0; He 0 0.2 0.8", 1)}

BASIS = "6-31g"

#: Step of the five-point differences, bohr; their error is of order h⁴.
STEP = 5e-3


def force_error(functional, label: str, grid_response: bool = True) -> float:
    """Analytic minus numerical slope of the energy along one random direction of all nuclei, Ha/bohr.

    Args:
        functional: any.
        label: one of MOLECULES.
        grid_response: whether the analytic force knows that the grid moves with the nuclei.
    """
    method, atoms, spin = MOLECULES[label]
    mol = molecule(atoms, spin=spin, basis=BASIS)
    direction = np.random.default_rng(0).normal(size=(mol.natm, 3))
    direction /= np.linalg.norm(direction)
    mf = run(kohn_sham(method, mol, functional, level=0))
    gradients = mf.nuc_grad_method()
    gradients.grid_response, gradients.verbose = grid_response, 0
    slope = (gradients.kernel() * direction).sum()

    def at(step: float) -> float:
        moved = mol.set_geom_(mol.atom_coords() + step * direction, unit="Bohr", inplace=False)
        return energy(kohn_sham(method, moved, functional, level=0), mf.make_rdm1())

    numerical = (8 * (at(STEP) - at(-STEP)) - (at(2 * STEP) - at(-2 * STEP))) / (12 * STEP)
    return float(slope - numerical)


def force_violation(functional, labels=tuple(MOLECULES)) -> float:
    """Largest error, Ha/bohr."""
    return worst(force_error(functional, label) for label in labels)


CONSTRAINTS = (
    Constraint("forces", "H₂O, HHe, SCF:  forces = −dE/dR, Ha/bohr",
               "derivatives.xc_rows and pointwise.value_and_gradient", "doi:10.1080/00268976900100941",
               force_violation, 1e-6),
)
