"""The frozen settings under which every functional of one table is computed."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

#: How each functional's table entry is computed: PySCF's XC name, the name whose D4 parameters are
#: added after the SCF, and whether VV10 is added at the converged density.
FUNCTIONALS: dict[str, dict[str, Any]] = {
    "hf": {"xc": "hf"},
    "pbe": {"xc": "pbe", "d4": "pbe"},
    "r2scan": {"xc": "r2scan", "d4": "r2scan"},
    "b3lyp": {"xc": "b3lyp", "d4": "b3lyp"},
    "wb97m_v": {"xc": "wb97m_v", "vv10": True},
}


@dataclass(frozen=True)
class Protocol:
    """One frozen way of computing a species; two tables mix only if their hashes agree.

    Attributes:
        basis: orbital basis of a reaction whose species all have charge >= 0 and more than one electron.
        diffuse_basis: basis of every species of any other reaction.
        grid_level: PySCF's grid level of the SCF.
        nlc_grid_level: grid level of VV10, evaluated once at the converged density.
        conv_tol: SCF convergence of the energy in Ha.
        max_cycle: SCF cycles before a level shift is tried, and again with it.
        auxbasis: density-fitting basis of J and K; def2-universal-jkfit covers H–Rn, and is off by at most
            0.02 kcal/mol in the total energies of water, O₂, F⁻ and CN⁻, where cc-pVTZ-JKFIT is off by 0.7 for F⁻.
        guess: initial density: PySCF's minao, or the density of the run's first functional.
        stability: stability analysis of open shells.
    """

    basis: str = "def2-tzvpd"
    diffuse_basis: str = "aug-cc-pvtz"
    grid_level: int = 2
    nlc_grid_level: int = 1
    conv_tol: float = 1e-7
    max_cycle: int = 50
    auxbasis: str = "def2-universal-jkfit"
    guess: str = "minao for the first functional of a run, its density for the others"
    stability: bool = False

    @property
    def hash(self) -> str:
        """First 12 hexadecimal digits of the SHA-256 of all settings."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]


#: The settings of the published tables.
STANDARD = Protocol()
