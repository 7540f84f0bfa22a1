"""The plot of a fit: the loss and the mean absolute error of every group against the step."""

import io
from collections.abc import Sequence
from pathlib import Path

from mlxc import files

#: Okabe and Ito's colours, which the colour-blind can tell apart; beyond them, lines are dashed.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

#: Errors below this are drawn there, kcal/mol: one-electron systems are exact.
SMALLEST = 1e-3


def draw(steps: Sequence[dict], path: Path) -> None:
    """Writes the picture, replacing the last one as a whole.

    Args:
        steps: as dictionaries of `objective.Step`, in order.
        path: a .png file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    x = list(range(len(steps) + 1))
    left.plot(x, [steps[0]["before"], *(s["loss"] for s in steps)], color=COLOURS[0], marker=".", markersize=4)
    left.set(xlabel="step", ylabel="loss", yscale="log", title=f"loss {steps[-1]['loss']:.4g} after {len(steps)} steps")
    for i, group in enumerate(steps[-1]["errors"]):
        errors = [max(SMALLEST, s["errors"].get(group, SMALLEST)) for s in steps]
        right.plot(x[1:], errors, color=COLOURS[i % len(COLOURS)], linestyle="-" if i < len(COLOURS) else "--",
                   marker=".", markersize=4, label=f"{group} {steps[-1]['errors'][group]:.2f}")
    right.set(xlabel="step", ylabel="mean absolute error, kcal/mol", yscale="log", title="error per group")
    right.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    for axis in (left, right):
        axis.grid(alpha=0.3, which="major")
        axis.xaxis.get_major_locator().set_params(integer=True)
        if len({s["stage"] for s in steps}) > 1:
            change = next(i for i, s in enumerate(steps) if s["stage"] != steps[0]["stage"])
            axis.axvline(change, color="0.6", linestyle=":")
            axis.annotate(steps[change]["stage"], (change, 0.98), (3, 0), xycoords=("data", "axes fraction"),
                          textcoords="offset points", va="top", color="0.4")
    image = io.BytesIO()
    figure.savefig(image, dpi=110)
    files.write(path, image.getbuffer())
