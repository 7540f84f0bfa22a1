"""`python -m mlxc.bench run|report|figure|spread|card`: computes reactions with several functionals, shows errors."""

import json
from pathlib import Path

import click

from mlxc import zoo
from mlxc.bench import figure, report, runner, sets, spread
from mlxc.bench.protocol import Protocol


@click.group(help=__doc__)
def main():
    """Commands below."""


def _options(command):
    for option in (
        click.option("--data", type=click.Path(exists=True, path_type=Path), required=True,
                     help="Folder with benchmark.json and benchmark_core_ids.json."),
        click.option("--list", "which", default="smoke", type=click.Choice(["smoke", "core"]), help="Reactions."),
        click.option("--xc", default="pbe,r2scan,b3lyp,wb97m_v,mlxc_rs", help="Functionals, separated by commas."),
        click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the results."),
    ):
        command = option(command)
    return command


def _reactions(data: Path, which: str):
    ids = json.loads((data / "benchmark_core_ids.json").read_text())[which]
    return sets.load_set(data / "benchmark.json", ids)


def _scored(data: Path, which: str, xc: str):
    """The reactions of a list without those whose species were trained on.

    Raises:
        UsageError: one of the functionals was trained on the test set.
    """
    for name in xc.split(","):
        if (name in zoo.names() or zoo.is_path(name)) and zoo.card(name)["training"].get("train_on_test"):
            raise click.UsageError(f"{name} was trained on the test set, so that its errors there say nothing: leave "
                                   "it out")
    return [r for r in _reactions(data, which)[0] if r.id not in sets.TRAINED_ON]


@main.command()
@_options
@click.option("--part", nargs=2, type=int, default=(0, 1), help="K M: every M-th species from the K-th.")
def run(data, which, xc, out, part):
    """Computes what is missing; can be interrupted and resumed."""
    runner.run(_reactions(data, which)[1], xc.split(","), out, Protocol(), part)


@main.command("report")
@_options
@click.option("--no-disp", is_flag=True, help="SCF energies alone.")
@click.option("--only", default="", help="Rows to print, separated by commas: subsets, ions, radicals, all.")
def report_command(data, which, xc, out, no_disp, only):
    """Prints the table of errors, without the reactions whose species were trained on."""
    click.echo(report.table(out, xc.split(","), _scored(data, which, xc), not no_disp, only.split(",") if only else ()))


@main.command("figure")
@_options
@click.option("--picture", type=click.Path(path_type=Path), required=True, help="Path of the picture.")
def figure_command(data, which, xc, out, picture):
    """Draws the errors of every subset."""
    figure.subset_errors(out, xc.split(","), _scored(data, which, xc), picture)


@main.command("spread")
@_options
@click.option("--picture", type=click.Path(path_type=Path), help="Path of a picture of the first functional.")
def spread_command(data, which, xc, out, picture):
    """Prints how well the members' spread tells the error, of functionals that are ensembles."""
    names, scored = xc.split(","), _scored(data, which, xc)
    click.echo(spread.table(out, names, scored))
    if picture:
        spread.draw(out, names[0], scored, picture)


@main.command()
@_options
@click.option("--model", type=click.Path(exists=True, path_type=Path), required=True, help="Path of the model's card.")
def card(data, which, xc, out, model):
    """Writes the figures of a finished run into the [benchmark] section of a model card."""
    functional = zoo.load(str(model))
    scored = _scored(data, which, str(model))
    figures = {"list": which, "protocol": Protocol().hash} | report.summary(out, functional.name, scored)
    fields = {k: v for k, v in functional.card.items() if k not in ("format", "weights")}
    click.echo(zoo.save(model.parent, functional, fields | {"benchmark": figures}))


if __name__ == "__main__":
    main()
