"""Computes the spin states of atoms of `data/spins.json`: `python -m training.make_spins [--work DIR] [--out FILE]`.

What it takes to turn one spin over: the lowest energy with 2S + 2 minus the lowest with 2S, as in C(³P) → C(⁵S). No
closed shell and no ground state of an atom tells it (docs/decisions.md, 32). CCSD(T), all electrons correlated, of
closed shells on RHF and of open shells on UHF, in cc-pCVnZ, extrapolated as in `training.make_small`. Not included:
higher excitations, relativity, spin–orbit coupling. Resumable, as is that script.
"""

import argparse
from pathlib import Path
from typing import Any

from pyscf.data.elements import charge as nuclear_charge

from mlxc.units import KCAL
from training import manifest
from training.data import DIFFUSE_BASIS, atom
from training.make_small import ZETA, cached, extrapolated, ion, job

#: Charge and 2S of the lower states; the upper ones have 2S + 2. Of H–Ar and their cations those whose upper state is
#: one determinant of valence orbitals; ions of B, P and S are held back.
STATES = {"Be": ((0, 0),), "B": ((0, 1),), "C": ((0, 2), (1, 1)), "N": ((1, 2),), "Mg": ((0, 0),),
          "Al": ((0, 1), (1, 0)), "Si": ((0, 2), (1, 1))}

SOURCE = "CCSD(T)/CBS[34], all electrons, training.make_spins"

DESCRIPTION = "Atoms with one spin turned over; energies by CCSD(T), extrapolated (training/make_spins.py)"


def main():
    """Command line: what is missing is computed, then the manifest is written."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("runs/spins"), help="folder of the single results")
    parser.add_argument("--out", type=Path, default=Path("data/spins.json"), help="the manifest to write")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    states = [(symbol, charge, spin) for symbol, lower in STATES.items() for charge, low in lower
              for spin in (low, low + 2)]
    energies = {}
    for i, state in enumerate(states, start=1):
        energies[state] = extrapolated(*(energy(*state, zeta, args.work, f"[{i}/{len(states)}]") for zeta in ZETA))
    manifest.write(args.out, content(energies))
    print("written:", args.out)


def energy(symbol: str, charge: int, spin: int, zeta: str, work: Path, label: str) -> list[float]:
    """(E_HF, E_corr) of a state in a basis, Ha."""
    name = f"{ion(symbol, charge)}_{spin + 1}_{zeta}"
    make = job([[symbol, 0.0, 0.0, 0.0]], charge, spin, f"cc-pcv{zeta}z", core=True)
    return cached(work / f"{name}.json", make, f"{label} {name}")


def key(symbol: str, charge: int, spin: int) -> str:
    """Name of a state, that of the same atom in other sources: they share its density."""
    n = nuclear_charge(symbol) - charge
    return atom(symbol, (n + spin) / 2, (n - spin) / 2).key


def content(energies: dict[tuple[str, int, int], float]) -> dict[str, Any]:
    """The manifest of what a spin costs, from total energies in Ha by (symbol, charge, 2S)."""
    species = {key(*state): {"atoms": [[state[0], 0.0, 0.0, 0.0]], "charge": state[1], "spin": state[2],
                             "basis": DIFFUSE_BASIS} for state in energies}
    reactions = []
    for symbol, lower in STATES.items():
        for charge, low in lower:
            before, after = (symbol, charge, low), (symbol, charge, low + 2)
            reactions.append({
                "id": f"SS({ion(symbol, charge).capitalize()})", "subset": "spin", "spin_change": True,
                "stoichiometry": {key(*before): -1, key(*after): 1}, "unit": "kcal/mol", "source": SOURCE,
                "reference": round(KCAL * (energies[after] - energies[before]), 3)})
    return {"format": manifest.FORMAT, "name": "spins", "description": DESCRIPTION, "species": species,
            "reactions": reactions, "fractional": []}


if __name__ == "__main__":
    main()
