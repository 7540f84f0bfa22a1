"""How well a configuration does on reactions of a kind that it is trained on, when they themselves are left out.

    python -m training.leave_out CONFIG --group core --data DIR --features DIR --out DIR

The targets of one group are divided into folds, and each fold is predicted by a fit to everything else. Targets that
share an ion or an open-shell molecule, by whatever name, are in one fold, so that none of a fold's is in the training
set; free atoms and closed shells are. In place of an ensemble one functional is fitted, to targets of equal
weights. A fold that is finished is
kept in OUT, so that the command goes on where it was stopped. Densities are the stored ones: no SCF with the fitted
functionals.

With `--model MODEL.toml`, a functional that is fitted already, folds are left out to first order, without a fit: with
the Jacobian J of its residuals r, their weights W (Huber's included) and the ridge λ,

    r_I without fold I = (1 − H_II)⁻¹ r_I,      H = J (JᵀWJ + 2λ)⁻¹ JᵀW,

which is exact for a linear least-squares fit (doi:10.1080/00401706.1974.10489157), Huber's weights held as they are;
of an ensemble, the mean over its members. With `--folds 0` every target is left out alone: what it shares with its
relatives then stays in the fit, so that these errors are smaller than the folds'. A model that `training.refine` made
is at the minimum for the densities of the one that it began with: `--densities BEFORE.toml`.

    python -m training.leave_out CONFIG --elements --model MODEL.toml --data DIR --features DIR

leaves out one element's atoms at a time: total energy, ionisation energy, affinity and fractional charges, of the
element and its ions. Molecules of the element stay. It tells whether what atoms teach carries over to others.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from mlxc import files, zoo
from mlxc.bench.sets.reactions import TRAINED_ON
from mlxc.errors import InvalidInput, MlxcError
from mlxc.manifest.fingerprint import Fingerprint, same
from mlxc.manifest.species import Species
from mlxc.suggest import refuse_unknown
from mlxc.xc.ensemble import seeing
from mlxc.xc.functional import Learned
from training import configuration, data, ensemble, features, fit, loss, member
from training.checkpoint import identity
from training.data import Dataset, Target
from training.device import CPU, add_option, chosen
from training.functionals import fingerprint
from training.leakage import OPEN_OR_CHARGED
from training.objective import Objective, theta
from training.refine import own_settings


def folds(dataset: Dataset, group: str, count: int) -> list[list[Target]]:
    """The targets of a group in folds, as equal in size as those allow that share an ion or a radical.

    Args:
        dataset: of the targets.
        group: whose targets.
        count: number of folds, from 2.

    Raises:
        InvalidInput: an unknown group, or fewer sets of related targets than folds.
    """
    refuse_unknown([group], {t.group for t in dataset.targets}, "--group", "group")
    if count < 2:
        raise InvalidInput(f"--folds {count}: expected at least 2")
    unusual = {key: Fingerprint(s) for key, s in dataset.species.items() if _unusual(s)}
    related: list[tuple[list[Fingerprint], list[Target]]] = []
    for target in (t for t in dataset.targets if t.group == group):
        prints, together = [unusual[key] for key, _ in target.terms if key in unusual], [target]
        for known, targets in [r for r in related if _meet(r[0], prints)]:
            related.remove((known, targets))
            prints, together = known + prints, targets + together
        related.append((prints, together))
    if len(related) < count:
        raise InvalidInput(f"--folds {count}: the targets of {group} share so many species that there are only "
                           f"{len(related)} sets of them")
    found: list[list[Target]] = [[] for _ in range(count)]
    for _, together in sorted(related, key=lambda r: -len(r[1])):
        min(found, key=len).extend(together)
    return found


def alone(dataset: Dataset, group: str) -> list[list[Target]]:
    """Each target of a group in a fold of its own; raises InvalidInput for an unknown group."""
    refuse_unknown([group], {t.group for t in dataset.targets}, "--group", "group")
    return [[t] for t in dataset.targets if t.group == group]


def elements(dataset: Dataset) -> list[list[Target]]:
    """For each element the targets that have no species but its atoms and their ions, for two elements at least."""
    found: dict[str, list[Target]] = defaultdict(list)
    for target in dataset.targets:
        symbols = {symbol for key, _ in target.terms for symbol, _ in dataset.species[key].atoms}
        if len(symbols) == 1 and all(len(dataset.species[key].atoms) == 1 for key, _ in target.terms):
            found[symbols.pop()].append(target)
    if len(found) < 2:
        raise InvalidInput(f"--elements: the data have {len(found)} elements with atoms of their own, expected at "
                           'least 2; the sources "atoms" and "fractional" of a config\'s [data] have them')
    return list(found.values())


def _meet(some: list[Fingerprint], others: list[Fingerprint]) -> bool:
    """Whether one of each are the same species, whatever they are called."""
    return any(same(a, b, OPEN_OR_CHARGED) for a in some for b in others if a.kind == b.kind)


def _unusual(species: Species) -> bool:
    """Whether it is a molecule with a charge or an open shell."""
    return len(species.atoms) > 1 and (species.charge != 0 or species.n_alpha != species.n_beta)


def predicted(config: Mapping, dataset: Dataset, held: list[Target], folder: Path, begin: Learned | None = None,
              device: torch.device = CPU, log=print) -> dict[str, float]:
    """Errors of targets, kcal/mol, by a functional that was fitted to all others.

    Args:
        config: of the fit.
        dataset: everything.
        held: what is left out.
        folder: of the stored densities.
        begin: functional whose (first member's) parameters the fit begins with; the seed's start if None.
        device: where energies and slopes are computed.
        log: receives lines of text.
    """
    alone = {section: values for section, values in config.items() if section != "ensemble"}
    ids = {t.id for t in held}
    rest = dataset.only(t for t in dataset.targets if t.id not in ids)
    settings, apart = features.Settings.of(dict(config)), dataset.only(held)
    start = None if begin is None else ensemble.parameters(seeing(ensemble.members(begin)[0], config["network"]))
    functional = member.fitted(alone, rest, folder, settings, log, begin=start, device=device)[0]
    prepared = fit.prepare(functional, apart.species.values(), folder, config["dispersion"], settings)
    usable = fit.resolve(apart.targets, prepared)
    errors = fit.residuals(usable, fit.energies(functional, prepared))
    return {t.id: float(error) for t, error in zip(usable, errors, strict=True)}


def estimated(config: Mapping, dataset: Dataset, functional: Learned, folder: Path, divided: list[list[Target]],
              settings: features.Settings, device: torch.device = CPU) -> dict[str, float]:
    """Errors of targets, kcal/mol, each fold's as if it had not been fitted, to first order.

    Args:
        config: that the functional was fitted with.
        dataset: what it was fitted to.
        functional: at the minimum of the loss.
        folder: of the stored densities.
        divided: the folds.
        settings: of the densities that it was fitted at.
        device: where energies and slopes are computed.
    """
    found = []
    for m, part in enumerate(ensemble.members(functional, config)):
        own = ensemble.member_config(config, m) if functional.members > 1 else config
        prepared, targets = member.prepared(own, dataset, part, folder, settings, device)
        usable = fit.resolve(targets, prepared)
        scale = loss.scale(usable, own)
        objective = Objective(part, prepared, usable, scale, own["fit"]["ridge"], theta(part))
        r, weight, jac = objective.linearised()
        row = {t.id: i for i, t in enumerate(usable)}
        parts = [[row[t.id] for t in fold if t.id in row] for fold in divided]
        without = without_parts(r, weight * loss.huber_weight(r), jac, objective.ridge, parts)
        found.append({usable[i].id: scale.tolerance[i] * error for i, error in without.items()})
    return {id_: float(np.mean([errors[id_] for errors in found])) for id_ in found[0]}


def without_parts(r: np.ndarray, weight: np.ndarray, jac: np.ndarray, ridge: float,
                  parts: Sequence[Sequence[int]]) -> dict[int, float]:
    """Residuals of a weighted ridge regression, those of each part of a fit without it, by index.

    Args:
        r: residuals at the minimum, (n,).
        weight: W, (n,).
        jac: J, (n, parameters).
        ridge: λ.
        parts: indices of residuals that are left out together.
    """
    normal = jac.T @ (weight[:, None] * jac) + 2 * ridge * np.eye(jac.shape[1])
    pull = np.linalg.solve(normal, (weight[:, None] * jac).T)
    found: dict[int, float] = {}
    for part in map(list, parts):
        hat = jac[part] @ pull[:, part]
        found |= zip(part, np.linalg.solve(np.eye(len(part)) - hat, r[part]).tolist(), strict=True)
    return found


def table(errors: Mapping[str, float], subsets: Mapping[str, str] | None = None) -> str:
    """Mean absolute and mean signed error by subset, and of all.

    Args:
        errors: {target id: kcal/mol}.
        subsets: of each target; by default the part of its id before the last hyphen.
    """
    groups: dict[str, list[float]] = defaultdict(list)
    for id_, error in errors.items():
        groups[subsets[id_] if subsets else id_.rpartition("-")[0]].append(error)
    rows = [*sorted(groups.items()), ("all", list(errors.values()))]
    means = [np.abs(e).mean() for e in groups.values()]
    lines = [f"{name:16s} {len(e):4d} {np.abs(e).mean():8.2f} {np.mean(e):+8.2f}" for name, e in rows]
    return "\n".join([f"{'subset':16s} {'n':>4s} {'MAE':>8s} {'MSE':>8s}   (kcal/mol)", *lines,
                      f"{'mean over subsets':21s} {np.mean(means):8.2f}"])


def _divided(dataset: Dataset, args: argparse.Namespace) -> list[list[Target]]:
    """What the command line leaves out in turn."""
    if args.elements:
        return elements(dataset)
    return alone(dataset, args.group) if args.model and not args.folds else folds(dataset, args.group, args.folds)


def main():
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m training.leave_out", description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path)
    left = parser.add_mutually_exclusive_group(required=True)
    left.add_argument("--group", help="whose targets are left out in turn")
    left.add_argument("--elements", action="store_true", help="leave out each element's atoms in turn; with --model")
    parser.add_argument("--folds", type=int, default=5, help="number of fits; with --model 0 leaves out each alone")
    parser.add_argument("--data", type=Path, help="folder of the reference files, where the config's sources need it")
    parser.add_argument("--features", type=Path, default=Path("features"), help="folder of the stored densities")
    parser.add_argument("--out", type=Path, default=Path("runs/leave_out"), help="folder for the errors of each fold")
    parser.add_argument("--model", help="a functional fitted with CONFIG: leave out to first order, without a fit")
    parser.add_argument("--densities", type=Path, metavar="BEFORE",
                        help="with --model, which training.refine made of BEFORE: at the densities of BEFORE")
    parser.add_argument("--begin", help="model whose parameters the fits begin with: one that never saw the group")
    parser.add_argument("--part", nargs=2, type=int, default=(0, 1), metavar=("K", "M"),
                        help="every M-th fold from the K-th, for processes that share the work")
    add_option(parser)
    args = parser.parse_args()
    try:
        device = chosen(args.device)
        config = configuration.read(args.config)
        dataset = data.from_config(config, args.data)
        if args.elements and not args.model:
            parser.error("--elements needs --model, a functional fitted with CONFIG")
        if args.densities and not args.model:
            parser.error("--densities needs --model, which training.refine made of it")
        divided = _divided(dataset, args)
        fitted, begin = (zoo.load(path) if path else None for path in (args.model, args.begin))
        settings = own_settings(config, args.densities) if args.densities else features.Settings.of(config)
        member.make_densities(config, dataset, args.features, settings)
        if fitted:
            found = estimated(config, dataset, fitted, args.features, divided, settings, device)
            subsets = {t.id: t.group for t in dataset.targets} if args.elements else None
            print(table({id_: e for id_, e in found.items() if id_ not in TRAINED_ON}, subsets))
            return
        args.out.mkdir(parents=True, exist_ok=True)
        mark = identity(config=config, targets=dataset.targets, species=dataset.species, group=args.group,
                        begin=begin and fingerprint(args.begin))[:8]
        name = f"{config['model']['name']}-{mark}"
        paths = [args.out / f"{name}-{k + 1}of{args.folds}.json" for k in range(args.folds)]
        for k in range(args.part[0], args.folds, args.part[1]):
            if not paths[k].exists():
                print(f"fold {k + 1} of {args.folds}: {len(divided[k])} targets left out", flush=True)
                found = predicted(config, dataset, divided[k], args.features, begin, device)
                files.write(paths[k], json.dumps(found, indent=1))
        done = [json.loads(path.read_text()) for path in paths if path.exists()]
        errors = {id_: e for fold in done for id_, e in fold.items() if id_ not in TRAINED_ON}
        print(f"{len(done)} of {args.folds} folds\n{table(errors)}")
    except MlxcError as error:
        sys.exit(f"{parser.prog}: {error}")


if __name__ == "__main__":
    main()
