"""D4 energies of training species, which belong to the constant part of a total energy."""

from pyscf import gto
from pyscf.dispersion.dftd4 import DFTD4Dispersion

from training.data import Species


def d4_energy(species: Species, damping: dict[str, float]) -> float:
    """D4 energy in Ha; zero for one nucleus, and not part of a one-electron system's target.

    Args:
        species: integer charge, or one nucleus.
        damping: s6, s8, s9, a1, a2.
    """
    if len(species.atoms) == 1 or species.electrons <= 1:
        return 0.0
    mol = gto.M(atom=list(species.atoms), charge=round(species.charge), spin=None, basis="sto-3g", verbose=0)
    model = DFTD4Dispersion(mol, xc="pbe")
    model.set_param(**damping)
    return float(model.get_dispersion()["energy"])
