"""An ensemble: members of one form, fitted from other seeds to resampled targets; the functional is their mean.

Member m of M starts from seed + m, and weighs every target with a random number of mean 1 and standard deviation
``scatter`` (section [ensemble]; 1, the Bayesian bootstrap, by default: `loss.resampled`), on the same densities as all
others. Where the targets decide, the members agree; where they say nothing, the members differ. Whether their spread
tells the error is measured, not assumed (`mlxc.bench.spread`). With ``variants``, members are in turn what the
configuration says and what it says with the sections of each variant in it: what their networks see, and what the fit
tolerates. Choices that the targets do not decide between are then members too, in place of one that is made.
"""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.utils import parameters_to_vector

from mlxc.xc.ensemble import Ensemble, combine, seeing
from mlxc.xc.functional import Learned
from training import configuration, fit, member
from training.data import Dataset, Target
from training.device import CPU
from training.features import Settings


def fitted(config: Mapping[str, Any], dataset: Dataset, folder: Path, settings: Settings, out: Path | None = None,
           begin: Learned | None = None, device: torch.device = CPU,
           log=print) -> tuple[Learned, list[Target], str]:
    """The functional of a configuration: the mean of its members where the section [ensemble] asks for some.

    Args:
        config: as `configuration.checked` accepts it.
        dataset: what is fitted.
        folder: of the records.
        settings: theirs.
        out: folder of logs and checkpoints, those of member m in a folder ``m`` of it; None for none.
        begin: functional to begin with, of the same number of members; the ridge pulls to the seeds' starts.
        device: where energies and slopes are computed.
        log: receives lines of text.

    Returns:
        (functional, used, table) as `member.fitted`, of the mean.
    """
    size = config.get("ensemble", {}).get("members", 1)
    starts = [None] * size if begin is None else [parameters(f) for f in members(begin, config)]
    if size == 1:
        return member.fitted(config, dataset, folder, settings, log, out, starts[0], device)
    found = []
    for m, start in enumerate(starts):
        log(f"member {m + 1} of {size}")
        place = None if out is None else out / str(m)
        functional, used, _ = member.fitted(member_config(config, m), dataset, folder, settings, log, place, start,
                                            device)
        found.append(functional)
    mean = combine(found, config["model"]["name"])
    return mean, used, member.evaluated(config, dataset, mean, folder, settings, device)


def parameters(functional: Learned) -> np.ndarray:
    """All parameters, whether they are free or not, as a vector."""
    return parameters_to_vector(functional.parameters()).detach().numpy().copy()


def member_config(config: Mapping[str, Any], m: int) -> dict[str, Any]:
    """The configuration of member m by itself."""
    variants = [{}, *config["ensemble"].get("variants", [])]
    own = configuration.varied(config, variants[m % len(variants)])
    drawn = {"seed": config["fit"]["seed"] + m, "resample": m, "scatter": config["ensemble"].get("scatter", 1.0)}
    return own | {"fit": config["fit"] | drawn}


def members(functional: Learned, config: Mapping[str, Any] | None = None) -> Sequence[Learned]:
    """The members of a mean, or the functional itself, as copies whose parameters are free.

    Args:
        functional: the mean.
        config: that it was fitted with; each member's networks then see what they saw in their fit, and those of the
            mean otherwise.

    Raises:
        InvalidInput: a member sees more than the configuration gives it.
    """
    if not isinstance(functional, Ensemble):
        return [copy.deepcopy(functional).requires_grad_(True)]
    found = [functional.member(m).requires_grad_(True) for m in range(functional.members)]
    return found if config is None else [seeing(f, member_config(config, m)["network"]) for m, f in enumerate(found)]


def energies(functional: Learned, prepared: Mapping[str, fit.Energies]) -> list[dict[str, float]]:
    """Total energies of all species by each member, Ha."""
    return [fit.energies(f, prepared) for f in members(functional)]
