"""Energy conservation: NVE dynamics of a small molecule with a functional, through the ASE calculator.

    python benchmarks/dynamics.py mlxc_rs water hydroxyl --figure docs/figures/dynamics.png

Velocity Verlet from rest at stretched geometries, the same for every functional. Forces that are the derivative of the
energy keep the total energy: what is left is the integrator's oscillation, which is of the second order in the time
step, and no drift.
"""

import argparse
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.md.verlet import VelocityVerlet

from mlxc.ase import MLXC
from mlxc.errors import DomainWarning

#: Å; bonds stretched by about 0.06 and 0.02 Å, and the angle of water opened by 5°.
MOLECULES = {
    "water": Atoms("OH2", [(0, 0, 0), (0, 0.845, 0.585), (0, -0.810, 0.560)]),
    "hydroxyl": Atoms("OH", [(0, 0, 0), (0, 0, 1.035)]),
}


@dataclass(frozen=True)
class Trajectory:
    """Energies along a run.

    Attributes:
        times: (n,) fs.
        total, potential: (n,) eV.
        cycles: (n,) SCF cycles.
        seconds: of the whole run.
    """

    times: np.ndarray
    total: np.ndarray
    potential: np.ndarray
    cycles: np.ndarray
    seconds: float

    @property
    def deviation(self) -> float:
        """Largest |E(t) − E(0)| of the total energy, eV."""
        return float(np.abs(self.total - self.total[0]).max())

    @property
    def drift(self) -> float:
        """Slope of the straight line through the total energy, eV/ps."""
        return float(np.polyfit(self.times / 1000, self.total - self.total[0], 1)[0])

    @property
    def swing(self) -> float:
        """How much energy goes back and forth between motion and potential, eV."""
        return float(np.ptp(self.potential))


def run(molecule: str, steps: int, step_fs: float, **parameters) -> Trajectory:
    """NVE dynamics.

    Args:
        molecule: a key of MOLECULES.
        steps: number of time steps.
        step_fs: their length, fs.
        parameters: of the calculator.
    """
    atoms = MOLECULES[molecule].copy()
    atoms.calc = MLXC(**parameters)
    found: list[tuple[float, float, float, int]] = []
    dynamics = VelocityVerlet(atoms, timestep=step_fs * units.fs)
    dynamics.attach(lambda: found.append((dynamics.get_time() / units.fs, atoms.get_total_energy(),
                                          atoms.get_potential_energy(), atoms.calc.mf.cycles)))
    start = time.perf_counter()
    dynamics.run(steps)
    return Trajectory(*np.array(found).T, time.perf_counter() - start)


def draw(runs: dict[str, Trajectory], title: str, path: Path):
    """Total energy against time, one line per molecule."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.2), layout="constrained")
    for label, trajectory in runs.items():
        axes.plot(trajectory.times, 1000 * (trajectory.total - trajectory.total[0]), label=label, linewidth=1)
    axes.set(xlabel="time / fs", ylabel="E(t) − E(0) / meV", title=title)
    figure.legend(loc="outside lower center", ncols=len(runs), frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def main():
    """Runs the molecules one after another and prints a row for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("xc", help="functional")
    parser.add_argument("molecules", nargs="+", choices=list(MOLECULES))
    parser.add_argument("--basis", default="6-31g*")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--step", type=float, default=0.5, metavar="FS", help="time step, fs")
    parser.add_argument("--grid", type=int, help="PySCF's grid level; the card's by default")
    parser.add_argument("--no-grid-response", action="store_true", help="forces without the motion of the grid")
    parser.add_argument("--no-disp", action="store_true", help="without D4")
    parser.add_argument("--figure", type=Path, help="picture of the total energy against time")
    args = parser.parse_args()
    warnings.simplefilter("ignore", DomainWarning)
    print("| functional | molecule | grid response | largest deviation, meV | drift, meV/ps "
          "| swing of the potential, meV | SCF cycles | s per step |\n|---|---|---|---|---|---|---|---|")
    runs = {}
    for molecule in args.molecules:
        t = runs[molecule] = run(molecule, args.steps, args.step, xc=args.xc, basis=args.basis, grid=args.grid,
                                 grid_response=not args.no_grid_response, disp=not args.no_disp)
        print(f"| {args.xc} | {molecule} | {'no' if args.no_grid_response else 'yes'} | {1000 * t.deviation:.3f} "
              f"| {1000 * t.drift:+.3f} | {1000 * t.swing:.0f} | {t.cycles[1:].mean():.1f} "
              f"| {t.seconds / args.steps:.2f} |", flush=True)
    if args.figure:
        draw(runs, f"{args.xc}, {args.basis}, {args.step:g} fs", args.figure)


if __name__ == "__main__":
    main()
