"""Cost of mlxc's functionals on a GPU beside GPU4PySCF's own: one XC matrix, one SCF cycle, and where the time goes.

    python benchmarks/gpu.py 5 10 20 40 80

Alkanes with these numbers of carbon atoms, RKS in def2-TZVP, grid level 3, density fitting, all functionals on one GPU
one after another; what does not fit into its memory is said and left out. Seconds are those of the clock, with the GPU
idle before and after; the ratios within a molecule are what counts. ωB97M-V is computed without VV10, as in `cost.py`.

The functional alone is compared with a floor: the time that the device takes for the matrix products of the networks,
forward and backward, or to read and write the arrays that go in and out, whichever is longer.
"""

import argparse
import gc
import json
import time
from pathlib import Path

import torch
from cost import alkane
from pyscf import gto
from torch.utils.flop_counter import FlopCounterMode

from mlxc.host import gpu, seam

FUNCTIONALS = ("r2scan", "wb97m_v", "mlxc_rs", "mlxc_lh")

#: Cycles of an SCF that are timed, after one that is not.
CYCLES = 4

#: Numbers that go in and out at each point of a closed shell: n, σ, τ; the energy and three derivatives.
NUMBERS = 7


def measure(carbons: int, xc: str, repeats: int) -> dict:
    """Sizes, and seconds of one XC matrix (the best), of the functional in it, and of one SCF cycle (the median)."""
    import gpu4pyscf

    mol = gto.M(atom=alkane(carbons), basis="def2-tzvp", verbose=0)
    mf = gpu4pyscf.dft.RKS(mol, xc=xc).density_fit(auxbasis="def2-universal-jkfit")
    mf.grids.level, mf.nlc = 3, 0
    mf.grids.build(sort_grids=True)
    ni, dm = mf._numint, mf.get_init_guess()
    spent = _watch(ni, "eval_xc_eff")

    def matrix():
        spent.clear()
        return _seconds(lambda: ni.nr_rks(mol, mf.grids, mf.xc, dm)), sum(spent)

    matrix()
    best, functional = min(matrix() for _ in range(repeats))
    clock: list[float] = []
    mf.max_cycle, mf.conv_tol, mf.conv_check = CYCLES + 1, 0.0, False
    mf.callback = lambda _: clock.append(_now())
    mf.kernel()
    cycles = sorted(b - a for a, b in zip(clock, clock[1:], strict=False))
    del ni.eval_xc_eff  # it holds on to its owner
    return {"points": mf.grids.size, "nao": mol.nao, "matrix_s": best, "functional_s": functional,
            "cycle_s": cycles[len(cycles) // 2]}


def _watch(owner, name: str) -> list[float]:
    """Seconds of every call of a method from now on."""
    method, spent = getattr(owner, name), []

    def timed(*args, **kwargs):
        found = []
        spent.append(_seconds(lambda: found.append(method(*args, **kwargs))))
        return found[0]

    setattr(owner, name, timed)
    return spent


def floor(name: str, points: int) -> dict[str, float]:
    """Seconds of a functional at random densities, and of its floor; the device's rates, FLOP/s and bytes/s."""
    device = torch.device("cuda")
    entry = seam.search(name)
    x = tuple(torch.rand(3, points, dtype=torch.float64, device=device) + 0.1)
    entry.derivatives(x, 1)
    with FlopCounterMode(display=False) as count:
        entry.derivatives(x, 1)
    a, b = torch.rand(2, 8192, 8192, dtype=torch.float64, device=device)
    products = 2 * 8192**3 / min(_seconds(lambda: a @ b) for _ in range(3))
    traffic = 2 * a.nbytes / min(_seconds(lambda: b.copy_(a)) for _ in range(3))
    seconds = min(_seconds(lambda: entry.derivatives(x, 1)) for _ in range(3))
    by_products, by_traffic = count.get_total_flops() / products, 8 * NUMBERS * points / traffic
    return {"seconds": seconds, "floor": max(by_products, by_traffic), "products": products, "traffic": traffic,
            "fraction_of_products": by_products / seconds, "fraction_of_traffic": by_traffic / seconds}


def _free(cupy):
    """Gives back what the last calculation held."""
    gc.collect()
    torch.cuda.empty_cache()
    cupy.get_default_memory_pool().free_all_blocks()


def _now() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()


def _seconds(work) -> float:
    start = _now()
    work()
    return _now() - start


def main():
    """Prints the tables; everything measured goes to a file where one is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("carbons", nargs="+", type=int)
    parser.add_argument("--functionals", nargs="+", default=FUNCTIONALS, help="r2scan and wb97m_v are the measures")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="JSON file of everything that was measured")
    args = parser.parse_args()
    gpu.require()
    import cupy

    device, found = torch.cuda.get_device_name(), {}
    print(f"{device}, torch {torch.__version__}, CuPy {cupy.__version__}\n")
    heads = ("alkane", "orbitals", "points", "functional", "XC matrix, s", "÷ r2scan", "network in it", "cycle, s",
             "÷ wb97m_v")
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for carbons in args.carbons:
        for xc in args.functionals:
            _free(cupy)
            try:
                found[carbons, xc] = r = measure(carbons, xc, args.repeats)
            except (MemoryError, torch.OutOfMemoryError, cupy.cuda.runtime.CUDARuntimeError) as error:
                if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "MemoryAlloc" not in str(error):
                    raise
                print(f"| C{carbons} | | | {xc} | does not fit: {error} | | | | |", flush=True)
                continue
            ratios = [f"{r[key] / found[carbons, base][key]:.2f}" if (carbons, base) in found else ""
                      for key, base in (("matrix_s", "r2scan"), ("cycle_s", "wb97m_v"))]
            print(f"| C{carbons} | {r['nao']} | {r['points']} | {xc} | {r['matrix_s']:.3f} | {ratios[0]} | "
                  f"{r['functional_s'] / r['matrix_s']:.0%} | {r['cycle_s']:.3f} | {ratios[1]} |", flush=True)
    print("\n| functional alone | s | ÷ floor | products, of the device's | traffic, of the device's |")
    print("|---|---|---|---|---|")
    floors = {}
    for xc in (name for name in args.functionals if seam.search(name)):
        entry = seam.search(xc)
        floors[xc] = f = floor(entry.semilocal if entry.is_local else xc, 2**20)
        print(f"| {xc}, {2**20} points | {f['seconds']:.4f} | {f['seconds'] / f['floor']:.1f} | "
              f"{f['fraction_of_products']:.1%} | {f['fraction_of_traffic']:.1%} |")
    if args.out:
        measured = [{"carbons": carbons, "xc": xc} | r for (carbons, xc), r in found.items()]
        args.out.write_text(json.dumps({"device": device, "calculations": measured, "alone": floors}, indent=1))


if __name__ == "__main__":
    main()
