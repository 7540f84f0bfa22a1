"""A GPU that was asked for and cannot be had is an error that says what to do."""

import sys
import types

import pytest
import torch

from mlxc.cli import main
from mlxc.errors import Unsupported
from mlxc.host import gpu


@pytest.fixture
def cupy(monkeypatch):
    """A CuPy that finds as many GPUs as it is told to."""
    def make(count):
        def count_or_fail():
            if isinstance(count, Exception):
                raise count
            return count

        runtime = types.SimpleNamespace(getDeviceCount=count_or_fail)
        module = types.SimpleNamespace(__version__="14.2", cuda=types.SimpleNamespace(runtime=runtime))
        monkeypatch.setitem(sys.modules, "cupy", module)

    return make


def test_without_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(Unsupported, match=r"no calculation on a GPU without CuPy .*pip install 'mlxc\[gpu\]'"):
        gpu.require()


@pytest.mark.parametrize("count, says", [
    (RuntimeError("cudaErrorInsufficientDriver"), "reaches no GPU .cudaErrorInsufficientDriver.: .*driver new enough"),
    (0, "there is no GPU: nvidia-smi"),
])
def test_without_a_gpu(cupy, count, says):
    cupy(count)
    with pytest.raises(Unsupported, match=says):
        gpu.require()


def test_without_gpu4pyscf(cupy, monkeypatch):
    cupy(1)
    monkeypatch.setitem(sys.modules, "gpu4pyscf", None)
    with pytest.raises(Unsupported, match="GPU4PySCF cannot be imported"):
        gpu.require()


@pytest.mark.parametrize("built, says", [(None, "was built without CUDA"),
                                         ("13.0", "finds no NVIDIA GPU: .* for CUDA 13.0")])
def test_with_a_torch_that_has_no_gpu(cupy, monkeypatch, built, says):
    cupy(1)
    monkeypatch.setitem(sys.modules, "gpu4pyscf", types.ModuleType("gpu4pyscf"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", built)
    with pytest.raises(Unsupported, match=f"no calculation on a GPU: torch .* {says}"):
        gpu.require()


def test_all_there(cupy, monkeypatch):
    cupy(1)
    monkeypatch.setitem(sys.modules, "gpu4pyscf", types.ModuleType("gpu4pyscf"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    gpu.require()


def test_the_command_line_computes_nothing_without_one(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert main(["run", "--atom", "He 0 0 0", "--gpu"]) == 5
    said = capsys.readouterr()
    assert "CuPy" in said.err and "E =" not in said.out
