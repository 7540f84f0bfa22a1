"""`mlxc bench` as a user types it: what it prints, and its exit codes."""

import json
import re
import shutil
from pathlib import Path

import pytest

import mlxc
from mlxc import zoo
from mlxc.cli import main
from mlxc.zoo.card import read_card
from tests.bench.conftest import BOND

MODELS = Path(mlxc.__file__).parent / "zoo" / "models"

MANIFEST = {"format": 1, "name": "tiny", "description": "two reactions",
            "species": {"h2": {"atoms": [[s, *x] for s, x in BOND], "charge": 0, "spin": 0},
                        "h2+": {"atoms": [[s, *x] for s, x in BOND], "charge": 1, "spin": 1},
                        "he": {"atoms": [["He", 0, 0, 0]], "charge": 0, "spin": 0},
                        "he+": {"atoms": [["He", 0, 0, 0]], "charge": 1, "spin": 1}},
            "reactions": [{"id": "IP(H2)", "stoichiometry": {"h2": -1, "h2+": 1, "e-": 1}, "reference": 350.0,
                           "unit": "kcal/mol", "subset": "ip", "source": "x"},
                          {"id": "IP(He)", "stoichiometry": {"he": -1, "he+": 1, "e-": 1}, "reference": 567.0,
                           "unit": "kcal/mol", "subset": "ip", "source": "x"}]}


@pytest.fixture
def manifest(tmp_path):
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps(MANIFEST))
    return str(path)


def run(manifest, out, *more) -> int:
    return main(["bench", "run", "--set", manifest, "--out", str(out), "--basis", "sto-3g", "--diffuse-basis", "sto-3g",
                 "--grid", "0", *more])


def test_run_and_report(manifest, tmp_path, capsys):
    assert run(manifest, tmp_path / "out", "--xc", "hf,pbe") == 0
    said = capsys.readouterr().out
    assert re.search(r"grid_level +0\n", said) and "8 results" in said and "0 failed" in said
    assert main(["bench", "report", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "report.html").is_file()
    capsys.readouterr()
    assert main(["bench", "report", str(tmp_path / "out"), "--rows", "all", "--xc", "pbe"]) == 0
    table = capsys.readouterr().out
    assert "| all | 2 |" in table and "| ip |" not in table and "hf" not in table


def test_results_are_exported_and_known_again(manifest, tmp_path, capsys):
    run(manifest, tmp_path / "out", "--xc", "hf")
    file = str(tmp_path / "energies.jsonl.gz")
    assert main(["bench", "export", str(tmp_path / "out"), file]) == 0
    assert "4 results in " in capsys.readouterr().out
    assert run(manifest, tmp_path / "again", "--xc", "hf", "--known", file) == 0
    assert "4 results taken over from energies.jsonl.gz" in capsys.readouterr().out


def test_what_does_not_converge_is_told_by_the_exit_code(manifest, tmp_path, monkeypatch, capsys):
    from mlxc.bench import runner

    monkeypatch.setattr(runner, "attempt", lambda work, _: {"failed": "ValueError: no", "seconds": 0.0})
    assert run(manifest, tmp_path / "out", "--xc", "hf") == 1
    assert "failed: hf, " in capsys.readouterr().err


def test_an_interrupt_leaves_what_is_finished(manifest, tmp_path, monkeypatch, capsys):
    from mlxc.bench import runner

    attempt, seen = runner.attempt, []

    def interrupted(work, protocol):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(work)
        return attempt(work, protocol)

    monkeypatch.setattr(runner, "attempt", interrupted)
    assert run(manifest, tmp_path / "out", "--xc", "hf") == 130
    assert "interrupted" in capsys.readouterr().err and len(list((tmp_path / "out" / "hf").glob("h*__*.json"))) == 2


@pytest.mark.parametrize("arguments, code, message", (
    (["--set", "minni"], 2, "unknown set 'minni'"), (["--set", "mini", "--xc", "pbbe"], 2, "unknown functional 'pbbe'"),
    (["--set", "ions-radicals"], 2, "with --data DIR"), (["--set", "mini", "--xc", ","], 2, "leaves nothing")))
def test_bad_input_is_one_sentence(arguments, code, message, tmp_path, capsys):
    assert main(["bench", "run", "--out", str(tmp_path / "out"), *arguments]) == code
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_compare_needs_two_runs(tmp_path, capsys):
    assert main(["bench", "compare", str(tmp_path), str(tmp_path)]) == 2
    assert "no folder of results" in capsys.readouterr().err


def test_sets_and_protocol_are_printed(capsys):
    assert main(["bench", "sets"]) == 0 and "ions-radicals:smoke" in capsys.readouterr().out
    assert main(["bench", "protocol"]) == 0 and "def2-tzvpd" in capsys.readouterr().out


def test_errors_go_into_the_card_of_the_model_that_has_them(manifest, tmp_path, capsys):
    """Also of a model that is shipped; another model of the same name has no results."""
    assert run(manifest, tmp_path / "out", "--xc", "mlxc_rs") == 0
    copies = []
    for folder in ("same", "other"):
        copies.append(tmp_path / folder / "mlxc_rs.toml")
        copies[-1].parent.mkdir()
        for suffix in (".toml", ".safetensors"):
            shutil.copy(MODELS / f"mlxc_rs{suffix}", copies[-1].parent)
    assert main(["bench", "card", str(tmp_path / "out"), "--set", "tiny", "--model", str(copies[0])]) == 0
    written = read_card(copies[0])["benchmark"]
    assert (written["list"], written["reactions"], written["not_converged"]) == ("tiny", 2, 0)
    functional = zoo.load(str(copies[1]))
    fields = {k: v for k, v in functional.card.items() if k not in ("format", "weights")} | {"version": "9.9"}
    zoo.save(copies[1].parent, functional, fields)
    capsys.readouterr()
    assert main(["bench", "card", str(tmp_path / "out"), "--set", "tiny", "--model", str(copies[1])]) == 2
    assert "no results of this version of mlxc_rs" in capsys.readouterr().err
    assert main(["bench", "card", str(tmp_path / "out"), "--set", "big", "--model", str(copies[0])]) == 2
    assert "has no set 'big'" in capsys.readouterr().err
