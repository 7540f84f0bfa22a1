"""Cost of the stored densities beside the SCF that makes them: `python benchmarks/features.py [--large]`.

Each species with the standard settings, in its basis of the training: the SCF alone, the check that its solution is
stable (open shells and atoms), the record without and with local exchange at the two ω. Use OMP_NUM_THREADS=1, as the
workers of `training.build` do.
"""

import argparse
import time
from dataclasses import replace

from mlxc import solution
from mlxc.manifest.species import Species
from training import features, scf
from training.data import atom

WATER = (("O", (0.0, 0.0, 0.0)), ("H", (0.0, 0.757, 0.587)), ("H", (0.0, -0.757, 0.587)))
CARBON_DIOXIDE = (("C", (0.0, 0.0, 0.0)), ("O", (0.0, 0.0, 1.16)), ("O", (0.0, 0.0, -1.16)))
ETHANE = (("C", (0.0, 0.0, 0.765)), ("C", (0.0, 0.0, -0.765)),
          *(("H", (s * x, y, s * 1.16)) for s in (1, -1) for x, y in ((1.02, 0.0), (-0.51, 0.883), (-0.51, -0.883))))

SPECIES = (
    atom("F", 5, 5), atom("Cl", 9, 8), Species("OH", WATER[:2], 5, 4, "def2-tzvpd"),
    Species("water", WATER, 5, 5, "def2-tzvpd"), Species("CO2", CARBON_DIOXIDE, 11, 11, "def2-tzvpd"))

LARGE = (Species("ethane", ETHANE, 9, 9, "def2-tzvpd"),)


def seconds(work) -> tuple[float, object]:
    """How long it takes, and what it returns."""
    begun = time.perf_counter()
    result = work()
    return time.perf_counter() - begun, result


def main():
    """A row per species, and species per minute of all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--large", action="store_true", help="ethane too")
    args = parser.parse_args()
    settings, total = features.STANDARD, [0.0, 0.0, 0.0, 0.0]
    chosen = SPECIES + (LARGE if args.large else ())
    features.compute(SPECIES[0], settings)  # what is done once: imports, tables
    print("| species | orbitals | points | SCF s (cycles) | stability s | density s | local exchange s | overhead |")
    print("|---|---|---|---|---|---|---|---|")
    for s in chosen:
        solve, (mf, _) = seconds(lambda s=s: scf.mean_field(s, replace(settings, follow_ups=0)))
        cycles = mf.cycles
        checked = len(s.atoms) == 1 or s.n_alpha != s.n_beta
        check = seconds(lambda mf=mf: solution.stabilised(mf, settings.follow_ups))[0] if checked else 0.0
        without = seconds(lambda mf=mf: features.record_of(mf, replace(settings, omegas=())))[0]
        whole, record = seconds(lambda mf=mf: features.record_of(mf, settings))
        total = [a + b for a, b in zip(total, (solve, check, without, whole), strict=True)]
        print(f"| {s.key} | {mf.mol.nao} | {len(record.weights)} | {solve:.2f} ({cycles}) | {check:.2f} | "
              f"{without:.2f} | {whole - without:.2f} | {100 * whole / solve:.0f} % |", flush=True)
    solve, check, without, whole = total
    rate = [60 * len(chosen) / x for x in (solve, solve + check, solve + check + without, solve + check + whole)]
    print(f"\nspecies per minute: SCF alone {rate[0]:.0f}, with the stability check {rate[1]:.0f}, with the density "
          f"{rate[2]:.0f}, with local exchange {rate[3]:.0f}; overhead {100 * without / solve:.0f} % and "
          f"{100 * whole / solve:.0f} %")


if __name__ == "__main__":
    main()
