"""The README's code runs and prints what the README says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mlxc import zoo

README = (Path(__file__).parent.parent / "README.md").read_text()
CODE = re.search(r"```python\n(.*?)```", README, re.DOTALL).group(1)
PRINTED = re.search(r"```text\n(.*?)```", README, re.DOTALL).group(1)


def test_the_code_is_five_lines():
    assert len(CODE.splitlines()) == 5


@pytest.mark.skipif("mlxc_rs" not in zoo.names(), reason="no model is shipped yet")
def test_the_code_prints_what_the_readme_says():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == PRINTED


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)]+)\)", README))
def test_links_lead_somewhere(link):
    assert (Path(__file__).parent.parent / link).exists()


def test_every_option_in_the_readme_exists():
    from mlxc.cli import run

    known = {option for parameter in run.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert set(re.findall(r"(?<![\w-])--[a-z-]+", README)) <= known
