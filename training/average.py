"""Makes the mean of a range-separated and a local hybrid a model of its own, `mlxc.xc.mean_of_forms`:

    python -m training.average RS.toml LH.toml --name NAME --data DIR --features DIR --out DIR [--version 1.0]

No network is trained. The damping of D4 is fitted as by `training.fit_dispersion`, and the spread of the members made
honest as by `training.calibrate`, with the means of both functionals' energies, each at the densities that its card
names: they are one density, of which each record holds what its functional needs.
"""

import argparse
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlxc import zoo
from mlxc.errors import MlxcError
from mlxc.xc.constraints import CLAIMS
from mlxc.xc.mean_of_forms import RangeSeparatedLocalHybrid
from training import calibrate, ensemble, features, fit, fit_dispersion, noncovalent
from training.data import Species
from training.dispersion import D4

Energies = Mapping[str, float]


def mean(found: Sequence[Energies]) -> dict[str, float]:
    """The mean of several functionals' energies, of the species that all have."""
    return {key: float(np.mean([e[key] for e in found])) for key in found[0] if all(key in e for e in found)}


def energies(parts: Sequence[Any], species: Sequence[Species], folder: Path) -> dict[str, float]:
    """The mean of the parts' total energies without dispersion, Ha.

    Args:
        parts: models.
        species: the species.
        folder: of the stored densities.
    """
    return mean([fit_dispersion.energies_without_dispersion(f, species, folder, _settings(f)) for f in parts])


def member_energies(parts: Sequence[Any], species: Collection[Species], folder: Path,
                    damping: dict[str, float]) -> list[dict[str, float]]:
    """Total energies by each member, Ha: of member m of all parts.

    Args:
        parts: models of equally many members.
        species: the species.
        folder: of the stored densities.
        damping: D4's parameters.
    """
    found = [ensemble.energies(f, fit.prepare(f, species, folder, damping, _settings(f))) for f in parts]
    return [mean(each) for each in zip(*found, strict=True)]


def card(functional: RangeSeparatedLocalHybrid, parts: Sequence[Any], version: str) -> dict[str, Any]:
    """The fields of the mean's card that its parts determine.

    Args:
        functional: the mean.
        parts: the two models that it is the mean of.
        version: its own.
    """
    cards = [f.card for f in parts]
    named = " and ".join(f"{c['name']} {c['version']}" for c in cards)
    training: dict[str, Any] = {"date": time.strftime("%Y-%m-%d"), "summary": f"the mean of {named}",
                "parts": {c["name"]: {"version": c["version"], "sha256": c["weights"]["sha256"],
                                      "data_hash": c["training"].get("data_hash", "")} for c in cards}}
    if any(c["training"].get("train_on_test") for c in cards):
        training["train_on_test"] = True
    if seen := trained_reactions(parts):
        training["leakage"] = {"trained_reactions": seen}
    domain = {key: [x for x in cards[0]["domain"][key] if x in cards[1]["domain"][key]]
              for key in ("elements", "charges", "spins")}
    level = max(c["grid"].get("level", 0) for c in cards)
    return {
        "name": functional.name, "version": version, "kind": functional.kind, "claims": CLAIMS[functional.kind],
        "description": f"range-separated local hybrid, the mean of {named}",
        "exchange": functional.exchange | {"lr_fraction": functional.lr_fraction},
        "network": functional.network, "domain": domain, "training": training,
        "grid": {"level": level, "advice": f"level {level} or finer"},
    }


def trained_reactions(parts: Sequence[Any]) -> list[str]:
    """Reactions of the test of which all species were fitted by one of the parts."""
    return sorted({id_ for f in parts
                   for id_ in f.card["training"].get("leakage", {}).get("trained_reactions", ())})


def averaged(paths: Sequence[Path], name: str, data: Path, folder: Path, out: Path, version: str = "1.0",
             log: Callable[[str], object] = print) -> Path:
    """The mean of two models, with D4 and the spread of its members.

    Args:
        paths: cards of a range-separated and of a local hybrid.
        name: of the mean.
        data: folder of the reference files.
        folder: of the stored densities.
        out: folder for the model.
        version: of the model.
        log: receives lines of text.

    Returns:
        The mean's card.

    Raises:
        InvalidInput: the two are not one of each form, or differ in the number or size of their members; densities
            are missing.
    """
    parts: list[Any] = [zoo.load(str(path)) for path in paths]
    functional = RangeSeparatedLocalHybrid(parts[0], parts[1], name)
    species, targets = noncovalent.members(data)
    reactions = calibrate.reactions(data, trained_reactions(parts))
    fields = card(functional, parts, version)
    found = energies(parts, list(species.values()), folder)
    damping, note = fit_dispersion.run({}, fit_dispersion.interactions(targets, found, D4(species[k] for k in found)))
    fields["dispersion"] = damping
    fields["training"]["summary"] += f"; {note}"
    if functional.members > 1:
        members = member_energies(parts, reactions.species.values(), folder, damping)
        fields["uncertainty"] = spread = calibrate.calibration(members, reactions.targets)
        log(", ".join(f"{key} {value}" for key, value in spread.items()))
    return zoo.save(out, functional, fields)


def _settings(model: Any) -> features.Settings:
    return features.Settings.read(None, model.card)


def main():
    """Command line: two models in, one out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path, nargs=2, metavar="MODEL",
                        help="cards of a range-separated hybrid and of a local hybrid")
    parser.add_argument("--name", required=True, help="of the mean")
    parser.add_argument("--data", type=Path, required=True, help="folder of the reference files")
    parser.add_argument("--features", type=Path, default=Path("features"), help="folder of the stored densities")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model")
    parser.add_argument("--version", default="1.0", help="of the model (1.0)")
    args = parser.parse_args()
    try:
        print("written:", averaged(args.models, args.name, args.data, args.features, args.out, args.version))
    except MlxcError as error:
        sys.exit(f"{parser.prog}: {error}")


if __name__ == "__main__":
    main()
