"""D4 energies of training species: part of the constant of a total energy, and a function of the damping to fit."""

from collections.abc import Iterable

from pyscf import gto
from pyscf.dispersion.dftd4 import DFTD4Dispersion

from mlxc.manifest.species import Species

#: Damping parameters with which there is no dispersion.
NO_DISPERSION = {"s6": 0.0, "s8": 0.0, "s9": 0.0, "a1": 0.4, "a2": 5.0}


class D4:
    """D4 energies of species whose coefficients are computed once, so that other damping costs about 0.1 ms each."""

    def __init__(self, species: Iterable[Species]):
        self._models = {s.key: _models(s) for s in species}

    def energies(self, damping: dict[str, float]) -> dict[str, float]:
        """Energy of every species, Ha; zero for one nucleus, and not part of a one-electron system's target.

        D4 has whole charges: a fractional one lies on the straight line between them.

        Args:
            damping: s6, s8, s9, a1, a2 (bohr).
        """
        return {key: sum(part * _evaluate(model, damping) for model, part in models)
                for key, models in self._models.items()}


def _models(species: Species) -> list[tuple[DFTD4Dispersion, float]]:
    """D4 at the whole charges around the species', and the part of each."""
    if len(species.atoms) == 1 or species.electrons <= 1:
        return []
    whole, part = divmod(round(species.charge, 9), 1)
    parts = {int(whole): 1 - part, int(whole) + 1: part}
    return [(_model(species, charge), part) for charge, part in parts.items() if part]


def _model(species: Species, charge: int) -> DFTD4Dispersion:
    mol = gto.M(atom=list(species.atoms), charge=charge, spin=None, basis="sto-3g", verbose=0)
    return DFTD4Dispersion(mol, xc="pbe")  # any name: its parameters are replaced


def _evaluate(model: DFTD4Dispersion, damping: dict[str, float]) -> float:
    model.set_param(**damping)
    return float(model.get_dispersion()["energy"])
