"""The experiment as one command; see the package."""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mlxc import zoo
from mlxc.errors import InvalidInput, MlxcError
from training import features, member
from training.checkpoint import identity
from training.experiments import transferability
from training.experiments.transferability import report, selfconsistent, stored
from training.experiments.transferability.arms import ARMS, SEEDS, Arm, config, dataset
from training.model_card import card

#: Errors by (arm, seed), group and entry.
Errors = dict[tuple[str, int], dict[str, dict[str, float]]]


def main():
    """Command line: fits, both ways of measuring, table and figure."""
    parser = argparse.ArgumentParser(prog="python -m training.experiments.transferability",
                                     description=transferability.__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the reference files")
    parser.add_argument("--features", type=Path, default=Path("features"), help="folder of the stored densities")
    parser.add_argument("--out", type=Path, default=Path("runs/transferability"), help="folder of the results")
    parser.add_argument("--workers", type=int, default=1, help="processes for densities and SCF")
    parser.add_argument("--no-scf", action="store_true", help="stored densities alone")
    args = parser.parse_args()
    try:
        _claim(args.out, args.data)
        densities(args.data, args.features, args.workers)
        models = {(arm.name, seed): fitted(arm, seed, args.data, args.features, args.out)
                  for seed in SEEDS for arm in ARMS}
        at_stored = {key: stored.kept(args.out / "stored" / f"{path.stem}.json", lambda key=key, path=path: measured(
            key, path, args.data, args.features)) for key, path in models.items()}
        if not args.no_scf:
            selfconsistent.run(models, args.data, args.out / "scf", args.workers)
        print(written(models, at_stored, args.out))
    except MlxcError as error:
        sys.exit(f"{parser.prog}: {error}")


def _claim(out: Path, references: Path):
    """Refuses a folder with results of other configurations or data."""
    made_of = identity(configs=[config(arm, seed) for arm in ARMS for seed in SEEDS],
                       data=[dataset(arm, references, lambda _: None).targets for arm in ARMS])
    if stored.kept(out / "experiment.json", lambda: {"made_of": made_of})["made_of"] != made_of:
        raise InvalidInput(f"{out} holds results of other configurations or data: choose another --out")


def densities(references: Path, folder: Path, workers: int):
    """Those of all arms and of the test that are missing."""
    species = dict(stored.tests(references).species)
    for arm in ARMS:
        species |= dataset(arm, references, lambda _: None).species
    features.build(species, folder, features.Settings.of(config(ARMS[0], 0)), workers)


def fitted(arm: Arm, seed: int, references: Path, folder: Path, out: Path) -> Path:
    """The model file of an arm and a seed, fitted first where there is none."""
    chosen = config(arm, seed)
    path = out / "models" / f"{chosen['model']['name']}.toml"
    if path.exists():
        return path
    print(f"arm {arm.name} ({arm.label}), seed {seed}", flush=True)
    torch.set_num_threads(1)
    settings, found = features.Settings.of(chosen), dataset(arm, references)
    functional, used, text = member.fitted(chosen, found, folder, settings, out=out / "logs")
    print(text, flush=True)
    return zoo.save(path.parent, functional, card(chosen, functional, found, used, settings.xc))


def measured(key: tuple[str, int], path: Path, references: Path, folder: Path) -> dict[str, dict[str, float]]:
    """Errors at stored densities."""
    functional: Any = zoo.load(str(path))
    settings = features.Settings.of(config(ARMS[0], key[1]))
    return stored.errors(functional, references, folder, functional.card["dispersion"], settings)


def written(models: dict[tuple[str, int], Path], at_stored: dict[tuple[str, int], dict], out: Path) -> str:
    """The report as Markdown, which is written, with its figure."""
    fixed = _by_group(at_stored)
    parts = ["# Data or constraints?", transferability.__doc__.split("\n\n", 1)[1],
             report.table("mean absolute error at stored densities (fractional charges eV, others kcal/mol)",
                          fixed).markdown(), "![errors of the arms](transferability.png)"]
    report.draw(fixed, stored.GROUPS, out / "transferability.png")
    if (out / "scf").is_dir():
        own = {key: selfconsistent.errors(out / "scf", path.stem) for key, path in models.items()}
        parts.append(report.table("mean absolute error, self-consistent (fractional charges eV, others kcal/mol)",
                                  _by_group(own)).markdown())
        parts.append(report.table("self-consistent minus stored, mean absolute difference (in the same units)",
                                  _by_group(_differences(own, at_stored))).markdown())
        lost = {key: selfconsistent.failures(out / "scf", path.stem) for key, path in models.items()}
        parts.append("Species that did not converge: " + ", ".join(
            f"{name}{seed} {bad} of {count}" for (name, seed), (bad, count) in sorted(lost.items())) + ".")
    text = "\n\n".join(parts) + "\n"
    (out / "report.md").write_text(text, encoding="utf-8")
    return text


def _by_group(found: Errors) -> dict[str, dict[str, list[float]]]:
    """Mean absolute errors by group and arm, one per seed, over the entries that all models with the group have."""
    groups: dict[str, dict[str, list[float]]] = {}
    for group in dict.fromkeys(group for errors in found.values() for group in errors):
        having = {key: errors[group] for key, errors in sorted(found.items()) if group in errors}
        common = set.intersection(*(set(errors) for errors in having.values()))
        for (arm, _), errors in having.items():
            if common:
                mean = float(np.mean([abs(errors[id_]) for id_ in common]))
                groups.setdefault(group, {}).setdefault(arm, []).append(mean)
    return groups


def _differences(own: Errors, fixed: Errors) -> Errors:
    """Self-consistent minus stored of what was measured both ways."""
    found: Errors = {}
    for key, groups in own.items():
        for group, errors in groups.items():
            other = fixed[key].get(group, {})
            if both := {id_: e - other[id_] for id_, e in errors.items() if id_ in other}:
                found.setdefault(key, {})[group] = both
    return found


if __name__ == "__main__":
    main()
