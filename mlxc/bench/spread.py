"""Does the spread of an ensemble's members tell the error?

For a reaction, σ is the standard deviation over the members of Σ_k c_k E_k,m, the energies of `mf.xc_uncertainty()`, so
that what all members have in common cancels as it does in the error, times the scale on the model's card.
"""

import numpy as np
from scipy.stats import spearmanr

from mlxc.bench.entries import UNITS, Set
from mlxc.bench.metrics import Column


def deviations(s: Set, column: Column, scale: float) -> dict[str, float]:
    """σ of every energy whose species all have energies by member, in the entry's unit."""
    found = {}
    for entry in s.entries:
        members = [column.results.get(key, {}).get("members") for key, _ in entry.terms]
        if all(members) and entry.quantity in ("energy", "scf_energy"):
            total = sum(c * np.array(e) for (_, c), e in zip(entry.terms, members, strict=True))
            found[entry.id] = float(UNITS[entry.unit] * scale * np.std(total, ddof=1))
    return found


def quality(sigma: np.ndarray, error: np.ndarray) -> tuple[float, float]:
    """Spearman's rank correlation of σ and |error|, and the part of the errors below 2σ."""
    return float(spearmanr(sigma, error).statistic), float(np.mean(error < 2 * sigma))
