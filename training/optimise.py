"""A whole fit: its stages, the optimiser that the config names, checkpoints, and what is told of each step."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlxc.xc.functional import Learned
from training import adam, checkpoint, fit, gauss_newton, loss, parallel
from training.data import Target
from training.log import Log
from training.objective import Objective, Step, theta

#: Parameters that the first stage of ``linear = true`` fits: the form linear in the networks' inputs.
LINEAR = ".linear."


def optimise(functional: Learned, prepared: Mapping[str, fit.Energies], targets: Sequence[Target],
             config: Mapping[str, Any], log: Log, path: Path | None = None, begin: np.ndarray | None = None) -> float:
    """Fits the parameters in place, from the checkpoint where there is one.

    With ``linear`` in [fit], a first stage fits the linear part alone; what it finds is θ_0 of the second.

    Args:
        functional: has the parameters θ_0.
        prepared, targets: as in `Objective`.
        config: its sections [fit], [tolerance], [weight] and [penalty] are used.
        log: is told of every step.
        path: of the checkpoint; None for none.
        begin: parameters to begin the last stage with in place of θ_0, which the ridge pulls to all the same.

    Returns:
        The loss at the end.

    Raises:
        CheckpointError: the checkpoint cannot be written, or belongs to another fit.
    """
    settings, scale = config["fit"], loss.scale(targets, config)
    mark = checkpoint.identity(config=config, targets=targets, theta=theta(functional).tolist(),
                               begin=None if begin is None else begin.tolist(),
                               constants={key: e.constant for key, e in prepared.items()})
    saved = None if path is None else checkpoint.load(path, mark)
    log.begin({} if saved is None else {"linear": settings["steps"], saved["stage"]: saved["step"]})
    if saved is not None:
        log.write(f"goes on after step {saved['step']}, from {path}")
    found = np.nan
    for stage in ("linear", "fit") if settings.get("linear") else ("fit",):
        if saved is not None and (stage, saved["stage"]) == ("linear", "fit"):
            continue
        _free(functional, only_linear=stage == "linear")
        centre, fields = theta(functional), {}
        if saved is not None and stage == saved["stage"]:
            fields = {name: value for name, value in saved.items() if name not in ("stage", "centre")}
            centre = saved["centre"]
        elif stage == "fit" and begin is not None:
            fields = {"theta": begin}
        found = _minimise(Objective(functional, prepared, targets, scale, settings["ridge"], centre),
                          {"theta": centre} | fields, settings, stage, log, path, mark)
    log.draw()
    return found


def _minimise(objective: Objective, fields: dict, settings: Mapping[str, Any], stage: str, log: Log,
              path: Path | None, mark: str) -> float:
    """One stage from a state given by its fields."""
    by_batches = settings.get("method") == "adam" and stage == "fit"
    state = adam.State(**fields) if by_batches else gauss_newton.State(**fields)

    def told(step: Step) -> None:
        log.step(step)
        if path is not None and parallel.rank() == 0:
            checkpoint.save(path, mark, vars(state) | {"stage": stage, "centre": objective.start})

    if isinstance(state, adam.State):
        return adam.minimise(objective, state, settings["steps"], settings["batch"], settings["rate"],
                             settings["seed"], told, stage)
    return gauss_newton.minimise(objective, state, settings["steps"], told, stage)


def _free(functional: Learned, only_linear: bool) -> None:
    for name, parameter in functional.named_parameters():
        parameter.requires_grad_(not only_linear or LINEAR in name)
