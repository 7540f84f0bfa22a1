"""Pictures of a report: readable in print, in grey, and by the colour-blind (colour and marker both tell)."""

from collections.abc import Sequence
from itertools import cycle
from typing import Any

import numpy as np

from mlxc.bench import metrics
from mlxc.bench.command import DEFAULT
from mlxc.bench.entries import Entry, Set
from mlxc.bench.metrics import Column

#: Colours of Okabe and Ito with markers. The functionals that are compared when none are named have the first ones, in
#: every picture of every report; others have what is left.
STYLES = (("#d55e00", "o"), ("#0072b2", "P"), ("#009e73", "D"), ("#e69f00", "^"), ("#56b4e9", "v"), ("#999999", "s"),
          ("#cc79a7", "X"), ("#000000", "*"), ("#d55e00", "<"), ("#0072b2", ">"), ("#009e73", "h"), ("#e69f00", "p"))

#: Ticks of logarithmic axes; where there are too many, those that are powers of ten.
TICKS = [digit * 10.0**power for power in range(-6, 4) for digit in (1, 2, 5)]
MOST_TICKS = 12


def subplots(rows: int, columns: int, width: float, height: float):
    """Figure and array of axes, with the look of all pictures."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams["svg.fonttype"] = "none"
    figure, axes = plt.subplots(rows, columns, figsize=(width, height), layout="constrained", squeeze=False)
    for ax in axes.flat:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(color="#e4e4e4", linewidth=0.6)
        ax.set_axisbelow(True)
    return figure, axes


def styles(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Colour and marker of each functional, and its layer: the smaller marks, which come first, are in front."""
    own = {name: pair for name, pair in zip(DEFAULT.split(","), STYLES, strict=False) if name in names}
    left = cycle([pair for pair in STYLES if pair not in own.values()] or STYLES)
    chosen = {name: own.get(name) or next(left) for name in names}
    return {name: {"color": color, "marker": marker, "zorder": 3 - 0.01 * STYLES.index((color, marker))}
            for name, (color, marker) in chosen.items()}


def subsets(entries: Sequence[Entry], columns: Sequence[Column]):
    """Mean absolute error: one row per subset, one mark per functional, widest error at the top."""
    groups = metrics.groups(entries, "subset")
    mean = {c.method: {name: metrics.mean_absolute(c.errors, part) for name, part in groups.items()} for c in columns}
    names = sorted(groups, key=lambda name: max(mean[c.method][name] for c in columns))
    figure, axes = subplots(1, 1, 7.5, 0.32 * len(names) + 1.4)
    ax, looks = axes[0, 0], styles([c.method for c in columns])
    for c in columns:
        ax.plot([mean[c.method][name] for name in names], range(len(names)), label=c.method, markersize=7.5,
                markeredgecolor="black", markeredgewidth=0.5, linestyle="none", **looks[c.method])
    ax.set_yticks(range(len(names)), [f"{name} ({len(groups[name])})" for name in names])
    ax.set_ylim(-0.6, len(names) - 0.4)
    ax.set_xscale("log")
    low, high = ax.get_xlim()
    ticks = [t for t in TICKS if low <= t <= high]
    if len(ticks) > MOST_TICKS:
        ticks = [t for t in ticks if t in TICKS[::3]]
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.minorticks_off()
    ax.set_xlabel(f"mean absolute error, {entries[0].unit} (number of entries in brackets)")
    figure.legend(loc="outside upper center", ncols=min(len(columns), 4), frameon=False, handletextpad=0.2)
    return figure


def distribution(entries: Sequence[Entry], columns: Sequence[Column]):
    """Signed errors of every functional: all of them as dots, the middle half as a bar, the median as a line."""
    figure, axes = subplots(1, 1, 7.5, 0.5 * len(columns) + 1.2)
    ax, generator = axes[0, 0], np.random.default_rng(0)
    # one functional that is far off, such as Hartree–Fock, would leave the others no room
    large, middle = np.percentile([[abs(c.errors[e.id]) for e in entries] for c in columns], (97, 50), axis=1)
    limit = 1.2 * max(np.median(large), *sorted(middle)[:-1], 4.0 if entries[0].unit == "kcal/mol" else 0.0)
    looks = styles([c.method for c in columns])
    for number, c in enumerate(columns):
        errors = np.array([c.errors[e.id] for e in entries])
        y = len(columns) - 1 - number
        low, middle, high = np.percentile(errors, [25, 50, 75])
        inside = np.abs(errors) <= limit
        jitter = y + generator.uniform(-0.28, 0.28, len(errors))
        ax.barh(y, high - low, left=low, height=0.72, color=looks[c.method]["color"], alpha=0.25)
        ax.plot(errors[inside], jitter[inside], linestyle="none", markersize=3.5, alpha=0.8, **looks[c.method])
        ax.plot([middle, middle], [y - 0.36, y + 0.36], color="black", linewidth=1.5)
        for sign, place in ((-1, "left"), (1, "right")):
            if beyond := int(np.sum(sign * errors > limit)):
                ax.text(sign * limit, y + 0.3, f"{beyond} beyond", ha=place, va="bottom", fontsize=7.5)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_xlim(-limit * 1.02, limit * 1.02)
    ax.set_ylim(-0.6, len(columns) - 0.2)
    ax.set_yticks(range(len(columns)), [c.method for c in reversed(columns)])
    ax.set_xlabel(f"error, {entries[0].unit}: dots all entries, bar the middle half, line the median")
    return figure


def curves(s: Set, columns: Sequence[Column]):
    """Errors against the entries' x: one panel per subset."""
    found = metrics.groups([e for e in s.entries if e.x is not None], "subset").items()
    groups = {name: part for name, part in sorted(found, key=lambda item: (item[1][0].family, item[0]))
              if any(e.id in c.errors for e in part for c in columns)}
    across = min(3, len(groups))
    down = -(-len(groups) // across)
    figure, axes = subplots(down, across, max(5.5, 3.1 * across + 0.4), 2.4 * down + 0.9)
    looks = styles([c.method for c in columns])
    for ax, (name, part) in zip(axes.flat, groups.items(), strict=False):
        ordered = sorted(part, key=lambda e: e.x or 0.0)
        for c in columns:
            points = [(e.x or 0.0, c.errors[e.id]) for e in ordered if e.id in c.errors]
            # the ends of a line between whole charges have no error by definition
            if points and ordered[0].unit == "eV":
                points = sorted([*points, *((x, 0.0) for x in _whole(points))])
            ax.plot([x for x, _ in points], [y for _, y in points], markersize=4, linewidth=1.2, label=c.method,
                    **looks[c.method])
        ax.axhline(0, color="black", linewidth=0.8)
        ax.set_title(f"{name} ({ordered[0].family})" if len({e.family for e in s.entries}) > 1 else name, fontsize=9)
        ax.set_xlabel(s.axis, fontsize=8.5)
        ax.set_ylabel(f"error, {ordered[0].unit}", fontsize=8.5)
        ax.tick_params(labelsize=8)
    for ax in list(axes.flat)[len(groups):]:
        ax.set_visible(False)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(len(columns), 4), frameon=False)
    return figure


def _whole(points: Sequence[tuple[float, float]]) -> list[float]:
    """The whole numbers around the points."""
    values = [x for x, _ in points]
    return [float(x) for x in range(int(np.floor(min(values))), int(np.ceil(max(values))) + 1)]


def spread(sigma: np.ndarray, error: np.ndarray, unit: str, name: str):
    """|error| against σ, both in ``unit``, with the lines |error| = σ and 2σ."""
    from matplotlib.ticker import LogLocator, NullFormatter

    figure, axes = subplots(1, 1, 4.4, 4)
    ax = axes[0, 0]
    ends = np.array([sigma.min() / 1.5, sigma.max() * 1.5])
    for factor, line in ((1, "-"), (2, "--")):
        ax.plot(ends, factor * ends, line, color="#999999", lw=1, label=f"error = {factor if factor > 1 else ''}σ")
    ax.loglog(sigma, error, "o", ms=4, color=styles([name])[name]["color"])
    for axis in (ax.xaxis, ax.yaxis):
        few_decades = axis is ax.xaxis and ends[1] < 100 * ends[0]
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if few_decades else (1,)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())
    ax.set(xlabel=f"σ, {unit}", ylabel=f"error of {name}, {unit}")
    ax.legend(frameon=False)
    return figure
