"""Computes the small training set of `data/small`: `python -m training.make_small [--work DIR] [--out FILE]`.

Geometries: MP2/cc-pVTZ, frozen core. Energies: CCSD(T), frozen core, of closed shells on RHF and of open shells on UHF;
extrapolated from triple and quadruple ζ (X = 3, 4) by

    E_HF(X) = E_HF + A exp(−1.63 X),      E_corr(X) = E_corr + B X⁻³

(A. Halkier et al., doi:10.1016/S0009-2614(99)00179-7, doi:10.1016/S0009-2614(98)00111-0). Atomisation energies in
cc-pVnZ, ionisation energies and electron affinities of atoms in aug-cc-pVnZ. Not included: zero-point energy,
core–valence correlation, relativity, spin–orbit coupling. Fractional points carry no computed label: they lie on the
straight line between the end points.

Every result is a JSON file in the work folder, written under a temporary name and then renamed: a run that was killed
goes on where it stopped.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from pyscf import cc, gto, mp, scf
from pyscf.data.elements import charge as nuclear_charge
from pyscf.geomopt.geometric_solver import optimize

from mlxc import files
from mlxc.units import KCAL
from training import manifest

#: Where the optimisations of the closed-shell molecules begin, Å. H2 and LiH are in the benchmark's reactions.
STARTS = {
    "ch4": "C 0 0 0; H 0.629 0.629 0.629; H -0.629 -0.629 0.629; H 0.629 -0.629 -0.629; H -0.629 0.629 -0.629",
    "nh3": "N 0 0 0.117; H 0 0.940 -0.273; H 0.814 -0.470 -0.273; H -0.814 -0.470 -0.273",
    "h2o": "O 0 0 0.119; H 0 0.757 -0.476; H 0 -0.757 -0.476",
    "hf": "F 0 0 0; H 0 0 0.92",
    "n2": "N 0 0 0; N 0 0 1.10",
    "co": "C 0 0 0; O 0 0 1.13",
    "hcn": "H 0 0 -1.07; C 0 0 0; N 0 0 1.15",
    "c2h2": "C 0 0 0.60; C 0 0 -0.60; H 0 0 1.66; H 0 0 -1.66",
}

#: Atoms: 2S of the cation, the neutral atom and the anion; None where it has no electron or is not bound.
ATOMS = {"H": (None, 1, 0), "C": (1, 2, 3), "N": (2, 3, None), "O": (3, 2, 1), "F": (2, 1, 0)}

#: Fractions of an electron that are taken from an atom, and that are added to one.
FRACTIONS = {"H": ((0.25, 0.5, 0.75), (0.5,)), "C": ((0.5,), ()), "O": ((0.25, 0.5, 0.75), (0.5,)),
             "F": ((0.5,), (0.5,))}

#: Extrapolation from ζ = 3 and 4; the exponent is that of E_HF(X).
ZETA, HF_EXPONENT = {"t": 3, "q": 4}, 1.63

SOURCE = "CCSD(T)/CBS[34], training.make_small"

DESCRIPTION = ("Eight closed-shell molecules at MP2/cc-pVTZ geometries, ions of atoms, and fractionally charged atoms; "
               "energies by CCSD(T), frozen core, extrapolated from triple and quadruple zeta (training/make_small.py)")


def main():
    """Command line: what is missing is computed, then the manifest is written."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("runs/small"), help="folder of the single results")
    parser.add_argument("--out", type=Path, default=Path("data/small/small.json"), help="the manifest to write")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    geometries = {name: geometry(name, args.work) for name in STARTS}
    jobs = energy_jobs(geometries)
    energies = {}
    for i, (name, make) in enumerate(jobs.items(), start=1):
        energies[name] = cached(args.work / f"{name}.json", make, f"[{i}/{len(jobs)}] {name}")
    manifest.write(args.out, content(geometries, energies))
    print("written:", args.out)


def geometry(name: str, work: Path) -> list:
    """The optimised atoms of a molecule, Å."""
    def make():
        mol = gto.M(atom=STARTS[name], basis="cc-pvtz", verbose=0)
        with open(work / "optimiser.log", "a") as log, redirect_stdout(log), redirect_stderr(log):
            found = optimize(mp.MP2(scf.RHF(mol), frozen=core_orbitals(mol)), convergence_set="GAU_TIGHT")
        coords = found.atom_coords(unit="Angstrom")
        return [[found.atom_symbol(i), *np.round(x, 6).tolist()] for i, x in enumerate(coords - coords[0])]
    return cached(work / f"geometry_{name}.json", make, f"geometry of {name}")


def energy_jobs(geometries: dict[str, list]) -> dict[str, Callable[[], list[float]]]:
    """Name → function that returns (E_HF, E_corr), Ha, for every species in every basis."""
    jobs = {}
    for zeta in ZETA:
        for symbol, spins in ATOMS.items():
            atom = [[symbol, 0.0, 0.0, 0.0]]
            for charge, spin in zip((1, 0, -1), spins, strict=True):
                if spin is not None:
                    jobs[f"{ion(symbol, charge)}_aug_{zeta}"] = job(atom, charge, spin, f"aug-cc-pv{zeta}z")
            jobs[f"{symbol.lower()}_{zeta}"] = job(atom, 0, spins[1], f"cc-pv{zeta}z")
        for name, atoms in geometries.items():
            jobs[f"{name}_{zeta}"] = job(atoms, 0, 0, f"cc-pv{zeta}z")
    return jobs


def job(atoms: list, charge: int, spin: int, basis: str, core: bool = False) -> Callable[[], list[float]]:
    """A calculation that has not begun; arguments as `ccsd_t`."""
    return lambda: ccsd_t(gto.M(atom=[(a[0], a[1:]) for a in atoms], charge=charge, spin=spin, basis=basis, verbose=0),
                          core)


def ccsd_t(mol: gto.Mole, core: bool = False) -> list[float]:
    """(E_HF, E_corr) in Ha by CCSD(T), with frozen cores unless core.

    Raises:
        RuntimeError: SCF or CCSD did not converge.
    """
    mf = scf.RHF(mol) if mol.spin == 0 else scf.UHF(mol)
    mf.conv_tol = 1e-10
    mf.kernel()
    frozen = 0 if core else core_orbitals(mol)
    if mol.nelectron - 2 * frozen <= 1:
        return [float(mf.e_tot), 0.0]
    solver = cc.CCSD(mf, frozen=frozen).set(conv_tol=1e-8, max_cycle=100)
    solver.kernel()
    if not (mf.converged and solver.converged):
        raise RuntimeError(f"{mol.atom} in {mol.basis}, charge {mol.charge}, 2S = {mol.spin}: SCF or CCSD did not "
                           "converge; choose another molecule or state")
    return [float(mf.e_tot), float(solver.e_corr + solver.ccsd_t())]


def core_orbitals(mol: gto.Mole) -> int:
    """Number of 1s orbitals that are not correlated: one of each atom from Li on."""
    return sum(nuclear_charge(mol.atom_symbol(i)) > 2 for i in range(mol.natm))


def cached(path: Path, make: Callable, label: str):
    """The content of a result file, computed and written first where there is none."""
    if not path.exists():
        start = time.perf_counter()
        files.write(path, json.dumps(make()))
        print(f"{label}: {time.perf_counter() - start:.0f} s", flush=True)
    return json.loads(path.read_text())


def extrapolated(triple: list[float], quadruple: list[float]) -> float:
    """Total energy at the basis-set limit, Ha, from (E_HF, E_corr) at X = 3 and 4."""
    decay = np.exp(-HF_EXPONENT)
    hf = (quadruple[0] - decay * triple[0]) / (1 - decay)
    corr = (4**3 * quadruple[1] - 3**3 * triple[1]) / (4**3 - 3**3)
    return float(hf + corr)


def ion(symbol: str, charge: int) -> str:
    """Name of an atom's charge state: `o+`, `o`, `o-`."""
    return symbol.lower() + {1: "+", 0: "", -1: "-"}[charge]


def content(geometries: dict[str, list], energies: dict[str, list[float]]) -> dict[str, Any]:
    """The manifest of computed energies.

    Args:
        geometries: atoms by molecule.
        energies: (E_HF, E_corr) by job, as `energy_jobs` names them.
    """
    total = {name[:-2]: extrapolated(pair, energies[f"{name[:-2]}_q"])
             for name, pair in energies.items() if name.endswith("_t")}
    species: dict[str, dict] = {}
    for name, atoms in geometries.items():
        plain = [[a[0], *(x + 0.0 for x in a[1:])] for a in atoms]  # no -0.0
        species[name] = {"atoms": plain, "charge": 0, "spin": 0}
    reactions = []

    def reaction(name: str, subset: str, stoichiometry: dict[str, int], energy: float) -> None:
        reactions.append({"id": name, "stoichiometry": stoichiometry, "reference": round(KCAL * energy, 4),
                          "unit": "kcal/mol", "subset": subset, "source": SOURCE})

    for symbol, spins in ATOMS.items():
        for charge, spin in zip((1, 0, -1), spins, strict=True):
            if spin is not None:
                entry = {"atoms": [[symbol, 0.0, 0.0, 0.0]], "charge": charge, "spin": spin}
                species[ion(symbol, charge)] = entry
    for name, atoms in geometries.items():
        parts = dict(Counter(a[0].lower() for a in atoms))
        energy = sum(n * total[symbol] for symbol, n in parts.items()) - total[name]
        reaction(f"TAE({name})", "atomisation", {name: -1, **parts}, energy)
    for symbol, (cation, _, anion) in ATOMS.items():
        low, mid, high = (f"{ion(symbol, charge)}_aug" for charge in (1, 0, -1))
        ionised = {ion(symbol, 1): 1} if cation is not None else {"H+": 1}
        energy = (total[low] if cation is not None else 0.0) - total[mid]
        reaction(f"IP({symbol})", "ionisation", {ion(symbol, 0): -1, **ionised, "e-": 1}, energy)
        if anion is not None:
            reaction(f"EA({symbol})", "affinity", {ion(symbol, -1): -1, ion(symbol, 0): 1, "e-": 1},
                     total[mid] - total[high])
    reactions.append({"id": "HF(H)", "stoichiometry": {"h": 1}, "reference": "HF", "subset": "one_electron",
                      "source": "exact"})
    return {"format": manifest.FORMAT, "name": "small", "description": DESCRIPTION,
            "species": species, "reactions": reactions, "fractional": points()}


def points() -> list[dict[str, Any]]:
    """Fractionally charged atoms, on the straight line between their end points."""
    found = []
    for symbol, by_kind in FRACTIONS.items():
        for kind, charge, fractions in zip(("cation", "anion"), (1, -1), by_kind, strict=True):
            whole, other = occupations(symbol, 0), occupations(symbol, charge)
            for f in fractions:
                n_alpha, n_beta = ((1 - f) * a + f * b for a, b in zip(whole, other, strict=True))
                ends = {ion(symbol, 0): 1 - f} | ({ion(symbol, charge): f} if any(other) else {})
                found.append({"id": f"{symbol}_{kind}_{f}", "nuclei": ion(symbol, 0), "n_alpha": n_alpha,
                              "n_beta": n_beta, "between": ends, "subset": "fractional", "source": "straight line"})
    return found


def occupations(symbol: str, charge: int) -> tuple[float, float]:
    """(n_alpha, n_beta) of an atom's charge state."""
    n, spin = nuclear_charge(symbol) - charge, ATOMS[symbol][1 - charge] or 0
    return (n + spin) / 2, (n - spin) / 2


if __name__ == "__main__":
    main()
