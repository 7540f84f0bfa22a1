"""Errors of a finished run: per subset and functional, as Markdown."""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mlxc.bench.sets import Reaction
from mlxc.errors import InvalidInput
from mlxc.units import KCAL


def errors(out: Path, functional: str, reactions: list[Reaction], dispersion: bool = True):
    """Reaction energy minus reference for every reaction whose species all have a result, kcal/mol.

    Species that did not converge count with their last energy, and their reactions are named.

    Returns:
        (errors, unconverged): dict of error by reaction id, and the ids with a species that did not converge.
    """
    found: dict[str, float] = {}
    unconverged = []
    for reaction in reactions:
        paths = [out / functional / f"{key}.json" for key, _ in reaction.stoichiometry]
        if not all(path.exists() for path in paths):
            continue
        results = [json.loads(path.read_text()) for path in paths]
        energies = [r["e_scf"] + (r["e_disp"] if dispersion else 0.0) for r in results]
        total = sum(c * e for (_, c), e in zip(reaction.stoichiometry, energies, strict=True))
        found[reaction.id] = KCAL * total - reaction.reference
        if not all(r["converged"] for r in results):
            unconverged.append(reaction.id)
    return found, unconverged


def table(out: Path, functionals: list[str], reactions: list[Reaction], dispersion: bool = True,
          only: Sequence[str] = ()) -> str:
    """Mean absolute errors per subset, family and in all, over the reactions that every functional has.

    Args:
        out: folder of the run.
        functionals: columns.
        reactions: of the set.
        dispersion: with each functional's dispersion correction, or its SCF energy alone.
        only: names of the subsets and families to print; everything where empty.

    Returns:
        Markdown: rows of subsets with "MAE (mean signed error)", then families, all, and the SCF failures.

    Raises:
        InvalidInput: no reaction is finished with every functional.
    """
    by_functional = {f: errors(out, f, reactions, dispersion) for f in functionals}
    complete = [r for r in reactions if all(r.id in by_functional[f][0] for f in functionals)]
    if not complete:
        raise InvalidInput(f"{out} holds no reaction that is finished with all of {', '.join(functionals)}: "
                           "run the benchmark first, or name fewer functionals")
    groups: dict[str, list[Reaction]] = defaultdict(list)
    for reaction in complete:
        groups[reaction.subset].append(reaction)
    rows = sorted(groups.items())
    rows += [(family, [r for r in complete if r.family == family]) for family in sorted({r.family for r in complete})]
    rows.append(("all", complete))
    rows = [row for row in rows if not only or row[0] in only]
    lines = [f"| kcal/mol | n | {' | '.join(functionals)} |", "|---|---|" + "---|" * len(functionals)]
    for name, members in rows:
        cells = []
        for functional in functionals:
            e = np.array([by_functional[functional][0][r.id] for r in members])
            cells.append(f"{np.abs(e).mean():.2f} ({e.mean():+.2f})")
        lines.append(f"| {name} | {len(members)} | {' | '.join(cells)} |")
    failed = [str(sum(r.id in by_functional[f][1] for r in complete)) for f in functionals]
    lines.append(f"| SCF not converged | {len(complete)} | {' | '.join(failed)} |")
    worst = [max((abs(e[r.id]), e[r.id], r.id) for r in complete)
             for e in (by_functional[f][0] for f in functionals)]
    lines.append(f"| worst | | {' | '.join(f'{error:+.1f} {name}' for _, error, name in worst)} |")
    if len(complete) < len(reactions):
        lines.append(f"\n{len(complete)} of {len(reactions)} reactions: the run is not finished.")
    return "\n".join(lines)


def summary(out: Path, functional: str, reactions: list[Reaction]) -> dict[str, float]:
    """Number of finished reactions and mean absolute errors per family and in all, kcal/mol, for a model card."""
    found, unconverged = errors(out, functional, reactions)
    families: dict[str, list[float]] = defaultdict(list)
    for reaction in reactions:
        if reaction.id in found:
            families[reaction.family].append(abs(found[reaction.id]))
    mean = {f"mae_{name}_kcal": round(float(np.mean(values)), 2) for name, values in sorted(families.items())}
    return {"reactions": len(found), "not_converged": len(unconverged)} | mean | {
        "mae_all_kcal": round(float(np.mean([abs(e) for e in found.values()])), 2)}
