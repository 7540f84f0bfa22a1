"""Training data: which species are computed, what their energies must add up to, and what a config takes of it.

`from_config` joins the sources (`training.sources`) and manifests (`training.manifest`) that the section [data] names:

| key | default | meaning |
|---|---|---|
| sources | [] | names of `training.sources.SOURCES`, read from the reference folder |
| manifests | [] | paths of manifests, from the current folder or else from the project's |
| complexes | 4 | heavy atoms (other than H) of a complex, at most |
| heavy_atoms | 4 | the same for species of validation and core |
| basis, diffuse_basis | def2-tzvpd, aug-cc-pvtz | of manifests' species that name none |
| train_on_test | false | true: species of the test split may take part, which the model card then says |

Energies of targets are in Ha.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mlxc.errors import InvalidInput
from mlxc.manifest.fingerprint import Fingerprint, same
from mlxc.manifest.species import Species, atoms_of
from mlxc.suggest import did_you_mean, refuse_unknown

#: Basis of closed-shell molecules and their atoms, and of ions and one-electron systems.
BASIS, DIFFUSE_BASIS = "def2-tzvpd", "aug-cc-pvtz"

#: Elements whose ions and fractional points no model sees, whatever a source offers.
HELD_OUT_IONS = ("B", "P", "S")

#: Keys of the config's section [data], with what holds where they are left out.
DEFAULTS: dict[str, Any] = {"sources": [], "manifests": [], "complexes": 4, "heavy_atoms": 4, "basis": BASIS,
                            "diffuse_basis": DIFFUSE_BASIS, "train_on_test": False}

#: By how much the distances of one species differ between files, Å.
ROUNDING = 2e-3

PROJECT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Target:
    """Σ coefficient · E(species) = reference, in Ha; ``group`` names the tolerance in the config.

    A reference of None stands for the Hartree–Fock energy of the (single) species, as one-electron systems want.
    """

    id: str
    group: str
    terms: tuple  # of (species key, coefficient)
    reference: float | None


@dataclass(frozen=True)
class Dataset:
    """Species by key and the targets made of them; `+` joins, and it unpacks as (species, targets).

    Attributes:
        species: by key.
        targets: made of them.
        leakage: what `training.leakage.check` found of the whole.
    """

    species: dict[str, Species]
    targets: list[Target]
    leakage: dict = field(default_factory=dict)

    def __iter__(self) -> Iterator:
        return iter((self.species, self.targets))

    def __add__(self, other: "Dataset") -> "Dataset":
        """Both; of a species that both have, in whatever frame, the first's.

        Raises:
            InvalidInput: one key for two species, or one id for two targets.
        """
        for key in self.species.keys() & other.species.keys():
            one, two = self.species[key], other.species[key]
            if one != two and not (one.basis == two.basis and same(Fingerprint(one), Fingerprint(two), ROUNDING)):
                raise InvalidInput(f"two different species are called {key}: rename the one in your manifest")
        if twice := {t.id for t in self.targets} & {t.id for t in other.targets}:
            raise InvalidInput(f"target {min(twice)} is offered by two sources: leave one of them out, or rename it")
        return Dataset(other.species | self.species, self.targets + other.targets)

    def only(self, targets: Iterable[Target]) -> "Dataset":
        """These targets with the species that they need."""
        kept = list(targets)
        needed = {key for t in kept for key, _ in t.terms}
        return Dataset({key: s for key, s in self.species.items() if key in needed}, kept)


def from_config(config: dict, folder: Path | None = None, log=print) -> Dataset:
    """Everything that a configuration trains on, checked for leakage from the test split.

    Args:
        config: the configuration; its section [data] is described above.
        folder: of the reference files; None where neither sources nor the leakage check need them.
        log: receives what was left out.

    Raises:
        InvalidInput: an unknown key or source, a key of [factor] that no target begins with, a file that is missing
            or wrong, a species of the test split.
    """
    from training import leakage, manifest  # they and the sources build on this module
    from training.sources import SOURCES

    options = config_options(config)
    config = config | {"data": options}
    dataset = Dataset({}, [])
    for name in options["sources"]:
        refuse_unknown([name], SOURCES, "config, [data] sources", "source")
        dataset += SOURCES[name](folder, config)
    for path in options["manifests"]:
        content = manifest.read(_located(Path(path)))
        dataset += manifest.dataset(content, options["basis"], options["diffuse_basis"])
    if not dataset.targets:
        raise InvalidInput(f"config, [data]: nothing to train on; name sources ({', '.join(SOURCES)}) or manifests")
    dataset = without_held_out_ions(dataset, log)
    variants = config.get("ensemble", {}).get("variants", [])
    for key in (key for part in (config, *variants) for key in part.get("factor", {})):
        if not any(t.id.startswith(key) for t in dataset.targets):
            raise InvalidInput(f"config, [factor] {key}: no target's id begins with that"
                               f"{did_you_mean(key, [t.id for t in dataset.targets])}")
    return replace(dataset, leakage=leakage.check(dataset, folder, options["train_on_test"]))


def config_options(config: dict) -> dict[str, Any]:
    """The section [data] with its defaults.

    Raises:
        InvalidInput: no such section, an unknown key, or a value of another type.
    """
    if "data" not in config:
        raise InvalidInput('config: no section [data]; it says what is trained on, for example sources = ["molecules"]')
    section = config["data"]
    refuse_unknown(section, DEFAULTS, "config, [data]", "key")
    for key, value in section.items():
        kind = type(DEFAULTS[key])
        if type(value) is not kind or kind is list and not all(isinstance(v, str) for v in value):
            what = "list of strings" if kind is list else kind.__name__
            raise InvalidInput(f"config, [data] {key} is {value!r}, expected a {what}")
    return DEFAULTS | section


def without_held_out_ions(dataset: Dataset, log=print) -> Dataset:
    """The dataset without targets that hold an ion of an atom in HELD_OUT_IONS or a fractional point with one."""
    held_out = {key for key, s in dataset.species.items() if _held_out(s)}
    kept = [t for t in dataset.targets if not any(key in held_out for key, _ in t.terms)]
    if len(kept) < len(dataset.targets):
        log(f"left out: {len(dataset.targets) - len(kept)} targets with ions or fractional points of "
            f"{', '.join(HELD_OUT_IONS)}")
    return dataset.only(kept)


def _held_out(species: Species) -> bool:
    symbols = {a[0] for a in species.atoms}
    if not symbols & set(HELD_OUT_IONS):
        return False
    return species.is_fractional or (len(species.atoms) == 1 and species.charge != 0)


def atom(symbol: str, n_alpha: float, n_beta: float, basis: str = DIFFUSE_BASIS) -> Species:
    """A free atom or ion with the given electron numbers."""
    return Species(f"{symbol}_{n_alpha:g}_{n_beta:g}_{basis}", ((symbol, (0.0, 0.0, 0.0)),), n_alpha, n_beta, basis)


def read(path: Path) -> dict:
    """The content of a reference file."""
    if not path.is_file():
        raise InvalidInput(f"no reference file {path}: give the folder that holds train.json, atoms_public.json "
                           "and fractional_public.json")
    return json.loads(path.read_text())


def read_species(path: Path) -> dict[str, tuple]:
    """Atoms of every species of a reference file, by its name there."""
    return {name: atoms_of(entry) for name, entry in read(path)["species"].items()}


def _located(path: Path) -> Path:
    return path if path.is_file() or path.is_absolute() else PROJECT / path
