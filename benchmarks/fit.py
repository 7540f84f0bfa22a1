"""Speed and memory of training: `python benchmarks/fit.py`, with the threads that OMP_NUM_THREADS gives.

The peak memory of a process that computes the slopes of more and more species, all in memory and all read from disk.
Then grid points per second through the energies of species (forward) and through their slopes in the parameters
(forward and backward), and the matrix products of both as a fraction of what the machine does in one large product.
Open shells with random densities; seconds are those of the processor, divided by the number of threads. With
`--device cuda` the points per second of a GPU, by the clock, and their ratio to the processor's.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from mlxc.errors import MlxcError
from mlxc.manifest.species import Species
from mlxc.xc import violations
from mlxc.xc.functional import Learned
from mlxc.zoo.store import KINDS
from training import features, fit
from training.device import CPU, HERE, Place, add_option, chosen
from training.dispersion import NO_DISPERSION

#: Kind, width and depth: those that ship, and one that is large.
NETWORKS = (("rs", 8, 2), ("lh", 3, 1), ("lh", 64, 3))

#: Points of a species, about those of an atom on level 2.
POINTS = 12_000


def functional(kind: str, width: int, depth: int) -> Learned:
    """An untrained functional."""
    exchange = {"rs": {"omega": 0.3, "sr_fraction": 0.2}, "lh": {"local_omega": 0.5, "b_max": 2.0}}[kind]
    torch.manual_seed(0)
    return KINDS[kind](exchange, {"width": width, "depth": depth}, "benchmark")


def made_up(count: int, folder: Path) -> list[Species]:
    """Species with random densities, and their records."""
    d = violations.sampled_density(POINTS)
    variables = np.vstack([x.numpy() for x in (d.rho, d.sigma, d.tau)])
    ex_sr = {omega: violations.any_exact_exchange(d).numpy() for omega in features.OMEGAS}
    record = features.Record(np.full(POINTS, 1e-6), variables, -1.0, -0.5, dict.fromkeys(features.OMEGAS, -0.2), ex_sr,
                             True, 0.0, -1.0)
    species = [Species(f"made up {i}", (("Li", (0.0, 0.0, 0.0)),), 2.0, 1.0, "none") for i in range(count)]
    for s in species:
        if not features.record_path(folder, s, features.STANDARD).exists():
            features.save(folder, s, features.STANDARD, record)
    return species


def seconds(work: Callable[[], object], device: torch.device = CPU, least: float = 2.0) -> float:
    """Seconds of one call, of as many as take some time: the processor's per thread, or with a GPU those that pass."""
    clock, threads = (time.process_time, torch.get_num_threads()) if device == CPU else (time.perf_counter, 1)
    work()
    begun, calls = clock(), 0
    while clock() - begun < least:
        work()
        calls += 1
    return (clock() - begun) / calls / threads


def product_rate(n: int = 1500) -> float:
    """Floating-point operations per second of a large matrix product."""
    a = torch.rand(n, n, dtype=torch.float64)
    return 2 * n**3 / seconds(lambda: a @ a)


def speed(folder: Path) -> None:
    """The table of points per second."""
    rate, species = product_rate(), made_up(10, folder)
    print(f"\na large matrix product: {rate / 1e9:.1f} GFLOP/s, {torch.get_num_threads()} threads\n")
    print("| functional | parameters | forward, points/s | of the product | forward and backward, points/s "
          "| of the product | read from disk, points/s |")
    print("|---|---|---|---|---|---|---|")
    for kind, width, depth in NETWORKS:
        f = functional(kind, width, depth)
        kept, streamed = (fit.prepare(f, species, folder, NO_DISPERSION, memory=memory) for memory in (4e9, 0))
        cells = []
        for work in (lambda f=f, e=kept: fit.energies(f, e), lambda f=f, e=kept: fit.slopes(f, e)):
            with FlopCounterMode(display=False) as counted:
                work()
            spent = seconds(work)
            part = counted.get_total_flops() / spent / rate
            cells.append(f"{len(species) * POINTS / spent:.2e} | {100 * part:.0f} %")
        spent = seconds(lambda f=f, e=streamed: fit.slopes(f, e))
        size = sum(p.numel() for p in f.parameters())
        print(f"| {kind} {width}×{depth} | {size} | {' | '.join(cells)} | {len(species) * POINTS / spent:.2e} |",
              flush=True)


def compare(folder: Path, device: torch.device) -> None:
    """The table of a GPU's points per second, with their ratio to those of the processor."""
    species, name = made_up(10, folder), torch.cuda.get_device_name(device)
    print(f"\n{name}, points/s, and their ratio to {torch.get_num_threads()} threads of the processor\n")
    print("| functional | precision | forward | ratio | forward and backward | ratio | read from disk | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for kind, width, depth in NETWORKS:
        f = functional(kind, width, depth)
        here = rates(f, species, folder, HERE)
        for precision in (torch.float64, torch.float32):
            there = rates(f, species, folder, Place(device, precision))
            cells = [f"{a:.2e} | {a / b:.1f}" for a, b in zip(there, here, strict=True)]
            label = "double" if precision == torch.float64 else "mixed"
            print(f"| {kind} {width}×{depth} | {label} | {' | '.join(cells)} |", flush=True)


def rates(f: Learned, species: list[Species], folder: Path, place: Place) -> list[float]:
    """Points per second through energies and slopes of what is kept at a place, and through slopes read from disk."""
    kept, streamed = (fit.prepare(f, species, folder, NO_DISPERSION, memory=memory, place=place) for memory in (4e9, 0))
    works = (lambda: fit.energies(f, kept), lambda: fit.slopes(f, kept), lambda: fit.slopes(f, streamed))
    return [len(species) * POINTS / seconds(work, place.device) for work in works]


def peak(count: int, folder: str, memory: float) -> None:
    """Prints the peak memory, in MB, of a process that computes the slopes of species."""
    f = functional("lh", 3, 1)
    species = made_up(count, Path(folder))
    fit.slopes(f, fit.prepare(f, species, Path(folder), NO_DISPERSION, memory=memory))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


def memory(folder: Path) -> None:
    """The table of peak memory."""
    print(f"| species, {POINTS} points each | peak, all in memory, MB | all on disk, MB |\n|---|---|---|")
    for count in (10, 100, 400):
        made_up(count, folder)
        cells = [subprocess.run([sys.executable, __file__, "--peak", str(count), str(folder), str(budget)], check=True,
                                capture_output=True, text=True).stdout.strip() for budget in (1e12, 0)]
        print(f"| {count} | {' | '.join(cells)} |", flush=True)


def main():
    """The tables of the processor or that of a GPU, or one peak in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peak", nargs=3, metavar=("COUNT", "FOLDER", "BYTES"), help="used by the command itself")
    add_option(parser)
    args = parser.parse_args()
    if args.peak:
        peak(int(args.peak[0]), args.peak[1], float(args.peak[2]))
        return
    try:
        device = chosen(args.device)
    except MlxcError as error:
        sys.exit(f"{parser.prog}: {error}")
    with tempfile.TemporaryDirectory() as folder:
        if device != CPU:
            compare(Path(folder), device)
            return
        memory(Path(folder))  # first: a process begins with the peak of the one that starts it
        speed(Path(folder))


if __name__ == "__main__":
    main()
