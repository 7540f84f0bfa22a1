"""The command line: `mlxc run`, `mlxc list`, `mlxc info`, `mlxc check`, `mlxc bench`.

Exit codes:
    0    done
    1    the SCF did not converge; its last energy is printed as not converged (`mlxc bench run`: some of them)
    2    an option, file or molecule that cannot be computed, or a package that is missing
    3    a constraint that a model claims does not hold
    4    a model file that is damaged, changed or foreign
    5    a combination or a version of PySCF that mlxc does not support
    70   an error in mlxc itself
    130  interrupted
    141  whoever read the output went away
"""

import json
import sys
import traceback
from pathlib import Path

import click

from mlxc import zoo
from mlxc.bench.command import bench
from mlxc.errors import IncompatibleHost, InvalidInput, InvalidModel, MlxcError, Unsupported

OK, NOT_CONVERGED, BAD_INPUT, VIOLATED, BAD_MODEL, UNSUPPORTED = range(6)
BUG, INTERRUPTED, UNREAD = 70, 130, 141


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; returns its exit code, with every error as one sentence on stderr."""
    try:
        return cli.main(arguments, prog_name="mlxc", standalone_mode=False) or OK
    except SystemExit:  # click's end when the reader of a pipe has closed it
        return UNREAD
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return BAD_INPUT
    except MlxcError as error:
        click.echo(f"Error: {error}", err=True)
        return _code_of(error)
    except Exception:
        traceback.print_exc()
        click.echo("This is an error in mlxc, please report it with the lines above.", err=True)
        return BUG


def _code_of(error: MlxcError) -> int:
    if isinstance(error, InvalidModel):
        return BAD_MODEL
    return UNSUPPORTED if isinstance(error, Unsupported | IncompatibleHost) else BAD_INPUT


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=(
    "Exit codes: 0 done, 1 SCF not converged, 2 bad input, 3 a claimed constraint does not hold, 4 damaged model file, "
    "5 not supported, 70 error in mlxc, 130 interrupted."))
@click.version_option(package_name="mlxc")
def cli():
    """Neural exchange-correlation functionals for molecules, ions and radicals, with PySCF."""


@cli.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--atom", help="The molecule in place of a file, in Å: 'O 0 0 0; H 0 0 0.97'.")
@click.option("--xc", default="mlxc_rs", show_default=True, help="A model, the path of a model card, or PySCF's name.")
@click.option("--basis", default="def2-tzvpd", show_default=True, help="PySCF's name of a basis.")
@click.option("--charge", default=0, show_default=True, help="Total charge.")
@click.option("--spin", type=int, help="Number of unpaired electrons, 2S.  [default: the lowest possible]")
@click.option("--df/--no-df", default=False, help="Density fitting for Coulomb and exchange.")
@click.option("--disp/--no-disp", default=None, help="D4 dispersion.  [default: where the model's card has parameters]")
@click.option("--grid", type=click.IntRange(0, 9), help="PySCF's grid level.  [default: the model's, or 3]")
@click.option("--max-cycle", type=click.IntRange(1), default=50, show_default=True, help="SCF cycles.")
@click.option("--save", type=click.Path(path_type=Path), help="Write PySCF's checkpoint file.")
@click.option("--gpu", is_flag=True, help="SCF on an NVIDIA GPU, with GPU4PySCF.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def run(file, atom, xc, basis, charge, spin, df, disp, grid, max_cycle, save, gpu, as_json):
    """Energy and properties of the molecule in FILE (xyz), or of --atom."""
    from mlxc.calculation import Settings, calculate, print_to_stderr
    from mlxc.structure import parse_atoms, read_xyz
    from mlxc.summary import as_text

    if (file is None) == (atom is None):
        raise InvalidInput("give either the path of an xyz file or --atom 'O 0 0 0; H 0 0 0.97'")
    atoms = read_xyz(file) if file is not None else parse_atoms(atom)
    settings = Settings(xc, basis, charge, spin, df, disp, grid, max_cycle, save, gpu)
    result = calculate(atoms, settings, print_to_stderr)
    click.echo(json.dumps(result, indent=2, allow_nan=False) if as_json else as_text(result))
    return OK if result["converged"] else NOT_CONVERGED


@cli.command(name="list")
def list_models():
    """The models that come with mlxc."""
    for name in zoo.names():
        card = zoo.card(name)
        members = card["ensemble"].get("members")
        mean = f" (mean of {members} members: mf.xc_uncertainty())" if members else ""
        click.echo(f"{name:16s} {card['version']:8s} {card['description']}{mean}")
    return OK


@cli.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print the card as JSON.")
def info(name, as_json):
    """The card of model NAME: what it is, claims, and was trained on. Its files are verified."""
    from mlxc.zoo.text import card_as_text

    card = zoo.load(name).card
    click.echo(json.dumps(card, indent=2) if as_json else card_as_text(card))
    return OK


@cli.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
def check(name, as_json):
    """Measures every constraint of model NAME; exit code 3 when one that it claims does not hold."""
    from mlxc.checking import check_model, dispersion_line, rows_as_text

    functional = zoo.load(name)
    rows = check_model(functional)
    click.echo(json.dumps(rows, indent=2) if as_json else f"{rows_as_text(rows)}\n\n{dispersion_line(functional)}")
    return OK if all(row["ok"] for row in rows if row["claimed"]) else VIOLATED


cli.add_command(bench)

if __name__ == "__main__":
    sys.exit(main())
