"""The package: what the wheel holds, what importing costs, and what it leaves alone."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from mlxc import zoo

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_the_package_with_its_models_and_data_and_nothing_else(wheel):
    files = [name for name in wheel.namelist() if ".dist-info/" not in name]
    expected = {path.relative_to(ROOT).as_posix() for path in (ROOT / "mlxc").rglob("*.py")} | {"mlxc/py.typed"}
    expected |= {f"mlxc/zoo/models/{name}{end}" for name in zoo.names() for end in (".toml", ".safetensors")}
    expected |= {f"mlxc/bench/data/{name}.json" for name in ("curves", "mini", "splits")}
    assert set(files) == expected


def test_the_wheel_brings_the_command_and_the_licence(wheel):
    [info] = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    assert "mlxc = mlxc.cli:main" in wheel.read(f"{info}/entry_points.txt").decode()
    assert "Permission is hereby granted" in wheel.read(f"{info}/licenses/LICENSE").decode()


def test_importing_takes_less_than_a_second_beyond_torch_and_pyscf():
    code = """if True:
        import time, torch, pyscf, pyscf.dft
        start = time.process_time()
        import mlxc
        print(time.process_time() - start)
    """
    assert min(float(python(code)) for _ in range(2)) < 1.0


def test_importing_opens_no_connection_and_loads_nothing_of_the_training():
    code = """if True:
        import importlib, json, pkgutil, sys
        def refuse(event, arguments):
            if event.startswith("socket."):
                raise SystemExit(f"network: {event} {arguments}")
        sys.addaudithook(refuse)
        import mlxc
        for module in pkgutil.walk_packages(mlxc.__path__, "mlxc."):
            importlib.import_module(module.name)
        print(json.dumps([name for name in sys.modules if name.split(".")[0] == "training"]))
    """
    assert json.loads(python(code)) == []


def test_no_source_file_opens_formats_that_execute_code_or_reaches_out():
    for path in (ROOT / "mlxc").rglob("*.py"):
        found = re.search(r"\b(pickle|torch\.(load|jit|hub)|urllib|requests|(?<!\.)(eval|exec)\()", path.read_text())
        assert not found, f"{path.relative_to(ROOT)}: {found.group()}"


def test_the_runtime_imports_one_way():
    order = ["xc", "zoo", "host", "bench"]
    for room in order:
        above = "|".join(order[order.index(room) + 1:] + ["cli", "training"])
        for path in (ROOT / "mlxc" / room).rglob("*.py"):
            found = re.search(rf"^\s*(from|import) (mlxc\.|mlxc import |)({above})\b", path.read_text(), re.MULTILINE)
            assert not found, f"{path.relative_to(ROOT)}: {found.group()}"


def test_versions_agree():
    import mlxc

    declared = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE).group(1)
    cited = re.search(r"^version: (.*)", (ROOT / "CITATION.cff").read_text(), re.MULTILINE).group(1)
    assert mlxc.__version__ == declared == cited
