"""Cost of mlxc's functionals beside PySCF's own functionals: one XC call, one SCF, memory of the XC part.

    python benchmarks/cost.py water benzene tetradecane [--scf]

Each functional runs in a process of its own, one after another, on the same density, with the threads that
OMP_NUM_THREADS gives. Seconds are those of the processors, which a busy machine changes least; only the ratios mean
anything. Memory is the peak of a fresh process that does the XC call
alone, above the same process with r2SCAN. What a process frees it keeps (`mlxc.workers.KEEP_MEMORY`): where the system
takes memory back, as hosts of virtual machines do, PySCF's large buffers cost more the longer it takes until they are
allocated again, which would be counted against whatever runs in between.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time

from pyscf import dft, gto, lib

from mlxc.workers import KEEP_MEMORY

#: Functionals; after a slash the auxiliary basis of the local exchange, where it is not the default.
FUNCTIONALS = ("r2scan", "b3lyp", "wb97m_v", "mlxc_rs", "mlxc_lh", "mlxc_lh/def2-universal-jkfit")


def alkane(n: int) -> str:
    """All-anti C_nH_{2n+2} in Å: C–C 1.53, C–H 1.09, tetrahedral angles."""
    dx, dy, dz, hy = 1.2492, 0.4417, 0.8900, 0.6293
    atoms = []
    for i in range(n):
        x, y = i * dx, dy * (-1) ** i
        side = 1 if y > 0 else -1
        atoms.append(("C", x, y, 0.0))
        atoms += [("H", x, y + side * hy, s * dz) for s in (1, -1)]
    first, last = atoms[0], atoms[3 * (n - 1)]
    for (_, x, y, _), step in ((first, -1), (last, 1)):
        side = -1 if y > 0 else 1
        atoms.append(("H", x + step * dz, y + side * hy, 0.0))
    return "; ".join(f"{s} {x:.5f} {y:.5f} {z:.5f}" for s, x, y, z in atoms)


def ring(n: int, carbon: float, hydrogen: float) -> str:
    """Regular C_nH_n in Å from the radii of its two circles."""
    from math import cos, pi, sin

    points = [(cos(2 * pi * k / n), sin(2 * pi * k / n)) for k in range(n)]
    return "; ".join(f"{s} {r * x:.6f} {r * y:.6f} 0" for s, r in (("C", carbon), ("H", hydrogen)) for x, y in points)


def naphthalene(side: float = 1.40, hydrogen: float = 1.09) -> str:
    """C₁₀H₈ of two regular hexagons, in Å."""
    from math import sqrt

    x, atoms = side * sqrt(3) / 2, []
    for sy in (1, -1):
        atoms.append(("C", 0.0, sy * side / 2))
        for sx in (1, -1):
            atoms += [("C", sx * x, sy * side), ("H", sx * x, sy * (side + hydrogen)), ("C", sx * 2 * x, sy * side / 2),
                      ("H", sx * (2 * x + hydrogen * sqrt(3) / 2), sy * (side + hydrogen) / 2)]
    return "; ".join(f"{s} {a:.5f} {b:.5f} 0" for s, a, b in atoms)


MOLECULES = {
    "water": "O 0 0 0; H 0 0.757 0.587; H 0 -0.757 0.587",
    "benzene": ring(6, 1.395, 2.481),
    "naphthalene": naphthalene(),
    "tetradecane": alkane(14),
}


def mean_field(molecule: str, xc: str):
    """A density-fitted RKS at grid level 3, def2-TZVP."""
    import mlxc

    xc, _, auxiliary = xc.partition("/")
    mol = gto.M(atom=MOLECULES[molecule], basis="def2-tzvp", verbose=0, max_memory=8000)
    mf = dft.RKS(mol, xc=xc).density_fit(auxbasis="def2-universal-jkfit")
    mf.grids.level = 3
    if auxiliary:
        mlxc.set_local_exchange(mf, auxbasis=auxiliary)
    mf.nlc = 0  # ωB97M-V without VV10: the semilocal and exact-exchange parts are what is compared
    return mf


def measure(molecule: str, xc: str, scf: bool, repeats: int) -> dict:
    """Seconds of `nr_rks` (the best of the repeats) and of the SCF, and the peak memory before the SCF, MB."""
    mf = mean_field(molecule, xc)
    mf.grids.build(sort_grids=True)
    dm = mf.get_init_guess()
    best = min(_seconds(lambda: mf._numint.nr_rks(mf.mol, mf.grids, mf.xc, dm, max_memory=4000))
               for _ in range(repeats))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    result = {"points": mf.grids.size, "nao": mf.mol.nao, "nr_rks_s": best, "peak_mb": peak}
    if scf:
        result["scf_s"] = _seconds(mf.kernel)
        result |= {"cycles": mf.cycles, "converged": bool(mf.converged), "threads": lib.num_threads()}
    return result


def _seconds(work) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def main():
    """Each measurement in its own process, so that memory and caches are its own; prints a table of ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("molecules", nargs="+", choices=list(MOLECULES))
    parser.add_argument("--scf", action="store_true", help="whole SCFs too")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--functionals", nargs="+", default=FUNCTIONALS,
                        help="those of the table, beside r2scan and wb97m_v, which they are compared with")
    parser.add_argument("--xc", help="measure one functional in this process and print JSON")
    args = parser.parse_args()
    if args.xc:
        print(json.dumps(measure(args.molecules[0], args.xc, args.scf, args.repeats)))
        return
    print("| molecule | functional | points | nr_rks s | ÷ r2scan | SCF s (cycles) | ÷ wb97m_v | memory − r2scan, MB |")
    print("|---|---|---|---|---|---|---|---|")
    for molecule in args.molecules:
        found = {xc: _in_process(molecule, xc, args) for xc in dict.fromkeys(["r2scan", *args.functionals, "wb97m_v"])}
        for xc, r in found.items():
            base, hybrid = found["r2scan"], found["wb97m_v"]
            scf = f"{r['scf_s']:.1f} ({r['cycles']}) | {r['scf_s'] / hybrid['scf_s']:.2f}" if args.scf else "– | –"
            print(f"| {molecule} | {xc} | {r['points']} | {r['nr_rks_s']:.2f} | {r['nr_rks_s'] / base['nr_rks_s']:.2f} "
                  f"| {scf} | {r['peak_mb'] - base['peak_mb']:+.0f} |", flush=True)


def _in_process(molecule: str, xc: str, args) -> dict:
    command = [sys.executable, __file__, molecule, "--xc", xc, "--repeats", str(args.repeats)]
    out = subprocess.run(command + ["--scf"] * args.scf, check=True, stdout=subprocess.PIPE, text=True,
                         env=os.environ | KEEP_MEMORY)
    return json.loads(out.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
