"""The six arms: configurations and data."""

import copy
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from training import configuration, data
from training.data import Dataset

#: Random starts of every arm.
SEEDS = (0, 1, 2)

#: Everything that can be left out, and the penalties that ask for the same in the loss; a tolerance of 0.03 makes an
#: error of 3 % of the scale count as much as one of 2 kcal/mol in an atomisation energy.
CONSTRAINTS = ("one_electron", "like_spin", "uniform_gas", "bounds", "long_range")
PENALTIES = ("uniform_gas", "correlation_sign", "lieb_oxford", "one_electron_correlation", "one_electron_exchange",
             "like_spin_correlation", "long_range_exchange")
TOLERANCE = 0.03

#: Sources of fractional charges, and the tolerances of their groups.
FRACTIONAL = {"fractional": 6.0, "fractional_molecule": 6.0}
SOURCES = ("fractional", "fractional_molecules", "fractional_dimers")


@dataclass(frozen=True)
class Arm:
    """One way to train.

    Attributes:
        name: a letter.
        label: what a table calls it.
        constraints: "none", "soft" or "hard".
        everything: all of train.json, or a third.
        fractional: with fractional charges.
    """

    name: str
    label: str
    constraints: str
    everything: bool = False
    fractional: bool = False


ARMS = (Arm("a", "no constraints", "none"), Arm("b", "no constraints, 3 × the data", "none", everything=True),
        Arm("c", "soft constraints", "soft"), Arm("d", "hard constraints", "hard"),
        Arm("e", "hard constraints, fractional charges", "hard", fractional=True),
        Arm("f", "no constraints, fractional charges", "none", fractional=True))


def config(arm: Arm, seed: int) -> dict[str, Any]:
    """The configuration of an arm with a seed."""
    found = copy.deepcopy(tomllib.loads((Path(__file__).parent / "base.toml").read_text(encoding="utf-8")))
    found["model"]["name"] = f"exp_{arm.name}{seed}"
    found["fit"]["seed"] = seed
    if arm.constraints != "hard":
        found["network"]["relaxed"] = list(CONSTRAINTS)
    if arm.constraints == "soft":
        found["penalty"] = dict.fromkeys(PENALTIES, TOLERANCE)
    if arm.fractional:
        found["data"]["sources"] += SOURCES
        found["tolerance"] |= FRACTIONAL
    return configuration.checked(found)


def dataset(arm: Arm, folder: Path, log=print) -> Dataset:
    """What an arm is trained on: its third of train.json is the same for all arms and seeds."""
    whole = data.from_config(config(arm, 0), folder, log)
    molecules = [t for t in whole.targets if t.group == "atomisation"]
    chosen = set(np.random.default_rng(0).permutation(sorted(t.id for t in molecules))[: round(len(molecules) / 3)])
    return whole.only(t for t in whole.targets if arm.everything or t.group != "atomisation" or t.id in chosen)
