"""Which labels would teach most: `python -m training.select MODEL.toml --config CONFIG --pool MANIFEST --count 10`.

MODEL is an ensemble. From the reactions of a pool, whose references are not looked at, the one of the highest

    score = σ d / (d + d_0)

is picked, then the next. σ (kcal/mol) is the standard deviation of its energy over the members: what the training set
leaves open. d is the largest distance (`training.novelty`) of one of its molecules from what is trained on or was
picked before, d_0 the median distance of a trained molecule from its nearest neighbour: a second molecule of a kind
counts little, however much the members disagree about both. How much better than chance that is, and which of the two
factors does it, `benchmarks/selection.py` measures.
"""

import argparse
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlxc import zoo
from mlxc.errors import InvalidInput, MlxcError
from mlxc.manifest.fingerprint import Fingerprint
from mlxc.manifest.species import Species
from mlxc.units import KCAL
from mlxc.xc.functional import Learned
from training import configuration, data, ensemble, features, fit, manifest, novelty
from training.data import Dataset, Target


@dataclass(frozen=True)
class Pick:
    """A reaction that was picked.

    Attributes:
        id: its name in the pool.
        spread: σ, kcal/mol.
        distance: d, atomic units.
        score: what it was picked for, kcal/mol.
    """

    id: str
    spread: float
    distance: float
    score: float


def spreads(functional: Learned, prepared: Mapping[str, fit.Energies], targets: Iterable[Target]) -> dict[str, float]:
    """σ over the members of an ensemble, kcal/mol, of the targets whose species are all there.

    Raises:
        InvalidInput: the functional is no ensemble.
    """
    require_members(functional)
    members = ensemble.energies(functional, prepared)
    return {t.id: float(KCAL * np.std([sum(c * e[key] for key, c in t.terms) for e in members], ddof=1))
            for t in fit.resolve(list(targets), prepared)}


def require_members(functional: Learned):
    """Raises InvalidInput for a functional that is no ensemble."""
    if functional.members < 2:
        raise InvalidInput(f"{functional.name} is no ensemble, and a single functional has no spread: train one with "
                           "members = 5 in the config's section [ensemble]")


def pick(spread: Mapping[str, float], pool: Dataset, trained: Iterable[Species], count: int) -> list[Pick]:
    """The reactions of a pool whose labels would teach most, in this order.

    Args:
        spread: σ by reaction, kcal/mol; others of the pool are left out.
        pool: the reactions and their species.
        trained: species of the training set.
        count: how many.

    Raises:
        InvalidInput: the training set has no two molecules to say what is far.
    """
    prints = {key: Fingerprint(s) for key, s in pool.species.items() if len(s.atoms) > 1}
    molecules = {t.id: [key for key, _ in t.terms if key in prints] for t in pool.targets if t.id in spread}
    known = _molecules(trained)
    typical = typical_distance(known)
    nearest = {key: min(novelty.distance(f, k) for k in known) for key, f in prints.items()}
    picks: list[Pick] = []
    while molecules and len(picks) < count:
        distance = {id_: max((nearest[key] for key in keys), default=0.0) for id_, keys in molecules.items()}
        score = {id_: spread[id_] * d / (d + typical) for id_, d in distance.items()}
        best = max(score, key=lambda id_: score[id_])
        picks.append(Pick(best, spread[best], distance[best], score[best]))
        for new in molecules.pop(best):
            nearest = {key: min(d, novelty.distance(prints[key], prints[new])) for key, d in nearest.items()}
    return picks


def typical_distance(known: list[Fingerprint]) -> float:
    """d_0, the median distance of a molecule from the nearest other one, atomic units."""
    molecules = novelty.distinct(known)
    if len(molecules) < 2:
        raise InvalidInput(f"the training set has {len(molecules)} molecules, two are needed to say what is far")
    return float(np.median(novelty.nearest(molecules)))


def _molecules(species: Iterable[Species]) -> list[Fingerprint]:
    return [Fingerprint(s) for s in species if len(s.atoms) > 1 and not s.is_fractional]


def main():
    """Command line: densities of the pool that are missing, then the picks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="card of an ensemble")
    parser.add_argument("--config", type=Path, required=True, help="what it was trained with")
    parser.add_argument("--pool", type=Path, required=True,
                        help="manifest of reactions without labels (write 0 for their references)")
    parser.add_argument("--count", type=int, default=10, help="how many to pick")
    parser.add_argument("--data", type=Path, help="folder of the reference files, where the config's sources need it")
    parser.add_argument("--features", type=Path, default=Path("features"), help="folder of the stored densities")
    args = parser.parse_args()
    try:
        config = configuration.read(args.config)
        options, settings = data.config_options(config), features.Settings.of(config)
        pool = manifest.dataset(manifest.read(args.pool), options["basis"], options["diffuse_basis"])
        trained = data.from_config(config, args.data).species.values()
        functional = zoo.load(str(args.model))
        require_members(functional)
        features.build(pool.species, args.features, settings)
        prepared = fit.prepare(functional, pool.species.values(), args.features, config["dispersion"], settings)
        found = spreads(functional, prepared, pool.targets)
        print(f"{'reaction':30s} {'σ':>8s} {'d':>8s} {'score':>8s}   (kcal/mol, atomic units, kcal/mol)")
        for p in pick(found, pool, trained, args.count):
            print(f"{p.id:30s} {p.spread:8.2f} {p.distance:8.3f} {p.score:8.2f}")
    except MlxcError as error:
        sys.exit(f"{parser.prog}: {error}")


if __name__ == "__main__":
    main()
