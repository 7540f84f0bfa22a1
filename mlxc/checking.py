"""The constraints of a model, measured; what `mlxc check` prints."""

import math
from typing import Any

from pyscf import gto

import mlxc
from mlxc.errors import MlxcError
from mlxc.host import physics, seam
from mlxc.xc import constraints
from mlxc.zoo import Model

Row = dict[str, Any]

#: Near the equilibrium of H₂⁺ (2.0 bohr), Å; an example, no reference value.
H2_PLUS_DISTANCE = 1.058


def check_model(functional: Model) -> list[Row]:
    """The measured rows, and one that fails for every claim that nothing measures.

    Returns:
        Rows of `id`, `law`, `hard`, `claimed`, `violation` (None without a measure or a converged calculation),
        `tolerance`, `ok`.
    """
    table = constraints.CONSTRAINTS + physics.CONSTRAINTS
    rows = [_row(measured) for measured in constraints.measure(functional, table)]
    found = {row["id"] for row in rows}
    return rows + [{"id": claim, "law": "", "hard": True, "claimed": True, "violation": None, "tolerance": None,
                    "ok": False} for claim in functional.card["claims"] if claim not in found]


def _row(measured: constraints.Measured) -> Row:
    violation = measured.violation if math.isfinite(measured.violation) else None
    return {"id": measured.id, "law": measured.constraint.law, "hard": measured.constraint.hard,
            "claimed": measured.claimed, "violation": violation, "tolerance": measured.tolerance, "ok": measured.ok}


def rows_as_text(rows: list[Row]) -> str:
    """A table: what is claimed, how large the violation is and may be."""
    lines = [f"{'constraint':26s} {'kind':5s} {'claimed':8s} {'violation':>12s} {'tolerance':>12s}"]
    width = max(len(_verdict(row)) for row in rows)
    for row in rows:
        violation, tolerance = (f"{row[key]:12.1e}" if row[key] is not None else "not measured"
                                for key in ("violation", "tolerance"))
        kind, claimed = "hard" if row["hard"] else "soft", "yes" if row["claimed"] else "no"
        lines.append(f"{row['id']:26s} {kind:5s} {claimed:8s} {violation} {tolerance}  "
                     f"{_verdict(row):{width}s}  {row['law']}".rstrip())
    return "\n".join(lines)


def _verdict(row: Row) -> str:
    if row["ok"]:
        return "holds"
    return "VIOLATED" if row["claimed"] else "does not hold, not claimed"


def dispersion_line(functional: Model) -> str:
    """D4's energy for one electron, where every exact functional has none: outside the claims, which are E_xc's."""
    distance = H2_PLUS_DISTANCE
    mol = gto.M(atom=f"H 0 0 0; H 0 0 {distance}", charge=1, spin=1, basis="sto-3g", verbose=0)
    try:
        energy = mlxc.dispersion_energy(mol, seam.register(functional))
    except MlxcError as error:
        return f"D4 dispersion, outside these claims: {error}"
    return f"D4 dispersion, outside these claims: {energy:.1e} Ha for H2+ at {distance} Å"
