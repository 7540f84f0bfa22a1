"""The frozen settings under which every functional of one table is computed."""

import hashlib
import json
from dataclasses import asdict, dataclass, fields

from mlxc.solution import ATTEMPTS


@dataclass(frozen=True)
class Protocol:
    """One way of computing a species. Results of two protocols never stand in one table: their hashes differ.

    Attributes:
        geometries: where they come from.
        basis: orbital basis of a reaction whose species all have charge >= 0 and more than one electron.
        diffuse_basis: basis of every species of any other reaction, one for the whole reaction.
        auxbasis: density-fitting basis of J and K; def2-universal-jkfit covers H–Rn, and is off by at most
            0.02 kcal/mol in the total energies of water, O₂, F⁻ and CN⁻, where cc-pVTZ-JKFIT is off by 0.7 for F⁻.
        grid_level: PySCF's grid level of the SCF.
        nlc_grid_level: grid level of VV10, evaluated once at the converged density.
        conv_tol: SCF convergence of the energy, Ha.
        max_cycle: SCF cycles of each attempt.
        guess: initial density.
        attempts: SCF settings that are tried one after another until one converges, and the solver that follows
            (`mlxc.solution.converge`); what converges with none keeps its last energy and is counted as a failure.
        follow_ups: how often the SCF of an open shell starts again along a direction in which its energy goes down
            (internal stability, `mlxc.solution.stabilised`); 0 for no analysis.
        stability_grid_level: grid level of that analysis.
        dispersion: what is added after the SCF.
    """

    geometries: str = "of the set, not relaxed"
    basis: str = "def2-tzvpd"
    diffuse_basis: str = "aug-cc-pvtz"
    auxbasis: str = "def2-universal-jkfit"
    grid_level: int = 3
    nlc_grid_level: int = 1
    conv_tol: float = 1e-8
    max_cycle: int = 50
    guess: str = "minao"
    attempts: str = json.dumps([*ATTEMPTS, "second order"])
    follow_ups: int = 3
    stability_grid_level: int = 1
    dispersion: str = "D4 of a model's card; VV10; D4 of dftd4's functionals; D3(BJ) of rivals; none for hf"

    @property
    def hash(self) -> str:
        """First 12 hexadecimal digits of the SHA-256 of all settings."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]

    def __str__(self):
        width = max(len(f.name) for f in fields(self))
        lines = [f"{name:{width}s}  {value}" for name, value in ({"protocol": self.hash} | asdict(self)).items()]
        return "\n".join(lines)


#: The settings of the published tables.
STANDARD = Protocol()
