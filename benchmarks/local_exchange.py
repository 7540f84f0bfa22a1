"""Cost of a local hybrid's local part per SCF cycle: against integrals of all orbital pairs, and PySCF's own cycles.

    python benchmarks/local_exchange.py water benzene naphthalene [--figure PATH]
    python benchmarks/local_exchange.py benzene --levels 1 3 5 --memory 1000

def2-TZVP. One process, the threads that OMP_NUM_THREADS gives, everything on the converged density of density-fitted
Hartree–Fock; only ratios mean anything. The route over all orbital pairs is timed on a sample of the points and scaled
up. A cycle of PySCF's is its XC matrix on grid level 3 and density-fitted J and K of all ranges that it needs.

With --memory: the peak of a process that does one cycle with that many MB allowed, above the same process before it,
for grids of growing size.
"""

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from cost import MOLECULES, alkane
from pyscf import dft, gto

import mlxc
from mlxc.host.local import LocalPart, Settings

#: Grid points of which the route over all pairs computes integrals.
SAMPLE = 1000


def seconds(work) -> float:
    """Processor time of a call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def molecule(name: str) -> gto.Mole:
    """A molecule of `cost.MOLECULES`, or an alkane: c8 is octane."""
    atoms = alkane(int(name[1:])) if name[0] == "c" and name[1:].isdigit() else MOLECULES[name]
    return gto.M(atom=atoms, basis="def2-tzvp", verbose=0, max_memory=8000)


def local_cycle(mol, dm, functional, level: int) -> dict[str, float]:
    """Seconds once per geometry, per cycle with occupied columns and with the whole matrix, and the energy, Ha."""
    start = time.process_time()
    part = LocalPart(functional, mol, Settings(level), 8000)
    energy, _ = part.energy_and_potential(dm, True)
    first = time.process_time() - start
    other = np.asarray(dm) * (1 - 1e-12)  # another density matrix: nothing of the last one is used again
    cycle = min(seconds(lambda x=x: part.energy_and_potential(other * x, True)) for x in (1 + 1e-12, 1 - 1e-12))
    whole = seconds(lambda: part.energy_and_potential(other * (1 + 3e-12)))
    return {"points": len(part.weights), "once": first - cycle, "cycle": cycle, "whole": whole, "energy": energy}


def all_pairs(mol, dm, points: int, omega: float) -> float:
    """Seconds a cycle of e_x^SR over all orbital pairs at the points, from a sample of them."""
    grids = dft.gen_grid.Grids(mol)
    grids.level = 1
    grids.build()
    sample = grids.coords[:: max(1, len(grids.coords) // SAMPLE)][:SAMPLE]

    def work():
        with mol.with_short_range_coulomb(omega):
            kernel = mol.intor("int1e_grids", grids=sample)
        half = dft.numint.eval_ao(mol, sample) @ dm
        return np.einsum("gi,gij,gj->g", half, kernel, half, optimize=True)

    return seconds(work) * points / len(sample)


def host_cycle(mol, dm, xc: str) -> float:
    """Seconds of one of PySCF's cycles with density fitting, grid level 3, VV10 left out."""
    mf = dft.RKS(mol, xc=xc).density_fit(auxbasis="def2-universal-jkfit")
    mf.grids.level, mf.nlc = 3, 0
    mf.get_veff(dm=dm)  # builds the grid and the fitted integrals
    return seconds(lambda: mf.get_veff(dm=dm))


def peak(mol: gto.Mole, level: int, max_memory: float) -> str:
    """A row: points, peak memory of one cycle above what was taken before it, MB, and its seconds."""
    dm = dft.RKS(mol).get_init_guess()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    part = LocalPart(mlxc.load("mlxc_lh"), mol, Settings(level), max_memory)
    part.energy_and_potential(dm, True)
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return f"| {level} ({len(part.weights)}) | {more:.0f} | {time.perf_counter() - start:.1f} |"


def memory(name: str, levels: list[int], max_memory: float):
    """Prints a table of `peak`, each row from a process of its own."""
    print(f"| {name}, {max_memory:.0f} MB allowed: grid level (points) | memory, MB | first cycle, s |\n|---|---|---|")
    for level in levels:
        work = f"import local_exchange as x; print(x.peak(x.molecule({name!r}), {level}, {max_memory}))"
        subprocess.run([sys.executable, "-c", work], check=True, cwd=Path(__file__).parent)


def main():
    """Prints a table, and draws the growth with size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("molecules", nargs="+", help=f"{', '.join(MOLECULES)}, or c8 for octane")
    parser.add_argument("--levels", type=int, nargs="+", default=[1], help="grid levels of the local part")
    parser.add_argument("--memory", type=float, help="MB allowed: measure the memory in place of the time")
    parser.add_argument("--figure", help="path of a picture of the growth with size")
    args = parser.parse_args()
    if args.memory:
        for name in args.molecules:
            memory(name, args.levels, args.memory)
        return
    functional = mlxc.load("mlxc_lh")
    print("| molecule | orbitals | grid level (points) | once, s | cycle, s | whole matrix, s | ÷ all pairs "
          "| ÷ B3LYP | ÷ ωB97M-V |\n|---|---|---|---|---|---|---|---|---|")
    sizes, times = [], []
    for name in args.molecules:
        mol = molecule(name)
        dm = np.asarray(mol.RHF().density_fit(auxbasis="def2-universal-jkfit").run().make_rdm1())
        b3lyp, wb97m = host_cycle(mol, dm, "b3lyp"), host_cycle(mol, dm, "wb97m_v")
        for level in args.levels:
            r = local_cycle(mol, dm, functional, level)
            pairs = all_pairs(mol, dm, r["points"], functional.local_omega)
            print(f"| {name} | {mol.nao} | {level} ({r['points']}) | {r['once']:.1f} | {r['cycle']:.2f} "
                  f"| {r['whole']:.2f} | 1/{pairs / r['cycle']:.0f} | {r['cycle'] / b3lyp:.2f} "
                  f"| {r['cycle'] / wb97m:.2f} |", flush=True)
            if level == args.levels[0]:
                sizes.append(mol.nao)
                times.append((r["cycle"], pairs, wb97m))
    if args.figure:
        draw(sizes, np.array(times), args.figure)


def draw(sizes: list[int], times: np.ndarray, path: str):
    """Seconds per cycle against the number of orbitals, with the exponent between the ends."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5.2, 3.6), layout="constrained")
    labels = ("local part, density fitting", "local part, all orbital pairs", "whole cycle of ωB97M-V (PySCF)")
    for label, marker, colour, y in zip(labels, "os^", ("#0072b2", "#d55e00", "#555555"), times.T, strict=True):
        power = np.log(y[-1] / y[0]) / np.log(sizes[-1] / sizes[0])
        axes.loglog(sizes, y, marker=marker, color=colour, label=f"{label}: $n^{{{power:.1f}}}$")
    axes.set_xticks(sizes, [str(n) for n in sizes])
    axes.minorticks_off()
    axes.set(xlabel="orbitals n, def2-TZVP", ylabel="seconds per SCF cycle")
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=200)


if __name__ == "__main__":
    main()
