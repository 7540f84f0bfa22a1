"""Computes the benchmark's set `mini`: `python benchmarks/make_mini.py`; 20 minutes on one core, resumable.

Ions and radicals with one heavy atom, and He₂⁺: proton affinities, electron affinities, vertical ionisation energies,
bond energies, atomisation energies. Geometries MP2/cc-pVTZ; energies CCSD(T), frozen cores, extrapolated from
triple and quadruple ζ as in `training.make_small`, aug-cc-pVnZ but for hydrogen, which has cc-pVnZ. Without
zero-point energy, relativity, core correlation.
"""

import argparse
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
from pyscf import gto, mp, scf
from pyscf.geomopt.geometric_solver import optimize

from mlxc.bench.sets.reactions import MINI
from mlxc.manifest import balance, checks
from mlxc.units import KCAL
from training import manifest
from training.make_small import ZETA, cached, ccsd_t, core_orbitals, extrapolated

#: Start of the optimisation (Å), charge, 2S; or the species whose geometry is taken.
SPECIES = {
    "h2o": ("O 0 0 0; H 0.757 0.587 0; H -0.757 0.587 0", 0, 0),
    "h2o+": ("h2o", 1, 1),
    "h3o+": ("O 0 0 0.1; H 0.93 0 -0.2; H -0.47 0.81 -0.2; H -0.47 -0.81 -0.2", 1, 0),
    "oh": ("O 0 0 0; H 0 0 0.97", 0, 1),
    "oh-": ("O 0 0 0; H 0 0 0.964", -1, 0),
    "nh3": ("N 0 0 0.117; H 0 0.940 -0.273; H 0.814 -0.470 -0.273; H -0.814 -0.470 -0.273", 0, 0),
    "nh3+": ("nh3", 1, 1),
    "nh4+": ("N 0 0 0; H 0.59 0.59 0.59; H -0.59 -0.59 0.59; H 0.59 -0.59 -0.59; H -0.59 0.59 -0.59", 1, 0),
    "nh2": ("N 0 0 0; H 0.80 0.64 0; H -0.80 0.64 0", 0, 1),
    "nh2-": ("N 0 0 0; H 0.80 0.66 0; H -0.80 0.66 0", -1, 0),
    "ch4": ("C 0 0 0; H 0.629 0.629 0.629; H -0.629 -0.629 0.629; H 0.629 -0.629 -0.629; H -0.629 0.629 -0.629", 0, 0),
    "ch3": ("C 0 0 0; H 1.079 0 0; H -0.5395 0.9344 0; H -0.5395 -0.9344 0", 0, 1),
    "he2+": ("He 0 0 0; He 0 0 1.08", 1, 1),
    "h": ("H", 0, 1), "c": ("C", 0, 2), "n": ("N", 0, 3), "o": ("O", 0, 2), "he": ("He", 0, 0), "he+": ("He", 1, 1),
}

#: Subset, stoichiometry.
REACTIONS = {
    "PA(H2O)": ("proton affinities", {"h3o+": -1, "h2o": 1, "H+": 1}),
    "PA(NH3)": ("proton affinities", {"nh4+": -1, "nh3": 1, "H+": 1}),
    "PA(OH-)": ("proton affinities", {"h2o": -1, "oh-": 1, "H+": 1}),
    "PA(NH2-)": ("proton affinities", {"nh3": -1, "nh2-": 1, "H+": 1}),
    "EA(OH)": ("electron affinities", {"oh-": -1, "oh": 1, "e-": 1}),
    "EA(NH2)": ("electron affinities", {"nh2-": -1, "nh2": 1, "e-": 1}),
    "IP(H2O)": ("ionisation", {"h2o": -1, "h2o+": 1, "e-": 1}),
    "IP(NH3)": ("ionisation", {"nh3": -1, "nh3+": 1, "e-": 1}),
    "D(He2+)": ("self-interaction", {"he2+": -1, "he+": 1, "he": 1}),
    "D(HO-H)": ("bond energies", {"h2o": -1, "oh": 1, "h": 1}),
    "D(H2N-H)": ("bond energies", {"nh3": -1, "nh2": 1, "h": 1}),
    "D(H3C-H)": ("bond energies", {"ch4": -1, "ch3": 1, "h": 1}),
    "TAE(OH)": ("atomisation", {"oh": -1, "o": 1, "h": 1}),
    "TAE(NH2)": ("atomisation", {"nh2": -1, "n": 1, "h": 2}),
    "TAE(CH3)": ("atomisation", {"ch3": -1, "c": 1, "h": 3}),
}

SOURCE = "CCSD(T)/CBS[34], benchmarks/make_mini.py"

DESCRIPTION = ("Ions and radicals of up to five atoms, computed by the project: MP2/cc-pVTZ geometries, CCSD(T), "
               "frozen core, extrapolated from triple and quadruple zeta")


def geometry(name: str, work: Path) -> list:
    """The atoms of a species, optimised where there are two or more, Å."""
    start, charge, spin = SPECIES[name]
    if start in SPECIES:
        return geometry(start, work)
    mol = gto.M(atom=start, basis="cc-pvtz", charge=charge, spin=spin, verbose=0)
    if mol.natm == 1:
        return [[mol.atom_symbol(0), 0.0, 0.0, 0.0]]

    def make():
        mf = scf.UHF(mol) if spin else scf.RHF(mol)
        with open(work / "optimiser.log", "a") as log, redirect_stdout(log), redirect_stderr(log):
            found = optimize((mp.UMP2 if spin else mp.MP2)(mf, frozen=core_orbitals(mol)), convergence_set="GAU_TIGHT")
        coords = found.atom_coords(unit="Angstrom")
        return [[found.atom_symbol(i), *(np.round(x, 6) + 0.0).tolist()] for i, x in enumerate(coords - coords[0])]

    return cached(work / f"geometry_{name}.json", make, f"geometry of {name}")


def energy(name: str, atoms: list, work: Path) -> float:
    """CCSD(T) at the basis-set limit, Ha."""
    _, charge, spin = SPECIES[name]
    pairs = [cached(work / f"{name}_{zeta}.json", lambda zeta=zeta: ccsd_t(
        gto.M(atom=[(a[0], a[1:]) for a in atoms], charge=charge, spin=spin, verbose=0,
              basis={"default": f"aug-cc-pv{zeta}z", "H": f"cc-pv{zeta}z"})), f"{name}, {zeta}") for zeta in ZETA]
    return extrapolated(*pairs)


def main():
    """Command line: what is missing is computed, then the manifest is written."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("runs/mini"), help="folder of the single results")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    atoms = {name: geometry(name, args.work) for name in SPECIES}
    total = {name: energy(name, atoms[name], args.work) for name in SPECIES}
    species = {name: {"atoms": atoms[name], "charge": charge, "spin": spin}
               for name, (_, charge, spin) in SPECIES.items()}
    contents = {name: balance.content(checks.species(name, entry)) for name, entry in species.items()}
    reactions = []
    for id_, (subset, stoichiometry) in REACTIONS.items():
        value = KCAL * sum(c * total.get(name, 0.0) for name, c in stoichiometry.items())
        spin = {"spin_change": True} if balance.needs_spin_change(stoichiometry, contents) else {}
        reactions.append({"id": id_, "stoichiometry": stoichiometry, "reference": round(value, 3), "unit": "kcal/mol",
                          "subset": subset, "source": SOURCE} | spin)
    manifest.write(MINI, {"format": manifest.FORMAT, "name": "mini", "description": DESCRIPTION, "species": species,
                          "reactions": reactions})
    print("written:", MINI.name)


if __name__ == "__main__":
    main()
