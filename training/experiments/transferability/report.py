"""The table and the figure of the experiment, with means and standard deviations over the seeds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill

import numpy as np

from mlxc.bench.figures import STYLES, subplots
from mlxc.bench.tables import Table
from training.experiments.transferability.arms import ARMS
from training.experiments.transferability.stored import unit

#: Panels of a figure in a row, at most.
COLUMNS = 4

Values = Mapping[str, Sequence[float]]  # by arm, one value per seed


def table(title: str, groups: Mapping[str, Values]) -> Table:
    """Rows are arms, columns groups; mean ± standard deviation over the seeds."""
    rows = []
    for arm in ARMS:
        cells = [_cell(values.get(arm.name, ())) for values in groups.values()]
        if any(cells):
            rows.append((f"{arm.name}: {arm.label}", *cells))
    return Table((title, *groups), tuple(rows))


def _cell(values: Sequence[float]) -> str:
    if not values:
        return ""
    spread = f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
    return f"{np.mean(values):.2f}{spread}"


def draw(groups: Mapping[str, Values], path: Path):
    """One panel per group, up to four in a row, one bar per arm: the mean, with every seed as a dot."""
    import matplotlib.pyplot as plt

    rows = -(-len(groups) // COLUMNS)
    columns = -(-len(groups) // rows)
    figure, axes = subplots(rows, columns, 2.1 * columns + 1.6, 2.9 * rows)
    for ax in axes.flat[len(groups):]:
        ax.set_visible(False)
    for ax, (group, values) in zip(axes.flat, groups.items(), strict=False):
        for number, arm in enumerate(ARMS):
            found = np.array(values.get(arm.name, ()))
            if not len(found):
                continue
            y = len(ARMS) - 1 - number
            ax.barh(y, found.mean(), color=STYLES[number][0], height=0.7)
            ax.plot(found, np.full(len(found), y), "o", color="black", markersize=3)
        ax.set_yticks(range(len(ARMS)), [f"{arm.name}: {arm.label}" for arm in reversed(ARMS)] if ax in axes[:, 0]
                      else [""] * len(ARMS), fontsize=8)
        ax.set_title(fill(group, 22), fontsize=9)
        ax.set_xlabel(f"mean absolute error, {unit(group)}", fontsize=8)
        ax.tick_params(axis="x", labelsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=160)
    plt.close(figure)
