"""Does the spread of an ensemble's members tell the error? Rank correlation, coverage and a picture.

For a reaction, σ is the standard deviation over the members of Σ_k c_k E_k,m, the energies of `mf.xc_uncertainty()`, so
that what all members have in common cancels as it does in the error, times the scale on the model's card.
"""

import json
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from mlxc import zoo
from mlxc.bench import report
from mlxc.bench.sets import Reaction
from mlxc.errors import InvalidInput
from mlxc.units import KCAL


def deviations(out: Path, functional: str, reactions: list[Reaction]) -> dict[str, float]:
    """σ of every reaction whose species all have energies by member, kcal/mol."""
    found = {}
    scale = zoo.card(functional)["uncertainty"].get("scale", 1.0) if functional in zoo.names() else 1.0
    for reaction in reactions:
        paths = [out / functional / f"{key}.json" for key, _ in reaction.stoichiometry]
        members = [json.loads(path.read_text()).get("members") for path in paths if path.exists()]
        if len(members) == len(paths) and all(members):
            total = sum(c * np.array(e) for (_, c), e in zip(reaction.stoichiometry, members, strict=True))
            found[reaction.id] = float(KCAL * scale * np.std(total, ddof=1))
    return found


def table(out: Path, functionals: list[str], reactions: list[Reaction]) -> str:
    """Markdown: per functional the mean σ, Spearman's rank correlation of σ and |error|, and how often |error| < 2σ.

    Raises:
        InvalidInput: a functional without energies by member.
    """
    lines = ["| functional | n | mean σ | rank correlation | error below 2σ |", "|---|---|---|---|---|"]
    for name in functionals:
        sigma, error = _paired(out, name, reactions)
        lines.append(f"| {name} | {len(sigma)} | {sigma.mean():.2f} | {spearmanr(sigma, error).statistic:+.2f} "
                     f"| {100 * np.mean(error < 2 * sigma):.0f} % |")
    return "\n".join(lines)


def draw(out: Path, functional: str, reactions: list[Reaction], picture: Path):
    """|error| against σ, with the lines |error| = σ and 2σ."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    sigma, error = _paired(out, functional, reactions)
    figure, axes = plt.subplots(figsize=(4.4, 4), layout="constrained")
    ends = np.array([sigma.min() / 1.5, sigma.max() * 1.5])
    for factor, style in ((1, "-"), (2, "--")):
        axes.plot(ends, factor * ends, style, color="#999999", lw=1, label=f"error = {factor if factor > 1 else ''}σ")
    axes.loglog(sigma, error, "o", ms=4, color="#0072b2")
    axes.set(xlabel="σ, kcal/mol", ylabel=f"error of {functional}, kcal/mol")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(picture, dpi=200)
    plt.close(figure)


def _paired(out: Path, functional: str, reactions: list[Reaction]) -> tuple[np.ndarray, np.ndarray]:
    """σ and |error| of the reactions that have both, kcal/mol."""
    sigma, errors = deviations(out, functional, reactions), report.errors(out, functional, reactions)[0]
    if len(sigma) < 2:
        raise InvalidInput(f"{out} holds no energies by member of {functional}: it is no ensemble, or was run before "
                           "it became one; run the benchmark for it again")
    return np.array(list(sigma.values())), np.array([abs(errors[id_]) for id_ in sigma])
