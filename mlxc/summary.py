"""The result of an SCF as a dictionary, and as text for people."""

import math
from importlib.metadata import version
from typing import Any

import numpy as np
from pyscf import dft, gto, lo
from pyscf.data.nist import AU2DEBYE

from mlxc.host.local import local_exchange_record
from mlxc.units import EV
from mlxc.zoo import Card

#: An unoccupied level below the highest occupied one by more than this is said, eV.
AUFBAU_TOLERANCE_EV = 1e-3


def summarise(mf: dft.rks.KohnShamDFT, card: Card | None, dispersion: float | None, notes: list[str]) -> dict[str, Any]:
    """What was computed, in the units that the keys end in; a value that does not exist is None.

    Without convergence there are no properties, and the energy has another key: `energy_not_converged_ha`.

    Args:
        mf: after its kernel.
        card: the functional's card, where it is a model.
        dispersion: D4's energy, Ha; None where it was not computed.
        notes: warnings to pass on.
    """
    mol = mf.mol
    result: dict[str, Any] = {
        "functional": mf.xc,
        "model_version": card["version"] if card else None,
        "charge": mol.charge,
        "spin": mol.spin,
        "electrons": mol.nelectron,
        "orbitals": mol.nao,
        "grid_level": mf.grids.level,
        "density_fit": hasattr(mf, "with_df"),
        "local_exchange": local_exchange_record(mf) or None,
        "atoms": [mol.atom_symbol(i) for i in range(mol.natm)],
        "converged": bool(mf.converged) and math.isfinite(mf.e_tot),
        "cycles": mf.cycles,
        "energy_scf_ha": None,
        "energy_std_ha": None,
        "energy_dispersion_ha": dispersion,
        "energy_total_ha": None,
        "warnings": notes,
        "versions": {name: version(name) for name in ("mlxc", "pyscf", "torch")},
    }
    if not result["converged"]:
        ran = mf.e_tot and math.isfinite(mf.e_tot)
        return result | {"energy_not_converged_ha": float(mf.e_tot) if ran else None}
    result["energy_scf_ha"] = float(mf.e_tot)
    result["energy_total_ha"] = float(mf.e_tot) + (dispersion or 0.0)
    if card and card["ensemble"]:
        result["energy_std_ha"] = mf.xc_uncertainty().std
    result |= levels(mf) | {"s2": float(mf.spin_square()[0]), "s2_of_pure_spin": mol.spin / 2 * (mol.spin / 2 + 1)}
    result["dipole_debye"] = dipole_debye(mf)
    result["spin_populations"] = spin_populations(mf)
    result["warnings"] = notes + _of_levels(result)
    return result


def levels(mf: dft.rks.KohnShamDFT) -> dict[str, float | None]:
    """Frontier levels over both spins and −ε_HOMO, which is the exact functional's ionisation energy; eV."""
    energy, occupation = np.ravel(mf.mo_energy), np.ravel(mf.mo_occ)
    homo = float(energy[occupation > 0].max()) * EV
    empty = energy[occupation == 0]
    lumo = float(empty.min()) * EV if empty.size else None
    return {"homo_ev": homo, "lumo_ev": lumo, "ionisation_energy_ev": -homo}


def dipole_debye(mf: dft.rks.KohnShamDFT) -> list[float]:
    """Dipole moment (3,), debye; about the centre of nuclear charge, which matters for ions."""
    charges = mf.mol.atom_charges()
    centre = charges @ mf.mol.atom_coords() / charges.sum()
    return [float(x) for x in mf.dip_moment(unit="AU", origin=centre, verbose=0) * AU2DEBYE]


def spin_populations(mf: dft.rks.KohnShamDFT) -> list[float]:
    """Unpaired electrons on each atom, (natm,): n_α − n_β in meta-Löwdin orthogonalised atomic orbitals."""
    dm = np.asarray(mf.make_rdm1())
    if dm.ndim == 2:
        return [0.0] * mf.mol.natm
    overlap = mf.get_ovlp()
    to_orthogonal = lo.orth_ao(mf.mol, "meta_lowdin", s=overlap).T @ overlap
    per_orbital = np.einsum("pi,ij,pj->p", to_orthogonal, dm[0] - dm[1], to_orthogonal)
    return [float(per_orbital[first:last].sum()) for _, _, first, last in mf.mol.aoslice_by_atom()]


def as_text(result: dict[str, Any]) -> str:
    """The result as lines for people."""
    version = f" {result['model_version']}" if result["model_version"] else ""
    lines = [f"{formula(result['atoms'])}, charge {_signed(result['charge'])}, unpaired electrons: {result['spin']}",
             f"{result['functional']}{version} / {result['basis']}, {result['orbitals']} orbitals, grid level "
             f"{result['grid_level']}{', density fitting' if result['density_fit'] else ''}"]
    if local := result["local_exchange"]:
        lines.append(f"local exchange: {local['functions']} auxiliary functions ({local['auxbasis']}), grid level "
                     f"{local['grid_level']}")
    lines.append("")
    lines += _converged(result) if result["converged"] else _not_converged(result)
    lines += [f"warning: {note}" for note in result["warnings"]]
    return "\n".join(lines)


def formula(symbols: list[str]) -> str:
    """Sum formula in Hill's order, ghosts left out: carbon, hydrogen, then by the alphabet."""
    plain = [gto.mole._std_symbol(symbol) for symbol in symbols if not symbol.lower().startswith("ghost")]
    count = {symbol: plain.count(symbol) for symbol in plain}
    first = ("C", "H") if "C" in count else ()
    ordered = sorted(count, key=lambda symbol: (first.index(symbol) if symbol in first else len(first), symbol))
    return "".join(f"{symbol}{count[symbol] if count[symbol] > 1 else ''}" for symbol in ordered)


def _converged(result: dict[str, Any]) -> list[str]:
    dispersion = result["energy_dispersion_ha"]
    lines = [_row("SCF energy", result["energy_scf_ha"], "Ha", ".8f")]
    if result["energy_std_ha"] is not None:
        lines.append(_row("±", result["energy_std_ha"], "Ha (standard deviation of the members)", ".8f"))
    if dispersion is None:
        lines += ["no dispersion correction added"]
    else:
        lines += [_row("D4 dispersion", dispersion, "Ha", ".8f"),
                  _row("total energy", result["energy_total_ha"], "Ha", ".8f")]
    lines += ["",
              _row("<S2>", result["s2"], f"({result['s2_of_pure_spin']:.4f} for a pure spin state)", ".4f"),
              _row("HOMO", result["homo_ev"], "eV", ".3f"),
              _row("LUMO", result["lumo_ev"], "eV", ".3f"),
              _row("ionisation energy", result["ionisation_energy_ev"], "eV (-HOMO)", ".3f"),
              _row("dipole moment", math.hypot(*result["dipole_debye"]), "D" + _about(result["charge"]), ".3f")]
    if result["spin"]:
        lines += ["", "unpaired electrons on each atom (meta-Löwdin)"]
        populations = zip(result["atoms"], result["spin_populations"], strict=True)
        lines += [f"  {i:4d} {symbol:8s} {unpaired:8.3f}" for i, (symbol, unpaired) in enumerate(populations, start=1)]
    return [*lines, "", f"converged in {result['cycles']} cycles, {result['seconds']:.1f} s"]


def _not_converged(result: dict[str, Any]) -> list[str]:
    return [f"NOT CONVERGED after {result['cycles']} cycles",
            _row("last energy, NOT CONVERGED", result["energy_not_converged_ha"], "Ha", ".8f"), "",
            "Try more cycles (--max-cycle), another --spin, or a structure nearer to equilibrium."]


def _signed(charge: int) -> str:
    return f"{charge:+d}" if charge else "0"


def _row(label: str, value: float | None, unit: str, form: str) -> str:
    return f"{label:28s} {'none' if value is None else format(value, form):>16s} {unit}".rstrip()


def _about(charge: int) -> str:
    return " (about the centre of nuclear charge)" if charge else ""


def _of_levels(result: dict[str, Any]) -> list[str]:
    """What the levels say of the state that was found."""
    found = []
    if result["homo_ev"] > 0:
        found.append(f"the highest occupied level lies at {result['homo_ev']:+.3f} eV: that electron is not bound, "
                     "and only the finite basis holds it")
    if result["lumo_ev"] is not None and result["lumo_ev"] < result["homo_ev"] - AUFBAU_TOLERANCE_EV:
        found.append("an empty level lies below an occupied one of the other spin: another --spin may lie lower")
    return found
