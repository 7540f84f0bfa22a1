"""Self-consistent refinement: `python -m training.refine CONFIG MODEL --data DIR --features DIR --out DIR`.

A self-consistent energy is stationary in the density, so that with D = D_SCF[θ]

    dE_SCF[θ]/dθ = ∂E[D; θ]/∂θ

and a fit on stored densities is, to first order, one of self-consistent energies when the densities are the
functional's own. A round makes those, measures the errors with them, and fits again from where it is, until the errors
stop improving. A calculation that does not converge counts against a functional like an error of `FAILURE` tolerances
in every target that needs it. Several processes share all of it under `torchrun --nproc-per-node 2 -m
training.refine …`.
"""

import argparse
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mlxc import zoo
from mlxc.errors import MlxcError
from mlxc.xc.functional import Learned
from training import configuration, data, ensemble, features, fit, loss, member, parallel
from training.data import Dataset
from training.device import CPU, add_option, chosen
from training.model_card import card
from training.record import OWN

#: Error of a target one of whose species does not converge, in units of its tolerance.
FAILURE = 10.0

#: The SCF of its densities is looser than elsewhere. The energies are of the finer grid and stationary, so that this
#: changes them by 0.02 to 0.09 kcal/mol (N, N⁺, H₂CO with 15.5 electrons, ClNO) and saves more than half of the time.
LOOSE: dict[str, Any] = {"conv_tol": 1e-6, "local_grid": 0}

#: Relative improvement that is worth another round.
WORTH = 0.01


@dataclass(frozen=True)
class Measured:
    """Errors of a functional with its own densities.

    Attributes:
        merit: mean of min(|error|/σ, FAILURE) over the targets; lower is better.
        failures: species that did not converge or could not be computed.
        table: errors per group.
    """

    merit: float
    failures: list[str]
    table: str


def refine(config: Mapping[str, Any], dataset: Dataset, model: Path, folder: Path, out: Path, rounds: int = 3,
           workers: int = 1, device: torch.device = CPU, log=print) -> Path:
    """The model with the lowest errors self-consistently: the given one, or that of a round.

    Args:
        config: that it was fitted with.
        dataset: what it was fitted to.
        model: card of the functional to begin with; of an ensemble only the mean is self-consistent, and all members
            are fitted.
        folder: of the records.
        out: folder of each round's model and checkpoint.
        rounds: fits, at most; nothing is repeated when the command is run again.
        workers: as `features.build`, of each process.
        device: where energies and slopes of stored densities are computed.
        log: receives lines of text.
    """
    best, lowest = model, np.inf
    say = log if parallel.rank() == 0 else lambda _: None
    for number in range(rounds + 1):
        functional: Any = zoo.load(str(model))
        settings, failed = own_densities(config, dataset, model, folder, workers)
        found = measured(config, dataset, functional, folder, settings, device, failed)
        say("\n".join([f"round {number}: merit {found.merit:.4f}, not converged: {', '.join(found.failures) or 'none'}",
                       *(f"{key}: {why}" for key, why in failed.items()), found.table]))
        if found.merit > lowest * (1 - WORTH):
            say("no better: the round before is kept" if found.merit >= lowest else "hardly better: the last round")
            return model if found.merit < lowest else best
        best, lowest = model, found.merit
        if number < rounds:
            place = out / f"round{number + 1}"
            fitted, used, _ = ensemble.fitted(config, without(dataset, failed), folder, settings, place, functional,
                                              device, say)
            told = card(config, fitted, dataset, used, replace(settings, xc=OWN))
            model = parallel.gathered(zoo.save(place, fitted, told) if parallel.rank() == 0 else None)[0]
    return best


def own_densities(config: Mapping[str, Any], dataset: Dataset, model: Path, folder: Path,
                  workers: int = 1) -> tuple[features.Settings, dict[str, str]]:
    """Makes what is missing of a model's own densities; their settings, and what could not be computed, with why.

    Raises:
        SomeFailed: nothing could be computed.
    """
    settings = own_settings(config, model)
    reasons: dict[str, str] = {}
    try:
        features.build_for(dict(config), dataset.species, folder, settings, workers=workers,
                           part=(parallel.rank(), parallel.size()))
    except features.SomeFailed as error:
        reasons = error.reasons
    failed = {key: why for found in parallel.gathered(reasons) for key, why in found.items()}
    if failed and dataset.species.keys() <= failed.keys():
        raise features.SomeFailed(failed, len(dataset.species))
    return settings, failed


def own_settings(config: Mapping[str, Any], model: Path) -> features.Settings:
    """Those of the densities that a round makes with its model."""
    return replace(features.Settings.of(dict(config)), xc=str(model), **LOOSE)


def without(dataset: Dataset, failed: Collection[str]) -> Dataset:
    """The targets that need none of some species."""
    return dataset.only(t for t in dataset.targets if not any(key in failed for key, _ in t.terms))


def measured(config: Mapping[str, Any], dataset: Dataset, functional: Learned, folder: Path,
             settings: features.Settings, device: torch.device = CPU, failed: Collection[str] = ()) -> Measured:
    """Errors of a functional's energies on densities that were made with it, which some species may not have."""
    there = without(dataset, failed)
    prepared, targets = member.prepared(config, there, functional, folder, settings, device)
    usable = fit.resolve(targets, prepared)
    errors = fit.residuals(usable, fit.energies(functional, prepared))
    scaled = np.minimum(np.abs(errors) / loss.scale(usable, config).tolerance, FAILURE)
    lost = len(targets) - len(usable) + len(dataset.targets) - len(there.targets)
    merit = (scaled.sum() + FAILURE * lost) / (len(usable) + lost)
    return Measured(float(merit), sorted({*failed, *there.species} - set(prepared)), member.table(usable, errors))


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("model", type=Path, help="card of the functional to begin with")
    parser.add_argument("--data", type=Path, help="folder of the reference files, where the config's sources need it")
    parser.add_argument("--features", type=Path, default=Path("features"), help="folder of the stored densities")
    parser.add_argument("--out", type=Path, default=Path("runs/refined"), help="folder of models and logs")
    parser.add_argument("--rounds", type=int, default=3, help="fits, at most")
    parser.add_argument("--workers", type=int, default=1, help="processes that make densities")
    add_option(parser)
    args = parser.parse_args()
    try:
        device = chosen(args.device)
        config = configuration.read(args.config)
        dataset = data.from_config(config, args.data)
        with parallel.processes():
            best = refine(config, dataset, args.model, args.features, args.out, args.rounds, args.workers, device)
            if parallel.rank() == 0:
                print("written:", zoo.rewrite(best, {}, args.out))
    except MlxcError as error:
        sys.exit(f"{parser.prog}: {error}")


if __name__ == "__main__":
    main()
