"""The last electron of an anion is bound: its level lies below zero, where semilocal potentials decay too fast."""

import numpy as np

from mlxc.host.physics.scf import kohn_sham, molecule, run, worst
from mlxc.xc.constraints import Constraint

#: Atoms (Å) and number of unpaired electrons; experimental bond lengths.
ANIONS = {"F-": ("F 0 0 0", 0), "Cl-": ("Cl 0 0 0", 0), "OH-": ("O 0 0 0; H 0 0 0.964", 0),
          "CN-": ("C 0 0 0; N 0 0 1.177", 0), "O2-": ("O 0 0 0; O 0 0 1.347", 1)}


def homo(functional, label: str) -> float:
    """Highest occupied level, Ha, in aug-cc-pVDZ; NaN where the SCF does not converge."""
    atoms, spin = ANIONS[label]
    mf = run(kohn_sham("UKS" if spin else "RKS", molecule(atoms, -1, spin), functional).set(conv_tol=1e-8))
    return float(mf.mo_energy[mf.mo_occ > 0].max()) if mf.converged else np.nan


def unbound_violation(functional) -> float:
    """How far above zero the highest of all levels lies, Ha."""
    return worst(np.maximum(0.0, homo(functional, label)) for label in ANIONS)


CONSTRAINTS = (
    Constraint("bound_anions", "F⁻, Cl⁻, OH⁻, CN⁻, O₂⁻:  HOMO < 0, Ha",
               "functional.Learned.lr_fraction and the training data", "doi:10.1103/PhysRevA.30.2745",
               unbound_violation, 0.0, hard=False),
)
