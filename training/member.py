"""Fits one functional of a configuration to a dataset: its densities, the loss, the table of what it reaches."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from mlxc.errors import InvalidInput
from mlxc.manifest.species import Species
from mlxc.suggest import did_you_mean
from mlxc.xc.functional import Learned
from mlxc.zoo.store import untrained
from training import features, fit, loss, parallel, smoothness
from training.data import Dataset, Target
from training.device import CPU, Place
from training.log import Log
from training.optimise import optimise


def make_densities(config: Mapping, dataset: Dataset, folder: Path, settings: features.Settings) -> None:
    """Computes the records that a fit needs and that are missing; processes under torchrun share them."""
    features.build_for(config, dataset.species, folder, settings, part=(parallel.rank(), parallel.size()))
    parallel.wait()


def checkpoint_path(out: Path, config: Mapping) -> Path:
    """Where the last step of a fit lies until its model is written."""
    return Path(out) / f"{config['model']['name']}.checkpoint.npz"


def remove_checkpoints(out: Path, config: Mapping) -> None:
    """Those of the fit, or of all members of an ensemble, which have folders of their own."""
    path = checkpoint_path(out, config)
    if parallel.rank() == 0:
        for found in (path, *path.parent.glob(f"[0-9]*/{path.name}")):
            found.unlink(missing_ok=True)
    parallel.wait()


def fitted(config: Mapping, dataset: Dataset, folder: Path, settings: features.Settings,
           log: Callable[[str], object] = print, out: Path | None = None, begin: np.ndarray | None = None,
           device: torch.device = CPU) -> tuple[Learned, list[Target], str]:
    """Fits the functional of a configuration, one member where it asks for an ensemble.

    Args:
        config: as `configuration.checked` accepts it.
        dataset: what is fitted.
        folder: of the records.
        settings: theirs.
        log: receives lines of text.
        out: folder of the checkpoint and of the log's files; None for none.
        begin: parameters to begin with; the ridge pulls to the start that the seed gives all the same.
        device: where energies and slopes are computed.

    Returns:
        (functional, used, table): the targets whose species all converged, and the errors per group, kcal/mol.

    Raises:
        InvalidInput: a target without species, label or tolerance; a record that is missing or broken.
        CheckpointError: see `optimise`.
    """
    logged = Log(log, out, config["model"]["name"])
    torch.manual_seed(config["fit"]["seed"])
    model = config["model"]
    functional = untrained(model["kind"], config["exchange"], config["network"], model["name"])
    energies, wanted = prepared(config, dataset, functional, folder, settings, device)
    usable = fit.resolve(wanted, energies)
    if lost := sorted(set(dataset.species) - set(energies)):
        logged.write(f"left out, not converged: {', '.join(lost)}")
    logged.write(f"{len(energies)} species, {len(usable)} of {len(wanted)} targets, "
                 f"{sum(p.numel() for p in functional.parameters())} parameters")
    start = time.perf_counter()
    optimise(functional, energies, usable, config, logged, None if out is None else checkpoint_path(out, config), begin)
    logged.write(f"fitted in {time.perf_counter() - start:.0f} s")
    return functional, usable, _report(functional, usable, energies)


def prepared(config: Mapping, dataset: Dataset, functional: Learned, folder: Path, settings: features.Settings,
             device: torch.device = CPU) -> tuple[dict[str, fit.Energies], list[Target]]:
    """The species whose SCF converged, there where energies are computed, and all targets, with those of the groups.

    Raises:
        InvalidInput: a target without species or label; a record that is missing or broken.
    """
    species, targets = dataset
    if "curvature" in config["tolerance"]:
        targets = [*targets, *loss.curvatures(targets)]
    _check(species, targets)
    memory = 1e9 * config["fit"]["memory_gb"] if "memory_gb" in config["fit"] else fit.MEMORY
    place = Place(device, torch.float32 if config["fit"].get("mixed_precision") else torch.float64)
    found = fit.prepare(functional, species.values(), folder, config["dispersion"], settings, memory, place)
    if "grid" in config["tolerance"]:
        memory -= sum(fit.size(e.terms) for e in found.values())
        targets = [*targets, *smoothness.on_two_grids(functional, species, found, folder, config["dispersion"],
                                                      settings, memory, place)]
    return found, targets


def evaluated(config: Mapping, dataset: Dataset, functional: Learned, folder: Path, settings: features.Settings,
              device: torch.device = CPU) -> str:
    """The table of a functional that is there already."""
    energies, targets = prepared(config, dataset, functional, folder, settings, device)
    return _report(functional, fit.resolve(targets, energies), energies)


def _report(functional: Learned, targets: Sequence[Target], energies: Mapping[str, fit.Energies]) -> str:
    """Errors per group and roughness."""
    rough = ", ".join(f"{name} {value:.2f}" for name, value in smoothness.roughness(functional).items())
    errors = fit.residuals(targets, fit.energies(functional, energies))
    return f"{table(targets, errors)}\nroughness (rms second derivative in the inputs): {rough}"


def _check(species: Mapping[str, Species], targets: Sequence[Target]) -> None:
    """Every target has a label and its species."""
    for t in targets:
        if t.reference is not None and not math.isfinite(t.reference):
            raise InvalidInput(f"target {t.id} of group {t.group} has the reference {t.reference}: "
                               "correct its label in the reference files")
        for key, _ in t.terms:
            if key not in species:
                raise InvalidInput(f"target {t.id} of group {t.group} needs species {key}, which is not among the "
                                   f"{len(species)} that are given{did_you_mean(key, species)}")


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
