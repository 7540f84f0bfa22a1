"""Makes the spread of an ensemble honest: `python -m training.calibrate MODEL.toml --data DIR --features DIR`.

Members that differ by their seeds agree more with each other than with the truth. For the reactions of
`data/selection.json` but for those that the model was fitted to, as its card says, errors r and spreads σ are taken at
stored densities, and the card gets the factor

    scale = 68.3 % quantile of |r|/σ

by which `mlxc.Uncertainty.std` multiplies σ, so that two thirds of these errors lie within it; with the rank
correlation of σ and |r|, which no factor changes, and the part of the errors below 2σ.
"""

import argparse
import json
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from mlxc import zoo
from mlxc.errors import InvalidInput, MlxcError
from training import ensemble, features, fit, select
from training.data import PROJECT, Dataset, Target
from training.sources import reference

#: The reactions, and the reference file that holds them.
SELECTION, REACTIONS = PROJECT / "data" / "selection.json", "benchmark.json"

#: The part of normally distributed errors that lies within σ.
WITHIN = 0.683


def reactions(folder: Path, fitted: Collection[str] = ()) -> Dataset:
    """The reactions of the selection list, but for those of which every molecule was fitted.

    Args:
        folder: of the reference files.
        fitted: their names.

    Raises:
        InvalidInput: the folder has no such file.
    """
    if not (folder / REACTIONS).is_file():
        raise InvalidInput(f"no reference file {folder / REACTIONS}: give the folder that holds it with --data")
    ids = json.loads(SELECTION.read_text())["benchmark"]
    return reference.reactions(folder / REACTIONS, [i for i in ids if i not in fitted])


def calibration(members: Sequence[Mapping[str, float]], targets: Sequence[Target]) -> dict[str, float]:
    """The card's section [uncertainty].

    Args:
        members: total energies by each member of an ensemble, Ha.
        targets: reactions with references; those count of which all species have an energy.

    Returns:
        ``scale``, ``reactions`` (how many), ``rank_correlation``, ``below_two_sigma`` (after scaling).
    """
    usable = [t for t in targets if all(key in members[0] for key, _ in t.terms)]
    errors = np.array([fit.residuals(usable, energies) for energies in members])
    return scaled(np.abs(errors.mean(0)), errors.std(0, ddof=1))


def scaled(errors: np.ndarray, sigma: np.ndarray) -> dict[str, float]:
    """What `calibration` returns, from |r| and σ of the reactions, (n,) each."""
    scale = float(np.quantile(errors / sigma, WITHIN))
    return {"scale": round(scale, 2), "reactions": len(errors),
            "rank_correlation": round(float(spearmanr(sigma, errors).statistic), 2),
            "below_two_sigma": round(float(np.mean(errors < 2 * scale * sigma)), 2)}


def main():
    """Command line: the factor, and the model file with it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="path of the model's card, an ensemble")
    parser.add_argument("--config", type=Path, help="whose densities to take, if not those that the card names")
    parser.add_argument("--data", type=Path, required=True, help="folder of the reference files")
    parser.add_argument("--features", type=Path, default=Path("features"), help="folder of the stored densities")
    args = parser.parse_args()
    try:
        functional: Any = zoo.load(str(args.model))
        leakage = functional.card.get("training", {}).get("leakage", {})
        dataset = reactions(args.data, leakage.get("trained_reactions", ()))
        select.require_members(functional)
        settings = features.Settings.read(args.config, functional.card)
        features.build(dataset.species, args.features, settings)
        prepared = fit.prepare(functional, dataset.species.values(), args.features, functional.card["dispersion"],
                               settings)
        found = calibration(ensemble.energies(functional, prepared), dataset.targets)
        print(", ".join(f"{key} {value}" for key, value in found.items()))
        print("written:", zoo.rewrite(args.model, {"uncertainty": found}))
    except MlxcError as error:
        sys.exit(f"{parser.prog}: {error}")


if __name__ == "__main__":
    main()
