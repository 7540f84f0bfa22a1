"""What a report says: one section per set, then the ensembles' spread, the SCF and what it cost."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from mlxc.bench import figures, metrics, spread
from mlxc.bench.entries import Entry, Set
from mlxc.bench.metrics import Column
from mlxc.bench.tables import Table


@dataclass(frozen=True)
class Section:
    """A part of a report.

    Attributes:
        title: of it.
        text: paragraphs.
        tables: of it.
        pictures: functions that draw a Matplotlib figure, by file name.
    """

    title: str
    text: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: Mapping[str, Callable[[], Any]] = field(default_factory=dict)


def of_set(s: Set, columns: Sequence[Column]) -> Section:
    """Errors per subset and family; curves where the set has an axis."""
    entries = metrics.scored(s, columns)
    text = [f"{s.description}.", *_remarks(s, columns, entries)]
    if not entries:
        return Section(s.name, tuple(text))
    unit = entries[0].unit
    names = [c.method for c in columns]
    pictures: dict[str, Callable[[], Any]] = {}
    if any(e.x is not None and e.id in c.errors for e in s.entries for c in columns):
        pictures[f"{s.name}-curves"] = lambda: figures.curves(s, columns)
    if len(metrics.groups(entries, "subset")) > 1 and not s.axis:
        pictures[f"{s.name}-subsets"] = lambda: figures.subsets(entries, columns)
    if len(entries) >= 10 and not s.axis:
        pictures[f"{s.name}-distribution"] = lambda: figures.distribution(entries, columns)
    table = Table((f"{unit}: mean absolute (signed) error", "n", *names), tuple(_rows(entries, columns)))
    return Section(s.name, tuple(text), (table, worst_cases(entries, columns)), pictures)


def _remarks(s: Set, columns: Sequence[Column], entries: Sequence[Entry]) -> list[str]:
    """What is missing, failed or left out, in sentences."""
    found = []
    to_score = [e for e in s.entries if not e.trained]
    if trained := [e.id for e in s.entries if e.trained]:
        found.append(f"Not scored, since mlxc's functionals are trained on every species: {', '.join(trained)}.")
    if missing := {i for c in columns for i in c.missing}:
        found.append(f"NOT FINISHED: of {len(missing)} of {len(s.entries)} entries some results are not there yet.")
    if len(entries) < len(to_score):
        found.append(f"{len(entries)} of {len(to_score)} entries have an error with every functional, and only these "
                     "are compared.")
    for c in columns:
        ids = {e.id for e in to_score}
        if lost := [i for i in c.failed if i in ids]:
            found.append(f"{c.method} failed for {', '.join(lost)}, which are left out for all.")
        if shaky := [i for i in c.unconverged if i in ids]:
            found.append(f"{c.method} did not converge for {', '.join(shaky)}, which count with the last energy.")
    return found


def _rows(entries: Sequence[Entry], columns: Sequence[Column]) -> list[tuple[str, ...]]:
    def row(name: str, part: Sequence[Entry]) -> tuple[str, ...]:
        cells = (f"{_number(metrics.mean_absolute(c.errors, part), part, columns)} "
                 f"({_number(metrics.mean_signed(c.errors, part), part, columns, '+')})" for c in columns)
        return (name, str(len(part)), *cells)

    rows = [row(name, part) for name, part in metrics.groups(entries, "subset").items()]
    families = metrics.groups(entries, "family")
    if len(families) > 1:
        rows += [row(name, part) for name, part in families.items()]
    known = [e for e in entries if e.related is not None]
    if known and 0 < sum(not e.related for e in known) < len(known):
        rows += [row("with relatives in training", [e for e in known if e.related]),
                 row("without relatives in training", [e for e in known if not e.related])]
    rows.append(row("all", entries))
    several = len(metrics.groups(entries, "subset")) > 1
    for name, mean, sensible in (("mean over subsets", metrics.mean_over_subsets, any(e.reference for e in entries)),
                                 ("weighted as in WTMAD-2", metrics.weighted, all(e.reference for e in entries))):
        if several and sensible:
            rows.append((name, "", *(_number(mean(c.errors, entries), entries, columns) for c in columns)))
    if all(e.quantity in metrics.FLOORS for e in entries):
        rows.append(("relative errors, RMS %", "", *(f"{metrics.relative(c.errors, entries):.1f}" for c in columns)))
    rows.append(("SCF not converged", str(len(entries)),
                 *(str(sum(e.id in c.unconverged for e in entries)) for c in columns)))
    return rows


def worst_cases(entries: Sequence[Entry], columns: Sequence[Column]) -> Table:
    """The largest error of every functional in every subset."""
    rows = []
    for name, part in metrics.groups(entries, "subset").items():
        found = ((c, metrics.worst(c.errors, part)) for c in columns)
        rows.append((name, *(f"{e.id} {_number(c.errors[e.id], part, columns, '+')}" for c, e in found)))
    return Table(("largest error", *(c.method for c in columns)), tuple(rows))


def _number(value: float, entries: Sequence[Entry], columns: Sequence[Column], sign: str = "") -> str:
    """With two decimals, three of dipoles and polarisabilities, or four where all errors are small."""
    small = all(abs(c.errors[e.id]) < 0.1 for c in columns for e in entries)
    decimals = 4 if small else 3 if entries[0].quantity in metrics.FLOORS else 2
    return f"{value:{sign}.{decimals}f}"


def differences(s: Set, columns: Sequence[Column]) -> Section | None:
    """The first functional against every other, with the interval that the choice of entries allows."""
    entries = metrics.scored(s, columns)
    if len(columns) < 2 or len(entries) < 10 or s.axis:
        return None
    first, *others = columns
    rows = []
    for c in others:
        low, high = metrics.interval(first.errors, c.errors, entries)
        change = metrics.mean_absolute(first.errors, entries) - metrics.mean_absolute(c.errors, entries)
        told = [_number(value, entries, columns, "+") for value in (change, low, high)]
        rows.append((f"{first.method} − {c.method}", told[0], f"{told[1]} to {told[2]}"))
    table = Table((f"mean absolute error, {entries[0].unit}", "difference", "95 % (entries resampled)"), tuple(rows))
    return Section(f"{s.name}: is the difference real?", (), (table,))


def of_spread(s: Set, columns: Sequence[Column], scales: Mapping[str, float]) -> Section | None:
    """How well the spread of ensembles tells the error."""
    rows, pictures, unit = [], {}, s.entries[0].unit
    for c in columns:
        sigma = spread.deviations(s, c, scales.get(c.method, 1.0))
        entries = [e for e in s.entries if e.id in sigma and e.id in c.errors and not e.trained]
        if len(entries) < 10:
            continue
        told, error = (np.array([abs(found[e.id]) for e in entries]) for found in (sigma, c.errors))
        rank, below = spread.quality(told, error)
        rows.append((c.method, str(len(entries)), f"{told.mean():.2f}", f"{error.mean():.2f}", f"{rank:+.2f}",
                     f"{100 * below:.0f} %"))
        pictures[f"{s.name}-spread-{c.method}"] = partial(figures.spread, told, error, unit, c.method)
    if not rows:
        return None
    header = ("ensemble", "n", f"mean σ, {unit}", f"mean error, {unit}", "rank correlation", "error below 2σ")
    return Section(f"{s.name}: does the spread tell the error?", (), (Table(header, tuple(rows)),), pictures)


def of_cost(columns: Mapping[str, Sequence[Mapping[str, Any]]]) -> Section:
    """SCF statistics over all jobs of all sets, and the cost on the jobs that every functional finished.

    Args:
        columns: results by functional, each with its job's ``key``.
    """
    done = {name: {r["key"]: r for r in found if "failed" not in r} for name, found in columns.items()}
    common = set[str]().union(*done.values()).intersection(*done.values()) if done else set()
    if not common:
        return Section("SCF and cost", ("No species is finished with every functional.",))
    first = next(iter(columns))
    base = metrics.scf([done[first][key] for key in sorted(common)]).cpu_seconds
    rows = []
    for name, found in columns.items():
        whole, shared = metrics.scf(found), metrics.scf([done[name][key] for key in sorted(common)])
        rows.append((name, str(whole.jobs), str(whole.jobs - whole.converged - whole.failed), str(whole.failed),
                     f"{whole.unstable} of {whole.checked}", f"{whole.cycles:.1f}", f"{shared.cpu_seconds:.0f}",
                     f"{shared.cpu_seconds / base:.2f}" if base else ""))
    header = ("SCF", "species", "not converged", "failed", "unstable", "cycles", f"CPU s of {len(common)} species",
              f"× {first}")
    text = ("Processor time of SCF, stability analysis of open shells and dispersion, without the grids and the "
            "full-range density fitting that all functionals share. Times of a machine that does other things too: "
            "only large ratios mean anything.")
    named = [f"{kind}: {', '.join(found)}." for kind, found in (
        ("Not converged", _named(columns, lambda r: not r.get("converged", True))),
        ("Still unstable after the last restart", _named(columns, lambda r: r.get("stable") is False)),
    ) if found]
    return Section("SCF and cost", (text, *named), (Table(header, tuple(rows)),))


def _named(columns: Mapping[str, Sequence[Mapping[str, Any]]], chosen: Callable[[Mapping], bool]) -> list[str]:
    """Functional and species of the chosen results."""
    return [f"{name} {r['job']['species']}" for name in columns for r in columns[name] if chosen(r)]
