"""How well a configuration does on reactions of a kind that it is trained on, when they themselves are left out.

    python -m training.leave_out CONFIG --group core --data DIR --features DIR --out DIR

The targets of one group are divided into folds, and each fold is predicted by a fit to everything else. Targets that
share an ion or an open-shell molecule are in one fold, so that none of a fold's is in the training set; free atoms and
closed shells are. Ensembles are fitted as their first member alone. A fold that is finished is kept in OUT, so that the
command goes on where it was stopped. Densities are the stored ones: no SCF with the fitted functionals.
"""

import argparse
import json
import os
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mlxc.bench.sets import TRAINED_ON
from mlxc.errors import InvalidInput, MlxcError
from training import configuration, data, features, fit, member
from training.data import Dataset, Species, Target, refuse_unknown


def folds(dataset: Dataset, group: str, count: int) -> list[list[Target]]:
    """The targets of a group in folds of nearly equal size, those that share an ion or a radical together.

    Args:
        dataset: of the targets.
        group: whose targets.
        count: number of folds, from 2.

    Raises:
        InvalidInput: an unknown group, or fewer sets of related targets than folds.
    """
    refuse_unknown([group], {t.group for t in dataset.targets}, "--group", "group")
    if count < 2:
        raise InvalidInput(f"--folds {count}: expected at least 2")
    related: list[tuple[set[str], list[Target]]] = []
    for target in (t for t in dataset.targets if t.group == group):
        shared = {key.rsplit("__", 1)[0] for key, _ in target.terms if _unusual(dataset.species[key])}
        together = [target]
        for names, targets in [r for r in related if r[0] & shared]:
            related.remove((names, targets))
            shared, together = shared | names, targets + together
        related.append((shared, together))
    if len(related) < count:
        raise InvalidInput(f"--folds {count}: the targets of {group} share so many species that there are only "
                           f"{len(related)} sets of them")
    found: list[list[Target]] = [[] for _ in range(count)]
    for _, together in sorted(related, key=lambda r: -len(r[1])):
        min(found, key=len).extend(together)
    return found


def _unusual(species: Species) -> bool:
    """Whether it is a molecule with a charge or an open shell."""
    return len(species.atoms) > 1 and (species.charge != 0 or species.n_alpha != species.n_beta)


def predicted(config: Mapping, dataset: Dataset, held: list[Target], folder: Path, log=print) -> dict[str, float]:
    """Errors of targets, kcal/mol, by a functional that was fitted to all others.

    Args:
        config: of the fit.
        dataset: everything.
        held: what is left out.
        folder: of the stored densities.
        log: receives lines of text.
    """
    alone = {section: values for section, values in config.items() if section != "ensemble"}
    ids = {t.id for t in held}
    rest = dataset.only(t for t in dataset.targets if t.id not in ids)
    settings, apart = features.Settings.of(dict(config)), dataset.only(held)
    functional = member.fitted(alone, rest, folder, settings, log)[0]
    prepared = fit.prepare(functional, apart.species.values(), folder, config["dispersion"], settings)
    usable = fit.resolve(apart.targets, prepared)
    errors = fit.residuals(usable, fit.energies(functional, prepared))
    return {t.id: float(error) for t, error in zip(usable, errors, strict=True)}


def table(errors: Mapping[str, float]) -> str:
    """Mean absolute and mean signed error by subset, the part of an id before its last hyphen, and of all."""
    groups: dict[str, list[float]] = defaultdict(list)
    for id_, error in errors.items():
        groups[id_.rpartition("-")[0]].append(error)
    rows = [*sorted(groups.items()), ("all", list(errors.values()))]
    means = [np.abs(e).mean() for e in groups.values()]
    lines = [f"{name:16s} {len(e):4d} {np.abs(e).mean():8.2f} {np.mean(e):+8.2f}" for name, e in rows]
    return "\n".join([f"{'subset':16s} {'n':>4s} {'MAE':>8s} {'MSE':>8s}   (kcal/mol)", *lines,
                      f"{'mean over subsets':21s} {np.mean(means):8.2f}"])


def main():
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m training.leave_out", description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("--group", required=True, help="whose targets are left out in turn")
    parser.add_argument("--folds", type=int, default=5, help="number of fits")
    parser.add_argument("--data", type=Path, help="folder of the reference files, where the config's sources need it")
    parser.add_argument("--features", type=Path, default=Path("features"), help="folder of the stored densities")
    parser.add_argument("--out", type=Path, default=Path("runs/leave_out"), help="folder for the errors of each fold")
    parser.add_argument("--part", nargs=2, type=int, default=(0, 1), metavar=("K", "M"),
                        help="every M-th fold from the K-th, for processes that share the work")
    args = parser.parse_args()
    try:
        config = configuration.read(args.config)
        dataset = data.from_config(config, args.data)
        divided = folds(dataset, args.group, args.folds)
        member.make_densities(config, dataset, args.features, features.Settings.of(config))
        args.out.mkdir(parents=True, exist_ok=True)
        paths = [args.out / f"{config['model']['name']}-{k + 1}of{args.folds}.json" for k in range(args.folds)]
        for k in range(args.part[0], args.folds, args.part[1]):
            if not paths[k].exists():
                print(f"fold {k + 1} of {args.folds}: {len(divided[k])} targets left out", flush=True)
                _write(paths[k], predicted(config, dataset, divided[k], args.features))
        done = [json.loads(path.read_text()) for path in paths if path.exists()]
        errors = {id_: e for fold in done for id_, e in fold.items() if id_ not in TRAINED_ON}
        print(f"{len(done)} of {args.folds} folds\n{table(errors)}")
    except MlxcError as error:
        sys.exit(f"{parser.prog}: {error}")


def _write(path: Path, errors: dict[str, float]):
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(json.dumps(errors, indent=1))
    os.replace(temporary, path)


if __name__ == "__main__":
    main()
