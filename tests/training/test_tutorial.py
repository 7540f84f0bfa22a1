"""The tutorial of training/README.md, as it stands there, in an empty folder."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_tutorial_trains_a_functional_that_obeys_its_laws(tmp_path):
    text = (ROOT / "training" / "README.md").read_text()
    section = text[text.index("**A toy**"):]
    commands = re.findall(r"^    (\S.*)$", section, re.MULTILINE)[:2]
    assert [c.split()[0] for c in commands] == ["python", "mlxc"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    train = shlex.split(commands[0].replace("training/configs", str(ROOT / "training" / "configs")))[1:]
    printed = subprocess.run([sys.executable, *train], cwd=tmp_path, env=environment, check=True,
                             capture_output=True, text=True).stdout
    errors = dict(re.findall(r"^(\w+) +\d+ +(\d+\.\d+)", printed, re.MULTILINE))
    assert float(errors["atomisation"]) < 6  # kcal/mol; PBE is off by 8 or more
    check = [sys.executable, "-m", "mlxc.cli", *shlex.split(commands[1])[1:]]
    result = subprocess.run(check, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
