"""The figure of the potentials' tails, docs/figures/tail.png.

    python benchmarks/tail.py [mlxc_rs ...]

r · (F_xc φ_H)/φ_H of `mlxc.host.physics.tail` from 4 to 24 bohr for the models named, mlxc_lh and mlxc_rs
by default, beside Hartree–Fock and PBE; the extrapolated values are printed. PBE does not bind the last electron of F⁻:
there it is the basis that does.
"""

import argparse
from pathlib import Path

import numpy as np

from mlxc import zoo
from mlxc.host.physics.tail import SYSTEMS, TAIL, extrapolated, tail
from mlxc.xc.reference import reference

FIGURE = Path(__file__).parent.parent / "docs" / "figures" / "tail.png"

DISTANCES = np.arange(4.0, 24.1, 0.5)

TITLES = {"Ne": "Ne", "F-": "F⁻", "H2O": "H₂O, normal to the plane"}

#: Colour (Okabe and Ito), marker and line of each curve, which print in grey.
STYLES = (("#000000", None, "-"), ("#999999", "s", ":"), ("#D55E00", "o", "--"), ("#0072B2", "P", "-."),
          ("#009E73", "D", "-"))


class HartreeFock:
    """Exact exchange and nothing else."""

    name, xc_type, omega, sr_fraction, lr_fraction = "exact_exchange", "MGGA", 0.0, 1.0, 1.0

    def edens(self, density):
        return 0 * density.n


def semilocal():
    """PBE through the same code."""
    functional = reference("pbe")
    functional.name = "tail_of_pbe"
    return functional


def draw(curves: dict[str, dict[str, np.ndarray]], path: Path):
    """Above all of r·v, below what lies near −1.

    Args:
        curves: values at DISTANCES by system and label.
        path: of the picture.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(2, len(curves), figsize=(7.2, 4.6), sharex=True, sharey="row", layout="constrained",
                             height_ratios=(1.0, 1.2))
    for column, (system, found) in zip(axes.T, curves.items(), strict=True):
        for ax in column:
            ax.axhline(-1, color="black", linewidth=0.6)
            for (label, values), (color, marker, line) in zip(found.items(), STYLES[:len(found)], strict=True):
                ax.plot(DISTANCES, values, line, color=color, marker=marker, markevery=4, markersize=4.5, label=label,
                        linewidth=1.5)
            ax.grid(color="#dddddd", linewidth=0.6)
            ax.set_axisbelow(True)
        column[0].set_title(TITLES[system], fontsize=10)
        column[0].set_ylim(-1.15, 0.05)
        column[1].set_ylim(-1.13, -0.97)
        column[1].set_xlabel("r, bohr")
        column[1].set_xlim(DISTANCES[0], DISTANCES[-1])
        column[1].set_xticks([4, 8, 12, 16, 20, 24])
    for ax in axes[:, 0]:
        ax.set_ylabel(r"$r\,v_\mathrm{xc}(r)$, bohr Ha")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, dpi=160)
    plt.close(fig)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=("mlxc_lh", "mlxc_rs"))
    parser.add_argument("--out", type=Path, default=FIGURE)
    arguments = parser.parse_args()
    functionals = {"Hartree–Fock": HartreeFock(), "PBE": semilocal()} | {m: zoo.load(m) for m in arguments.models}
    curves: dict[str, dict[str, np.ndarray]] = {}
    for name, system in SYSTEMS.items():
        curves[name] = {}
        for label, functional in functionals.items():
            values = tail(functional, system, np.concatenate((DISTANCES, TAIL)))
            curves[name][label] = values[:len(DISTANCES)]
            print(f"{name:4s} {label:16s} {extrapolated(TAIL, values[len(DISTANCES):]):8.4f}")
    draw(curves, arguments.out)


if __name__ == "__main__":
    main()
