"""A picture of a run: the mean absolute error of every subset and functional."""

from collections import defaultdict
from pathlib import Path

import numpy as np

from mlxc.bench.report import errors
from mlxc.bench.sets import Reaction

#: Colour-blind safe colours (Okabe and Ito) and markers that print in grey.
STYLES = (("#999999", "s"), ("#56B4E9", "v"), ("#E69F00", "^"), ("#009E73", "D"), ("#D55E00", "o"), ("#0072B2", "P"))


def subset_errors(out: Path, functionals: list[str], reactions: list[Reaction], path: Path):
    """Draws one row per subset, one mark per functional, on a logarithmic axis; widest error at the top.

    Args:
        out: folder of the run.
        functionals: marks, at most as many as STYLES.
        reactions: of the set; those that every functional has are drawn.
        path: of the picture.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    found = {f: errors(out, f, reactions)[0] for f in functionals}
    groups: dict[str, list[str]] = defaultdict(list)
    for reaction in reactions:
        if all(reaction.id in e for e in found.values()):
            groups[reaction.subset].append(reaction.id)
    mean = {f: {name: np.mean([abs(e[i]) for i in ids]) for name, ids in groups.items()} for f, e in found.items()}
    names = sorted(groups, key=lambda name: max(mean[f][name] for f in functionals))
    fig, ax = plt.subplots(figsize=(7, 0.32 * len(names) + 1.3), layout="constrained")
    for functional, (color, marker) in zip(functionals, STYLES, strict=False):
        ax.plot([mean[functional][name] for name in names], range(len(names)), marker, color=color, label=functional,
                markersize=7, markeredgecolor="black", markeredgewidth=0.5, linestyle="none")
    ax.set_yticks(range(len(names)), [f"{name} ({len(groups[name])})" for name in names])
    ax.set_xscale("log")
    limits = ax.get_xlim()
    ax.set_xticks([0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20], ["0.05", "0.1", "0.2", "0.5", "1", "2", "5", "10", "20"])
    ax.set_xlim(limits)
    ax.minorticks_off()
    ax.grid(color="#dddddd", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.set_xlabel("mean absolute error, kcal/mol (number of reactions in brackets)")
    fig.legend(loc="outside upper center", ncols=len(functionals), frameon=False, handletextpad=0.2)
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, dpi=160)
    plt.close(fig)
