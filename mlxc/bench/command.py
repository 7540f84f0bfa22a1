"""`mlxc bench`: the transferability benchmark of ions and radicals, for any functional."""

from dataclasses import replace
from pathlib import Path

import click

#: Functionals that are compared when none are named.
DEFAULT = "mlxc_lh,mlxc_rs,wb97m_v,b3lyp,r2scan,pbe,hf"


@click.group()
def bench():
    """The benchmark: reaction energies of ions and radicals, and tests of physics, for any functional.

    \b
        mlxc bench run --set mini --out runs/mini      # no file is needed; minutes
        mlxc bench report runs/mini                    # report.html, report.md, figures/
    """


@bench.command()
@click.option("--set", "sets", default="mini", show_default=True,
              help="Sets, separated by commas: `mlxc bench sets` lists them; or the path of a manifest.")
@click.option("--xc", default=DEFAULT, show_default=True,
              help="Functionals, separated by commas: models, paths of cards, PySCF's names, rivals.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the results.")
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Folder of the reference files, for sets that need it.")
@click.option("--basis", help="Orbital basis, instead of the protocol's.")
@click.option("--diffuse-basis", help="Basis of reactions with anions, instead of the protocol's.")
@click.option("--grid", type=click.IntRange(0, 9), help="PySCF's grid level, instead of the protocol's.")
@click.option("--stability/--no-stability", default=True, help="Follow instabilities of open shells.  [default: yes]")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes, one thread each.")
@click.option("--scheduler", help="Address of a Dask scheduler, whose workers are used instead.")
@click.option("--retry", is_flag=True, help="Compute again what failed or did not converge.")
@click.option("--known", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="File of `mlxc bench export`: what it has is not computed again.")
def run(sets, xc, out, data, basis, diffuse_basis, grid, stability, workers, scheduler, retry, known):
    """Computes what is missing in OUT; can be interrupted at any moment and run again.

    Exit code 1 when something failed or did not converge.
    """
    from mlxc.bench import methods, runner
    from mlxc.bench import sets as library
    from mlxc.bench.protocol import STANDARD

    changes = {"basis": basis, "diffuse_basis": diffuse_basis, "grid_level": grid,
               "follow_ups": None if stability else 0}
    protocol = replace(STANDARD, **{key: value for key, value in changes.items() if value is not None})
    chosen = methods.methods(xc, lambda line: click.echo(line, err=True))
    wanted = library.load(sets, protocol, data)
    click.echo(str(protocol))
    for s in wanted:
        click.echo(f"{s.name}: {len(s.entries)} entries, {len(s.jobs)} species; {s.description}")
    done = runner.run(wanted, chosen, out, protocol, workers, scheduler, retry, known, click.echo)
    for name, reason in done.failed.items():
        click.echo(f"failed: {name}: {reason}", err=True)
    click.echo(f"{done.results} results in {out}, {done.not_converged} not converged, {len(done.failed)} failed; "
               f"now: mlxc bench report {out}")
    return 1 if done.failed or done.not_converged else 0


@bench.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--xc", default="", help="Functionals in the order of the columns.  [default: all of the folder]")
@click.option("--set", "sets", default="", help="Sets, as the folder calls them.  [default: all of the folder]")
@click.option("--to", type=click.Path(file_okay=False, path_type=Path), help="Where to.  [default: FOLDER]")
@click.option("--rows", default="", help="Print these rows of the first table of each set, and write nothing.")
def report(folder, xc, sets, to, rows):
    """Writes report.html and report.md with their figures."""
    from mlxc.bench import report as reporting
    from mlxc.bench.results import Results

    asked = [[part.strip() for part in option.split(",") if part.strip()] for option in (xc, sets)]

    def say(line: str):
        click.echo(line, err=True)

    if rows:
        for section in reporting.content(Results(folder), *asked, say)[1:-1]:
            if section.tables and (table := section.tables[0].only(rows.split(","))).rows:
                click.echo(f"{section.title}\n\n{table.markdown()}\n")
        return 0
    for path in reporting.write(folder, *asked, to, say):
        click.echo(path)
    return 0


@bench.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def export(folder, file):
    """Writes the results in FOLDER to one FILE (.jsonl.gz), without geometries and references, for `run --known`."""
    from mlxc.bench.published import publish
    from mlxc.bench.results import Results

    click.echo(f"{publish(Results(folder), file)} results in {file}")
    return 0


@bench.command()
@click.argument("one", type=click.Path(path_type=Path))
@click.argument("two", type=click.Path(path_type=Path))
def compare(one, two):
    """What changed from folder ONE to folder TWO: protocol, versions, errors."""
    from mlxc.bench.report import compare as compared

    click.echo(compared(one, two))
    return 0


@bench.command()
def sets():
    """The sets by name."""
    from mlxc.bench import sets as known

    click.echo(known.__doc__)
    return 0


@bench.command()
def protocol():
    """The frozen settings, and their hash."""
    from mlxc.bench.protocol import STANDARD

    click.echo(str(STANDARD))
    return 0


@bench.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--set", "name", default="ions-radicals-smoke", show_default=True,
              help="The set, as the folder calls it.")
@click.option("--model", type=click.Path(exists=True, path_type=Path), required=True, help="Path of the model's card.")
def card(folder, name, model):
    """Writes the errors of a finished run into the [benchmark] section of a model card."""
    from mlxc import zoo
    from mlxc.bench.methods import version
    from mlxc.bench.report import summary
    from mlxc.bench.results import Results
    from mlxc.errors import InvalidInput

    results, model_card = Results(folder), zoo.card(str(model))
    functional = model_card["name"]
    if name not in (found := results.sets()):
        raise InvalidInput(f"{folder} has no set {name!r}; there are {', '.join(found) or 'none'}")
    if results.methods().get(functional, {}).get("version") != version(model_card):
        raise InvalidInput(f"{folder} holds no results of this version of {functional}: run the benchmark with it")
    figures = {"list": name, "protocol": results.protocol["hash"]} | summary(results, functional, found[name])
    click.echo(zoo.rewrite(model, {"benchmark": figures}))
    return 0
