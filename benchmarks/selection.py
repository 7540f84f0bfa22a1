"""Learning curves of `training.select` against chance.

    python benchmarks/selection.py CONFIG --data DIR --features DIR --out DIR

Of the atomisation energies of train.json a third, drawn at random, is kept apart as the test; START of the others are
labelled at first, the rest is the pool. An ensemble is fitted, a batch picked from the pool and labelled, and so on;
everything else of the configuration, atoms above all, is in every fit. Batches are picked by chance, by spread alone,
by distance alone, and by both, as `training.select` does; all from the same divisions. A curve that is finished is kept
in OUT, so that the command goes on where it was stopped; OUT/selection.png shows them.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from mlxc import files
from training import configuration, data, ensemble, features, fit, select
from training.checkpoint import identity
from training.data import Dataset, Target

#: Labels at first, labels of a batch, batches; members of the ensembles and steps of their fits; random divisions.
START, BATCH, BATCHES, MEMBERS, STEPS, DIVISIONS = 8, 8, 3, 4, 12, 3

#: What batches are picked by, and their colours.
STRATEGIES = {"chance": "#999999", "spread": "#0072b2", "distance": "#e69f00", "spread and distance": "#d55e00"}


def divided(targets: Sequence[Target], division: int) -> tuple[list[Target], list[Target], list[Target]]:
    """(labelled at first, pool, test) of a random division."""
    shuffled = [targets[i] for i in np.random.default_rng(division).permutation(len(targets))]
    test = len(targets) // 3
    return shuffled[test:test + START], shuffled[test + START:], shuffled[:test]


def batch(strategy: str, spread: dict[str, float], pool: Dataset, labelled: Dataset, division: int) -> list[str]:
    """Ids of the reactions whose labels are asked for."""
    if strategy == "chance":
        return list(np.random.default_rng([division, len(spread)]).permutation(sorted(spread))[:BATCH])
    if strategy == "spread":
        return sorted(spread, key=lambda id_: -spread[id_])[:BATCH]
    if strategy == "distance":
        spread = dict.fromkeys(spread, 1.0)
    return [p.id for p in select.pick(spread, pool, labelled.species.values(), BATCH)]


def curve(config: Mapping, everything: Dataset, strategy: str, division: int, folder: Path) -> list[tuple[int, float]]:
    """(labels, mean absolute error of the test in kcal/mol) after every batch."""
    settings, damping = features.Settings.of(dict(config)), config["dispersion"]
    rest = [t for t in everything.targets if t.group != "atomisation"]
    labelled, pool, test = divided([t for t in everything.targets if t.group == "atomisation"], division)
    functional, points = None, []
    for number in range(BATCHES + 1):
        known = everything.only([*rest, *labelled])
        functional = ensemble.fitted(config, known, folder, settings, begin=functional, log=lambda _: None)[0]
        held = everything.only(test)
        prepared = fit.prepare(functional, held.species.values(), folder, damping, settings)
        errors = fit.residuals(fit.resolve(held.targets, prepared), fit.energies(functional, prepared))
        points.append((len(labelled), float(np.abs(errors).mean())))
        if number < BATCHES:
            unknown = everything.only(pool)
            prepared = fit.prepare(functional, unknown.species.values(), folder, damping, settings)
            spread = select.spreads(functional, prepared, pool)
            chosen = set(batch(strategy, spread, unknown, known, division))
            labelled = [*labelled, *(t for t in pool if t.id in chosen)]
            pool = [t for t in pool if t.id not in chosen]
    return points


def draw(curves: list[dict], picture: Path):
    """Mean over the divisions against the number of labels, with the standard error of the mean."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    found: dict[str, list] = defaultdict(list)
    for c in curves:
        found[c["strategy"]].append(c["points"])
    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    for number, (strategy, colour) in enumerate(STRATEGIES.items()):
        if found[strategy]:
            points = np.array(found[strategy])
            labels, errors = points[0, :, 0], points[..., 1]
            scatter = errors.std(0, ddof=1) / np.sqrt(len(errors)) if len(errors) > 1 else None
            axes.errorbar(labels + 0.3 * number, errors.mean(0), scatter, color=colour, marker="o", ms=4, capsize=2,
                          label=strategy)
    axes.set(xlabel="labelled molecules", ylabel="error of molecules never picked, kcal/mol")
    axes.set_ylim(bottom=0)
    figure.legend(loc="outside right upper", frameon=False, title="picked by")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(picture, dpi=200)


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    config = configuration.read(args.config)
    config = config | {"fit": config["fit"] | {"steps": STEPS}, "ensemble": {"members": MEMBERS}}
    everything = data.from_config(config, args.data)
    features.build_for(config, everything.species, args.features, features.Settings.of(config))
    args.out.mkdir(parents=True, exist_ok=True)
    mark = identity(config=config, targets=everything.targets, species=everything.species)[:8]
    path = args.out / f"curves-{mark}.json"
    curves = json.loads(path.read_text()) if path.exists() else []
    done = {(c["strategy"], c["division"]) for c in curves}
    for division in range(DIVISIONS):
        for strategy in STRATEGIES:
            if (strategy, division) in done:
                continue
            points = curve(config, everything, strategy, division, args.features)
            curves.append({"strategy": strategy, "division": division, "points": points})
            files.write(path, json.dumps(curves))
            print(strategy, division, "  ".join(f"{n}: {error:.2f}" for n, error in points), flush=True)
    draw(curves, args.out / "selection.png")


if __name__ == "__main__":
    main()
