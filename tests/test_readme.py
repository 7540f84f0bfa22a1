"""The README's code runs and prints what the README says."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from mlxc import zoo

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
CODE = re.search(r"```python\n(.*?)```", README, re.DOTALL).group(1)
PRINTED = re.search(r"```text\n(.*?)```", README, re.DOTALL).group(1)


def test_the_code_is_five_lines():
    assert len(CODE.splitlines()) == 5


@pytest.mark.skipif("mlxc_rs" not in zoo.names(), reason="no model is shipped yet")
def test_the_code_prints_what_the_readme_says():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == PRINTED


@pytest.mark.slow
def test_make_run_computes_a_bound_anion():
    line = re.search(r"^\t\$\(BIN\)/mlxc (run .*)$", (ROOT / "Makefile").read_text(), re.MULTILINE).group(1)
    command = [sys.executable, "-m", "mlxc.cli", *shlex.split(line), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["converged"] and result["charge"] == -1 and result["homo_ev"] < 0 and result["warnings"] == []


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)]+)\)", README))
def test_links_lead_somewhere(link):
    assert (ROOT / link).exists()


def test_every_option_in_the_readme_exists():
    from mlxc.cli import run

    known = {option for parameter in run.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert set(re.findall(r"(?<![\w|-])--[a-z][a-z-]+", README)) <= known
