"""The experiment as one command; see the package."""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mlxc import zoo
from mlxc.bench.published import publish
from mlxc.bench.results import Results
from mlxc.errors import InvalidInput, MlxcError
from mlxc.manifest.species import Species
from mlxc.progress import Progress
from mlxc.workers import pool
from training import features, member
from training.checkpoint import identity
from training.experiments import transferability
from training.experiments.transferability import report, selfconsistent, stored
from training.experiments.transferability.arms import ARMS, SEEDS, Arm, config, dataset
from training.model_card import card

#: Groups of errors by (arm, seed).
Errors = dict[tuple[str, int], stored.Groups]

#: What the folder of the results keeps of the SCF, for who goes on from there.
ENERGIES = "energies.jsonl.gz"


def main():
    """Command line: fits, both ways of measuring, table and figure."""
    parser = argparse.ArgumentParser(prog="python -m training.experiments.transferability",
                                     description=transferability.__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the reference files")
    parser.add_argument("--features", type=Path, default=Path("features"), help="folder of the stored densities")
    parser.add_argument("--out", type=Path, default=Path("runs/transferability"), help="folder of the results")
    parser.add_argument("--workers", type=int, default=1, help="processes for densities, fits (4 GB each) and SCF")
    parser.add_argument("--no-scf", action="store_true", help="stored densities alone")
    args = parser.parse_args()
    try:
        _claim(args.out, args.data)
        keys = [(arm, seed) for seed in SEEDS for arm in ARMS]
        fit_all(keys, args.data, args.features, args.out, args.workers)
        models = {(arm.name, seed): model_path(arm, seed, args.out) for arm, seed in keys}
        at_stored = {(arm.name, seed): fitted(arm, seed, args.data, args.features, args.out) for arm, seed in keys}
        if not args.no_scf:
            selfconsistent.run(models, args.data, args.out / "scf", args.workers, args.out / ENERGIES)
            publish(Results(args.out / "scf"), args.out / ENERGIES)  # whole: nothing that was there before is missing
        print(written(models, at_stored, args.out))
    except MlxcError as error:
        sys.exit(f"{parser.prog}: {error}")


def _claim(out: Path, references: Path):
    """Refuses a folder with results of other configurations or data."""
    seen = [stored.tests(references), *(dataset(arm, references, lambda _: None) for arm in ARMS)]
    made_of = identity(configs=[config(arm, seed) for arm in ARMS for seed in SEEDS],
                       data=[(d.targets, d.species) for d in seen])
    if stored.kept(out / "experiment.json", lambda: {"made_of": made_of})["made_of"] != made_of:
        raise InvalidInput(f"{out} holds results of other configurations or data: choose another --out")


def densities(references: Path, folder: Path, workers: int):
    """Those of all arms and of the test that are missing.

    In two calls, for some molecules have the same name there and other geometries.
    """
    settings = features.Settings.of(config(ARMS[0], 0))
    trained: dict[str, Species] = {}
    for arm in ARMS:
        trained |= dataset(arm, references, lambda _: None).species
    for species in (trained, stored.tests(references).species):
        features.build(species, folder, settings, workers)


def fit_all(keys: list[tuple[Arm, int]], references: Path, folder: Path, out: Path, workers: int):
    """Fits the arms and seeds that are missing, each in a process, and measures them at stored densities."""
    todo = [key for key in keys if not (model_path(*key, out).exists() and stored_path(*key, out).exists())]
    if not todo:
        return
    densities(references, folder, workers)
    progress, failed = Progress([1.0] * len(todo)), []
    with pool(workers) as work:
        for (arm, seed), found in work(_fitted, todo, references, folder, out):
            progress.step(f"arm {arm.name} ({arm.label}), seed {seed}" + ", FAILED" * isinstance(found, Exception), 1.0)
            failed += [found] if isinstance(found, Exception) else []
    if failed:
        raise failed[0]


def _fitted(key: tuple[Arm, int], references: Path, folder: Path, out: Path):
    torch.set_num_threads(1)
    fitted(*key, references, folder, out)


def model_path(arm: Arm, seed: int, out: Path) -> Path:
    """Where the model of an arm and a seed lies."""
    return out / "models" / f"{config(arm, seed)['model']['name']}.toml"


def stored_path(arm: Arm, seed: int, out: Path) -> Path:
    """Where its errors at stored densities lie."""
    return out / "stored" / model_path(arm, seed, out).with_suffix(".json").name


def fitted(arm: Arm, seed: int, references: Path, folder: Path, out: Path) -> stored.Groups:
    """Errors at stored densities of an arm and a seed, fitted first where there is no model."""
    chosen, path = config(arm, seed), model_path(arm, seed, out)
    settings = features.Settings.of(chosen)
    if not path.exists():
        stored_path(arm, seed, out).unlink(missing_ok=True)
        found, lines = dataset(arm, references, lambda _: None), list[str]()
        functional, used, text = member.fitted(chosen, found, folder, settings, lines.append, out=out / "logs")
        (out / "logs" / f"{path.stem}.txt").write_text("\n".join([*lines, text, ""]), encoding="utf-8")
        zoo.save(path.parent, functional, card(chosen, functional, found, used, settings))

    def measured() -> stored.Groups:
        functional: Any = zoo.load(str(path))
        return stored.errors(functional, references, folder, functional.card["dispersion"], settings)

    return stored.kept(stored_path(arm, seed, out), measured)


def written(models: dict[tuple[str, int], Path], at_stored: Errors, out: Path) -> str:
    """The report as Markdown, which is written, with its figure."""
    at_stored = {key: stored.apart(found) for key, found in at_stored.items()}
    fixed = _by_group(at_stored)
    parts = ["# Data or constraints?", transferability.__doc__.split("\n\n", 1)[1],
             report.table("mean absolute error at stored densities (fractional charges eV, others kcal/mol)",
                          fixed).markdown(), "![errors of the arms](transferability.png)"]
    report.draw(fixed, out / "transferability.png")
    if (out / "scf").is_dir():
        own = {key: stored.apart(selfconsistent.errors(out / "scf", path.stem)) for key, path in models.items()}
        found = _by_group(own)
        report.draw(found, out / "selfconsistent.png")
        parts += [report.table("mean absolute error, self-consistent (fractional charges eV, others kcal/mol)",
                               found).markdown(), "![errors of the arms, self-consistent](selfconsistent.png)"]
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
