"""Errors at stored densities, those of the reference functional, on what no arm was trained on."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from mlxc import files
from mlxc.bench.protocol import STANDARD
from mlxc.bench.sets import fractional
from mlxc.bench.sets.reactions import TRAINED_ON
from mlxc.manifest.fingerprint import Fingerprint, same
from mlxc.manifest.species import Species
from mlxc.units import EV, KCAL
from mlxc.xc.functional import Learned
from training import data, features, fit
from training.data import Dataset, Target
from training.leakage import CLOSED_SHELL
from training.sources import reference

#: How the names of groups in eV begin.
FRACTIONAL = "fractional charges"

#: Groups of the test, in the order of the table.
GROUPS = ("neutral molecules", "ions", "radicals", "stretched cations", FRACTIONAL)

#: Errors by group and entry.
Groups = dict[str, dict[str, float]]

#: The subset of dissociating cations, and its one-electron part, which hard constraints alone make exact: told apart.
STRETCHED = "SIE4x4"
ONE_ELECTRON, H2_CATION = "stretched H₂⁺", [id_ for id_ in TRAINED_ON if id_.startswith(STRETCHED)]


@cache
def tests(folder: Path) -> Dataset:
    """Reactions of neutral closed shells, ions, radicals, stretched cations; fractional charges that no arm sees."""
    content = data.read(folder / "benchmark.json")["reactions"]
    family = {r["id"]: "stretched cations" if r["subset"] == STRETCHED else r["cls"] for r in content}
    core = reference.core(folder, 4)
    kept = [Target(t.id, family[t.id], t.terms, t.reference) for t in core.targets if family[t.id] in GROUPS]
    neutral = reference.grouped(reference.validation(folder, 4), "neutral molecules")
    trained = [Fingerprint(s) for s in reference.molecules(folder).species.values()]
    neutral = neutral.only(t for t in neutral.targets if not _known(t, neutral.species, trained))
    return neutral + core.only(kept) + reference.grouped(lines(), FRACTIONAL)


def _known(target: Target, species: Mapping[str, Species], trained: Sequence[Fingerprint]) -> bool:
    """Whether every molecule of a target is among those of train.json."""
    molecules = [Fingerprint(species[key]) for key, _ in target.terms if len(species[key].atoms) > 1]
    return all(any(f.kind == k.kind and same(f, k, CLOSED_SHELL) for k in trained) for f in molecules)


def lines() -> Dataset:
    """Points between the charges of B, P, S, water, ammonia and ethene, from the benchmark's set."""
    found = fractional.lines(STANDARD)
    entries = [e for e in found.entries if "never seen" in e.family]
    species = {}
    for key in {key for e in entries for key, _ in e.terms}:
        job = found.jobs[key]
        n_alpha, n_beta = job.electrons or ((job.n_electrons + job.spin) / 2, (job.n_electrons - job.spin) / 2)
        species[key] = Species(key, job.atoms, n_alpha, n_beta, job.basis)
    return Dataset(species, [Target(e.id, e.family, e.terms, 0.0) for e in entries])


def errors(functional: Learned, references: Path, folder: Path, damping: Mapping[str, float],
           settings: features.Settings) -> Groups:
    """Error of every target by group, in the group's unit.

    Args:
        functional: of an arm.
        references: the reference files.
        folder: of the stored densities.
        damping: D4's parameters.
        settings: of the densities.
    """
    dataset = tests(references)
    prepared = fit.prepare(functional, dataset.species.values(), folder, dict(damping), settings)
    usable = fit.resolve(dataset.targets, prepared)
    found: Groups = {group: {} for group in GROUPS}
    for target, error in zip(usable, fit.residuals(usable, fit.energies(functional, prepared)), strict=True):
        found[target.group][target.id] = float(error) / (KCAL / EV if unit(target.group) == "eV" else 1.0)
    return found


def unit(group: str) -> str:
    """The unit of a group's errors, here and self-consistently."""
    return "eV" if group.startswith(FRACTIONAL) else "kcal/mol"


def apart(found: Groups) -> Groups:
    """The groups, H₂⁺ taken out of the stretched cations into one of its own behind them."""
    split: Groups = {}
    for group, errors in found.items():
        split[group] = {id_: e for id_, e in errors.items() if id_ not in H2_CATION}
        if one := {id_: e for id_, e in errors.items() if id_ in H2_CATION}:
            split[ONE_ELECTRON] = one
    return split


def kept(path: Path, make) -> dict:
    """The content of a JSON file, made and written first where there is none."""
    if not path.exists():
        files.write(path, json.dumps(make(), indent=1))
    return json.loads(path.read_text(encoding="utf-8"))
