"""Computes the reference curves of the benchmark's set `dissociation`: `python benchmarks/make_curves.py`.

H₂ (two electrons) and He₂⁺ (three) by full configuration interaction in aug-cc-pVTZ, relative to the fragments in the
same basis without counterpoise correction: what every functional's own curve in that basis is compared with. Two
minutes on one core.
"""

import json
from pathlib import Path

from pyscf import ao2mo, fci, gto, scf

from mlxc.bench.sets.dissociation import BASIS, CURVES, REFERENCES
from mlxc.units import KCAL


def energy(symbols: tuple[str, ...], distance: float, charge: int, spin: int) -> float:
    """Full CI energy of an atom or a diatomic, Ha."""
    atoms = [(symbol, (0.0, 0.0, i * distance)) for i, symbol in enumerate(symbols)]
    mol = gto.M(atom=atoms, basis=BASIS, charge=charge, spin=spin, verbose=0)
    mf = scf.ROHF(mol).run()
    c = mf.mo_coeff
    h = c.T @ mf.get_hcore() @ c
    solver = fci.direct_spin1.FCI()
    solver.conv_tol, solver.max_cycle, solver.max_space = 1e-10, 300, 30
    electrons = mol.nelec
    return float(solver.kernel(h, ao2mo.full(mol, c), c.shape[1], electrons)[0] + mol.energy_nuc())


def main():
    """Every curve; written to the package."""
    found = {}
    for name in ("H2", "He2+"):
        curve = CURVES[name]
        apart = sum(energy((symbol,), 0.0, charge, spin) for symbol, charge, spin in curve.fragments)
        points = {}
        for r in curve.distances:
            points[f"{r:g}"] = round(KCAL * (energy(curve.symbols, r, curve.charge, curve.spin) - apart), 4)
            print(name, r, points[f"{r:g}"], flush=True)
        found[name] = {"method": f"full CI, {BASIS}, minus fragments", "unit": "kcal/mol", "points": points}
    REFERENCES.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print("written:", Path(REFERENCES).name)


if __name__ == "__main__":
    main()
