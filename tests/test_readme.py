"""The README's code runs and prints what the README says."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from pyscf import dft, gto

from mlxc import zoo
from mlxc.units import KCAL

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


def test_stretched_h2_plus_is_as_wrong_as_the_readme_says():
    figures = re.search(r"H₂⁺ is (.*?) at 3 Å\s+\(B3LYP: (.*?); aug-cc-pVDZ\)", README, re.DOTALL)
    said = [re.findall(r"\d+(?= at| kcal|$| and|,)", part) for part in figures.groups()]
    for xc, numbers in zip(("mlxc_rs", "b3lyp"), said, strict=True):
        for distance, number in zip((1, 2, 3), numbers, strict=True):
            mol = gto.M(atom=f"H 0 0 0; H 0 0 {distance}", charge=1, spin=1, basis="aug-cc-pvdz", verbose=0)
            error = KCAL * (dft.UKS(mol, xc=xc).run().e_tot - mol.UHF().run().e_tot)
            assert round(error) == -int(number)


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
    from mlxc.bench.command import report
    from mlxc.bench.command import run as bench_run
    from mlxc.cli import run

    parameters = [*run.params, *bench_run.params, *report.params]
    known = {option for parameter in parameters for option in (*parameter.opts, *parameter.secondary_opts)}
    assert set(re.findall(r"(?<![\w|-])--[a-z][a-z-]+", README)) <= known
