"""Trains a functional from a configuration: `python -m training.train CONFIG --data DIR --features DIR --out DIR`."""

import argparse
import hashlib
import json
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from mlxc import zoo
from mlxc.xc.constraints import CLAIMS
from mlxc.xc.functional import Learned
from mlxc.zoo.store import KINDS
from training import data, features, fit, noncovalent
from training.data import Species, Target

#: The grid that must give the same energy.
COARSE = replace(features.STANDARD, grid=1)


def main():
    """Command line: features that are missing, the fit, its table, the model file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder of the reference files")
    parser.add_argument("--features", type=Path, default=Path("features"), help="folder of the stored densities")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder for the model file")
    args = parser.parse_args()
    config = tomllib.loads(args.config.read_text())
    species, targets = training_set(config, args.data)
    features.build(species, args.features)
    if "grid" in config["tolerance"]:
        features.build(small(species), args.features, COARSE)
    functional, used, table = train(config, species, targets, args.features)
    print(table)
    print("written:", zoo.save(args.out, functional, card(config, functional, species, used)))


def training_set(config: dict, folder: Path) -> tuple[dict[str, Species], list[Target]]:
    """The species and targets of a configuration: those with a tolerance for noncovalent take part with complexes too.

    Args:
        config: the configuration; ``fit.complexes`` is the largest number of heavy atoms of a complex.
        folder: of the reference files.
    """
    species, targets = data.training_set(folder)
    if "noncovalent" in config["tolerance"]:
        complexes, interactions = noncovalent.members(folder, config["fit"]["complexes"])
        species = complexes | species
        targets += [replace(t, group="noncovalent") for t in interactions]
    return species, targets


def train(config: dict, species: dict[str, Species], targets: Sequence[Target], folder: Path,
          log=print) -> tuple[Learned, list[Target], str]:
    """Fits the functional of a configuration.

    Returns:
        (functional, used, table): the targets whose species all converged, and the errors per group, kcal/mol.
    """
    torch.manual_seed(config["fit"]["seed"])
    functional = KINDS[config["model"]["kind"]](config["exchange"], config["network"], config["model"]["name"])
    prepared = fit.prepare(functional, list(species.values()), folder, config["dispersion"])
    if "grid" in config["tolerance"]:
        targets = [*targets, *_on_two_grids(functional, small(species), prepared, folder, config)]
    usable = fit.resolve(targets, prepared)
    if lost := sorted(set(species) - set(prepared)):
        log(f"left out, not converged: {', '.join(lost)}")
    log(f"{len(prepared)} species, {len(usable)} of {len(targets)} targets, "
        f"{sum(p.numel() for p in functional.parameters())} parameters")
    start = time.perf_counter()
    fit.gauss_newton(functional, prepared, usable, tolerances(usable, config["tolerance"]),
                     config["fit"]["ridge"], config["fit"]["steps"], log)
    log(f"fitted in {time.perf_counter() - start:.0f} s")
    return functional, usable, table(usable, fit.residuals(usable, fit.energies(functional, prepared)))


def small(species: dict[str, Species]) -> dict[str, Species]:
    """Atoms and diatomics with whole electrons, of which the energy on a coarse grid counts too."""
    return {key: s for key, s in species.items()
            if len(s.atoms) <= 2 and s.electrons > 1 and float(s.n_alpha).is_integer() and float(s.n_beta).is_integer()}


def _on_two_grids(functional: Learned, species: dict[str, Species], prepared: dict[str, fit.Energies], folder: Path,
                  config: dict) -> list[Target]:
    """Targets E(coarse grid) − E(grid) = 0: what a coarse grid cannot integrate is too rough for forces."""
    found = fit.prepare(functional, list(species.values()), folder, config["dispersion"], COARSE)
    prepared |= {f"{key} coarse": replace(e, constant=prepared[key].constant) for key, e in found.items()}
    return [Target(f"grid({key})", "grid", ((f"{key} coarse", 1), (key, -1)), 0.0) for key in found if key in prepared]


def tolerances(targets: Sequence[Target], groups: dict[str, float]) -> np.ndarray:
    """σ of each target in kcal/mol: its group's, widened where the form or the basis cannot do better."""
    return np.array([groups[t.group] * _widening(t) for t in targets])


def _widening(target: Target) -> float:
    """Basis sets miss core energy in proportion to it; no semilocal exchange holds a stretched H₂⁺ together."""
    if target.group == "total":
        return max(1.0, abs(target.reference or 0.0) / 100)
    if target.group == "one_electron" and target.id.startswith("H2+_"):
        distance = float(target.id.split("_")[1])
        return 1.0 if distance <= 1 else 3 * distance**2
    return 5.0 if target.id.startswith("H3_2+") else 1.0


def table(targets: Sequence[Target], errors: np.ndarray) -> str:
    """Mean absolute, mean signed and worst error per group, as text."""
    groups = defaultdict(list)
    for target, error in zip(targets, errors, strict=True):
        groups[target.group].append((abs(error), error, target.id))
    lines = [f"{'group':16s} {'n':>4s} {'MAE':>8s} {'MSE':>8s}   worst (kcal/mol)"]
    for name, found in groups.items():
        absolute, signed = np.mean([x[0] for x in found]), np.mean([x[1] for x in found])
        _, worst, id_ = max(found)
        lines.append(f"{name:16s} {len(found):4d} {absolute:8.2f} {signed:+8.2f}   {worst:+.2f} {id_}")
    return "\n".join(lines)


def card(config: dict, functional: Learned, species: dict[str, Species], used: Sequence[Target]) -> dict:
    """The model card's fields, all but the weights.

    Args:
        config: the configuration.
        functional: the fitted one.
        species: by key.
        used: the targets that were fitted.
    """
    fitted = {key: species[key] for t in used for key, _ in t.terms if key in species}  # on a coarse grid: the same
    content = json.dumps([[asdict(s) for s in fitted.values()], [asdict(t) for t in used]], sort_keys=True)
    counts = ", ".join(f"{n} {group}" for group, n in Counter(t.group for t in used).items())
    whole = [s for s in fitted.values() if float(s.charge).is_integer()]
    model = {key: config["model"][key] for key in ("name", "version", "description", "kind")}
    exact = {key: getattr(functional, key) for key in ("omega", "sr_fraction", "lr_fraction")}
    return model | {
        "claims": CLAIMS[model["kind"]],
        "exchange": config["exchange"] | exact,
        "network": config["network"],
        "dispersion": config["dispersion"],
        "domain": {
            "elements": sorted({a[0] for s in whole for a in s.atoms}, key=lambda e: data.nuclear_charge(e)),
            "charges": sorted({round(s.charge) for s in whole if s.electrons > 1}),
            "spins": sorted({round(s.n_alpha - s.n_beta) for s in whole}),
        },
        "grid": {"level": 2, "advice": "level 2 or finer"},
        "training": {
            "data_hash": hashlib.sha256(content.encode()).hexdigest(),
            "date": time.strftime("%Y-%m-%d"),
            "summary": f"{len(used)} targets ({counts}) of {len(fitted)} species; densities of "
                       f"{features.Settings().xc}; {config['model']['data']}",
            "tolerance_kcal": config["tolerance"],
            "fit": config["fit"],
        },
    }


if __name__ == "__main__":
    main()
