"""The report of a run: `report.html`, one page that needs no network, `report.md`, and the pictures in `figures/`."""

import html
import io
from collections.abc import Callable, Sequence
from pathlib import Path

from mlxc.bench import metrics, sections
from mlxc.bench.entries import Set
from mlxc.bench.metrics import Column
from mlxc.bench.results import Results
from mlxc.bench.sections import Section
from mlxc.bench.tables import Table
from mlxc.errors import InvalidInput

TITLE = "Benchmark of ions and radicals"

#: What the kinds of dispersion are called.
DISPERSIONS = {"card": "D4 of the model's card", "d4": "D4", "vv10": "VV10 after the SCF", "d3": "D3(BJ)", "": "none"}

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a }
h1, h2 { line-height: 1.2 } h2 { margin-top: 2.5rem; border-top: 1px solid #ccc; padding-top: 1rem }
table { border-collapse: collapse; margin: 1rem 0; font-size: 13px; display: block; overflow-x: auto }
td, th { padding: 0.2rem 0.7rem; text-align: right; border-bottom: 1px solid #e4e4e4; white-space: nowrap }
td:first-child, th:first-child { text-align: left } thead th { border-bottom: 2px solid #888 }
figure { margin: 1.5rem 0 } figure svg { max-width: 100%; height: auto }
"""


def write(folder: Path, names: Sequence[str] = (), sets: Sequence[str] = (), to: Path | None = None,
          say: Callable[[str], object] = print) -> list[Path]:
    """Writes the report of a folder.

    Args:
        folder: of a run.
        names: functionals, in the order of the columns; all of the folder if empty.
        sets: their names in the folder; all if empty.
        to: where the report goes, the folder itself if None.
        say: receives what is left out, and why.

    Returns:
        Paths of the page and of the Markdown file.

    Raises:
        InvalidInput: no folder of results, an unknown functional or set, a damaged file, nothing to compare.
    """
    found, to = content(Results(folder), names, sets, say), Path(to or folder)
    pictures = {}
    for section in found:
        for name, draw in section.pictures.items():
            pictures[name] = _drawn(draw, to / "figures" / f"{name}.png")
    to.mkdir(parents=True, exist_ok=True)
    text = to / "report.md"
    text.write_text(_markdown(found), encoding="utf-8")
    page = to / "report.html"
    page.write_text(_page(found, pictures), encoding="utf-8")
    return [page, text]


def content(results: Results, names: Sequence[str] = (), sets: Sequence[str] = (),
            say: Callable[[str], object] = print) -> list[Section]:
    """The sections of a report; arguments as `write`."""
    protocol, methods = results.protocol, results.methods()
    known = results.sets()
    for asked, there in ((names, methods), (sets, known)):
        if unknown := [name for name in asked if name not in there]:
            raise InvalidInput(f"{results.folder} has no results of {unknown[0]!r}; there are "
                               f"{', '.join(there) or 'none'}")
    chosen = list(names or methods)
    if not chosen:
        raise InvalidInput(f"{results.folder} has no functional to report: `mlxc bench run` first")
    found = [_about(protocol, {name: methods[name] for name in chosen})]
    per_method: dict[str, dict[str, dict]] = {name: {} for name in chosen}
    for s in (known[name] for name in sets or known):
        columns = [metrics.column(results, name, s) for name in chosen]
        for c in columns:
            per_method[c.method] |= {key: dict(r) | {"key": key} for key, r in c.results.items()}
        columns = [c for c in columns if c.results]
        if none := [c.method for c in columns if not c.errors and not c.missing]:
            say(f"left out of {s.name}: {', '.join(none)}, without any value there")
            columns = [c for c in columns if c.method not in none]
        if s.held_back and (seen := [c.method for c in columns if methods[c.method]["train_on_test"]]):
            say(_left_out(s, seen))
            columns = [c for c in columns if c.method not in seen]
        if columns:
            found += _sections(s, columns, {name: m["spread_scale"] for name, m in methods.items()})
    found.append(sections.of_cost({name: list(r.values()) for name, r in per_method.items() if r}))
    return found


def _sections(s: Set, columns: Sequence[Column], scales: dict[str, float]) -> list[Section]:
    found = (sections.of_set(s, columns), sections.differences(s, columns), sections.of_spread(s, columns, scales))
    return [part for part in found if part is not None]


def _about(protocol: dict, methods: dict[str, dict]) -> Section:
    rows = tuple((name, m["xc"], DISPERSIONS[m["dispersion"]], m["version"]) for name, m in methods.items())
    settings = tuple((key, str(value)) for key, value in protocol.items())
    return Section("Protocol", ("Every functional was computed with these settings; results of other settings, or of "
                                "other versions of a functional, cannot enter this report.",),
                   (Table(("functional", "name", "dispersion", "version"), rows), Table(("protocol", ""), settings)))


def _drawn(draw: Callable, path: Path) -> str:
    """Draws a picture: the PNG is written, the SVG returned."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise InvalidInput("pictures need Matplotlib: pip install 'mlxc[bench]'") from error
    figure = draw()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=160)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    plt.close(figure)
    return buffer.getvalue()[buffer.getvalue().index("<svg"):]


def _markdown(found: Sequence[Section]) -> str:
    lines = [f"# {TITLE}"]
    for section in found:
        lines += [f"## {section.title}", *section.text, *(table.markdown() for table in section.tables),
                  *(f"![{name}](figures/{name}.png)" for name in section.pictures)]
    return "\n\n".join(lines) + "\n"


def _page(found: Sequence[Section], pictures: dict[str, str]) -> str:
    parts = []
    for section in found:
        parts.append(f"<h2>{html.escape(section.title)}</h2>")
        parts += [f"<p>{html.escape(paragraph)}</p>" for paragraph in section.text]
        parts += [table.html() for table in section.tables]
        parts += [f"<figure>{pictures[name]}</figure>" for name in section.pictures]
    return (f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{TITLE}</title><style>{STYLE}</style>'
            f"</head><body><h1>{TITLE}</h1>{''.join(parts)}</body></html>\n")


def compare(one: Path, two: Path) -> str:
    """What differs between two runs: protocol, versions, and the mean absolute errors of functionals that both have.

    Raises:
        InvalidInput: no folders of results, or nothing in common.
    """
    a, b = Results(one), Results(two)
    lines = [f"A: {one}, protocol {a.protocol['hash']}", f"B: {two}, protocol {b.protocol['hash']}"]
    lines += [f"   {key}: {value} in A, {b.protocol.get(key)} in B" for key, value in a.protocol.items()
              if key != "hash" and b.protocol.get(key) != value]
    in_a, in_b = a.methods(), b.methods()
    shared = [name for name in in_a if name in in_b]
    seen = [name for name in shared if in_a[name]["train_on_test"] or in_b[name]["train_on_test"]]
    lines += [f"{name}: {in_a[name]['version']} in A, {in_b[name]['version']} in B" for name in shared
              if in_a[name]["version"] != in_b[name]["version"]]
    rows = []
    for name, s in a.sets().items():
        if (other := b.sets().get(name)) is None:
            continue
        for method in shared:
            if s.held_back and method in seen:
                lines.append(_left_out(s, [method]))
                continue
            first, second = metrics.column(a, method, s), metrics.column(b, method, other)
            both = [e for e in s.entries if e.id in first.errors and e.id in second.errors and not e.trained]
            for label, part in [*metrics.groups(both, "family").items(), ("all", both)] if both else []:
                before, after = (metrics.mean_absolute(c.errors, part) for c in (first, second))
                moved = max(part, key=lambda e: abs(second.errors[e.id] - first.errors[e.id]))
                change = second.errors[moved.id] - first.errors[moved.id]
                rows.append((f"{name}, {method}, {label}", str(len(part)), f"{before:.3f}", f"{after:.3f}",
                             f"{after - before:+.3f}", f"{moved.id} {change:+.3f}"))
    if not rows:
        raise InvalidInput(f"{one} and {two} have no set and functional in common: nothing to compare")
    table = Table(("mean absolute error", "n", "A", "B", "B − A", "largest change"), tuple(rows))
    return "\n".join([*lines, "", table.markdown()])


def _left_out(s: Set, seen: list[str]) -> str:
    return f"left out of {s.name}: {', '.join(seen)}, trained on the test, so that errors there say nothing"


def summary(results: Results, method: str, s: Set) -> dict[str, float]:
    """Number of scored entries and mean absolute errors per family and in all, for a model card.

    Raises:
        InvalidInput: the set is not of energies in kcal/mol, not finished, or not a test of the functional.
    """
    if s.held_back and results.methods().get(method, {}).get("train_on_test"):
        raise InvalidInput(f"{method} was trained on the benchmark: its errors in {s.name} say nothing, and belong on "
                           "no card")
    c = metrics.column(results, method, s)
    entries = metrics.scored(s, [c])
    if not entries or c.missing or c.failed or any(e.unit != "kcal/mol" for e in entries):
        raise InvalidInput(f"{method} has no errors in kcal/mol of all of set {s.name}: finish the run first, "
                           "with --retry where it failed")
    mean = {f"mae_{name}_kcal": round(metrics.mean_absolute(c.errors, part), 2)
            for name, part in metrics.groups(entries, "family").items()}
    return {"reactions": len(entries), "not_converged": sum(e.id in c.unconverged for e in entries)} | mean | {
        "mae_all_kcal": round(metrics.mean_absolute(c.errors, entries), 2)}
