"""Fits the damping of D4 to interaction energies: `python -m training.fit_dispersion MODEL.toml --data --features`.

    E_D4 = −Σ_AB [ C6/(r⁶ + R⁶) + s8 C8/(r⁸ + R⁸) ] + E_ATM(a1, a2),     R = a1 √(C8/C6) + a2

(E. Caldeweyher et al., doi:10.1063/1.5090222), s6 = s9 = 1. Minimised over s8, a1 and a2 is

    Σ_t ρ((E_t + D_t − reference_t) / σ_t),      ρ(x) = 2 (√(1 + x²) − 1),

E_t the interaction energy of the functional without dispersion on stored densities, D_t that of D4, and σ_t 0.1
kcal/mol plus 5 % of the reference. The loss grows linearly beyond σ_t, so that hydrogen bonds which the functional
itself has wrong do not bend the dispersion. The energies are those of S22, S66 and RG18 whose species have at most
eight atoms other than hydrogen, in def2-TZVPD, without counterpoise correction; the command computes densities that
are missing, and can be interrupted.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from mlxc import zoo
from mlxc.errors import MlxcError
from mlxc.manifest.species import Species
from mlxc.units import KCAL
from mlxc.xc.functional import Learned
from mlxc.zoo.card import read_card
from training import features, fit
from training.data import Target
from training.dispersion import D4, NO_DISPERSION
from training.sources import reference

#: Largest number of atoms other than hydrogen in a species.
HEAVY_ATOMS = 8

#: The fitted parameters with their bounds (a2 in bohr); beyond them, damping is no damping or all there is.
BOUNDS = {"s8": (0.0, 5.0), "a1": (0.0, 1.0), "a2": (1.0, 8.0)}

#: Two-body dipole–dipole and three-body terms keep their theoretical strength.
FIXED = {"s6": 1.0, "s9": 1.0}

#: The fit begins at each of these (s8, a1, a2) and keeps the best end: damping from weak to strong.
STARTS = ((0.5, 0.3, 4.5), (1.5, 0.5, 3.5), (0.1, 0.4, 6.0))

#: σ_t: this, in kcal/mol, and this part of the reference.
TOLERANCE, RELATIVE_TOLERANCE = 0.1, 0.05

Damping = dict[str, float]


@dataclass(frozen=True)
class Interactions:
    """Interaction energies as a function of D4's damping.

    Attributes:
        targets: the members; ``group`` names the set.
        bare: (n,) errors without dispersion, kcal/mol.
        dispersion: D4's part of the interaction energies by damping, (n,), kcal/mol.
    """

    targets: Sequence[Target]
    bare: np.ndarray
    dispersion: Callable[[Damping], np.ndarray] = field(repr=False)

    def errors(self, damping: Damping | None) -> np.ndarray:
        """Errors with D4 (None: without), kcal/mol."""
        return self.bare if damping is None else self.bare + self.dispersion(damping)

    @property
    def tolerances(self) -> np.ndarray:
        """σ_t, kcal/mol."""
        return TOLERANCE + RELATIVE_TOLERANCE * np.abs(self.references)

    @property
    def references(self) -> np.ndarray:
        """(n,) kcal/mol."""
        return KCAL * np.array([t.reference for t in self.targets], float)

    def sets(self) -> dict[str, np.ndarray]:
        """Which members each set has, as a mask."""
        groups = np.array([t.group for t in self.targets])
        return {name: groups == name for name in dict.fromkeys(groups.tolist())}


def interactions(targets: Sequence[Target], energies: dict[str, float], d4: D4) -> Interactions:
    """The members whose species all have an energy.

    Args:
        targets: interaction energies.
        energies: total energies without dispersion by species key, Ha.
        d4: of the same species.
    """
    usable = [t for t in targets if all(key in energies for key, _ in t.terms)]

    def dispersion(damping: Damping) -> np.ndarray:
        found = d4.energies(damping)
        return np.array([KCAL * sum(c * found[key] for key, c in t.terms) for t in usable])

    return Interactions(usable, fit.residuals(usable, energies), dispersion)


def energies_without_dispersion(functional: Learned, species: Sequence[Species], folder: Path,
                                settings: features.Settings = features.STANDARD) -> dict[str, float]:
    """Total energies of the converged species at their stored densities, Ha; one record in memory at a time."""
    found: dict[str, float] = {}
    for s in species:
        found |= fit.energies(functional, fit.prepare(functional, [s], folder, NO_DISPERSION, settings))
    return found


def fit_damping(data: Interactions, chosen: np.ndarray | None = None) -> Damping:
    """The damping parameters that minimise the loss of the module's docstring.

    Args:
        data: the interaction energies.
        chosen: (n,) mask of the members that count, all where None.
    """
    weights = (np.ones(len(data.targets)) if chosen is None else chosen) / data.tolerances
    low, high = np.array(list(BOUNDS.values())).T

    def residuals(x) -> np.ndarray:
        return weights * data.errors(_damping(x))

    ends = [least_squares(residuals, start, bounds=(low, high), loss="soft_l1", x_scale=high - low, diff_step=1e-4)
            for start in STARTS]
    return _damping(min(ends, key=lambda end: end.cost).x)


def leave_one_set_out(data: Interactions) -> np.ndarray:
    """(n,) errors of every set with the damping fitted to the other sets, kcal/mol."""
    errors = np.empty(len(data.targets))
    for mask in data.sets().values():
        errors[mask] = data.errors(fit_damping(data, ~mask))[mask]
    return errors


def at_bounds(damping: Damping) -> list[str]:
    """Parameters that ended at a bound: the data do not determine them."""
    return [key for key, (low, high) in BOUNDS.items()
            if min(damping[key] - low, high - damping[key]) < 1e-3 * (high - low)]


def table(data: Interactions, columns: dict[str, np.ndarray]) -> str:
    """Mean absolute (mean signed) error of every set per column, and the worst member of the last column, kcal/mol."""
    lines = [f"{'set':6s} {'n':>3s}" + "".join(f"{name:>16s}" for name in columns) + "   worst"]
    rows = data.sets() | {"all": np.ones(len(data.targets), bool)}
    last = list(columns.values())[-1]
    for name, mask in rows.items():
        shown = "".join(f"{np.mean(np.abs(e[mask])):8.2f} ({np.mean(e[mask]):+5.2f})" for e in columns.values())
        worst = int(np.argmax(np.where(mask, np.abs(last), -1)))
        lines.append(f"{name:6s} {mask.sum():3d}{shown}   {last[worst]:+.2f} {data.targets[worst].id}")
    return "\n".join(lines)


def list_members(data: Interactions, columns: dict[str, np.ndarray]) -> str:
    """The error of every member per column, kcal/mol."""
    lines = [f"{'member':10s}{'reference':>11s}" + "".join(f"{name:>12s}" for name in columns)]
    for i, t in enumerate(data.targets):
        errors = "".join(f"{e[i]:+12.2f}" for e in columns.values())
        lines.append(f"{t.id:10s}{data.references[i]:11.2f}{errors}")
    return "\n".join(lines)


def rewrite_card(path: Path, damping: Damping, note: str, folder: Path | None = None) -> Path:
    """Writes a model file again with other D4 parameters.

    Figures of the benchmark and the factor of the spread, which include the dispersion, are left out: they held for the
    old parameters, and `training.calibrate` comes next.

    Args:
        path: the model's card.
        damping: s6, s8, s9, a1, a2.
        note: how they were found; replaces what the card's summary of the training says of D4.
        folder: where to; beside the card, which is then replaced, if None.

    Returns:
        Path of the card that was written.
    """
    training = read_card(path)["training"]
    clauses = [c for c in training.get("summary", "").split("; ") if c and not c.startswith("D4 ")]
    changes = {"dispersion": damping, "training": training | {"summary": "; ".join([*clauses, note])}}
    return zoo.rewrite(path, changes | {"benchmark": {}, "uncertainty": {}}, folder)


def _damping(x) -> Damping:
    return FIXED | {key: float(value) for key, value in zip(BOUNDS, x, strict=True)}


def main():
    """Command line: the fit, its table, the model file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="path of the model's card")
    parser.add_argument("--config", type=Path, help="whose densities to take, if not those that the card names")
    parser.add_argument("--data", type=Path, required=True, help="folder of the reference files")
    parser.add_argument("--features", type=Path, default=Path("features"), help="folder of the stored densities")
    parser.add_argument("--workers", type=int, default=1, help="processes that compute densities")
    parser.add_argument("--out", type=Path, help="folder for the model file; without it, the model is replaced")
    parser.add_argument("--dry-run", action="store_true", help="print the tables, write nothing")
    args = parser.parse_args()
    try:
        functional: Any = zoo.load(str(args.model))
        settings = features.Settings.read(args.config, functional.card)
        species, targets = reference.complexes(args.data, HEAVY_ATOMS)
        features.build(species, args.features, settings, workers=args.workers)
        energies = energies_without_dispersion(functional, list(species.values()), args.features, settings)
        if lost := sorted(set(species) - set(energies)):
            print(f"left out, not converged: {', '.join(lost)}")
        data = interactions(targets, energies, D4(species[key] for key in energies))
        damping, note = run(functional.card["dispersion"], data)
        if not args.dry_run:
            print("written:", rewrite_card(args.model, damping, note, args.out))
    except MlxcError as error:
        sys.exit(f"{parser.prog}: {error}")


def run(before: Damping, data: Interactions) -> tuple[Damping, str]:
    """Fits, and prints parameters and tables.

    Args:
        before: the parameters so far, a column of the tables; empty for none.
        data: the interaction energies.

    Returns:
        The damping, and how it was found in a clause for the card.
    """
    found = {key: round(value, 4) for key, value in fit_damping(data).items()}
    columns = {"without D4": data.errors(None)}
    if before:
        columns["card"] = data.errors({"s9": 1.0} | before)
    columns["fitted"] = data.errors(found)
    if len(data.sets()) > 1:
        columns["left out"] = leave_one_set_out(data)
    print(", ".join(f"{key} = {value:g}" for key, value in found.items()))
    if ends := at_bounds(found):
        print(f"at a bound, not determined by the data: {', '.join(ends)}")
    print(table(data, columns), list_members(data, columns), sep="\n\n")
    counts = ", ".join(f"{mask.sum()} of {name}" for name, mask in data.sets().items())
    error = np.mean(np.abs(columns["fitted"]))
    return found, (f"D4 damping fitted to {len(data.targets)} interaction energies ({counts}), mean absolute error "
                   f"{error:.2f} kcal/mol")


if __name__ == "__main__":
    main()
