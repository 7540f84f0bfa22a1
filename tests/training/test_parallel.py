"""Several processes: the same result as one, on the same batches, with the command that starts them."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.functionals import random_functional
from tests.training import toy
from tests.training.conftest import SPECIES, TINY
from tests.training.test_train import CONFIG, NAME
from training import adam, fit, parallel, smoothness
from training.objective import theta

ROOT = Path(__file__).parents[2]
ADAM = 'method = "adam"\nbatch = 2\nrate = 0.02\n'


class Pretended:
    """Process k of two; what is summed is kept, so that the sum can be formed afterwards."""

    def __init__(self, patch, rank: int):
        self.parts: list[np.ndarray] = []
        patch.setattr(parallel, "rank", lambda: rank)
        patch.setattr(parallel, "size", lambda: 2)
        patch.setattr(parallel, "total", self.total)

    def total(self, array):
        self.parts.append(array.copy())
        return array


def divided(prepared: dict[str, fit.Energies]) -> dict[str, fit.Energies]:
    """As `fit.prepare` makes them in this process."""
    return {key: replace(e, mine=parallel.mine(key)) for key, e in prepared.items()}


def test_one_process_has_all_species_and_sums_nothing():
    assert (parallel.rank(), parallel.size()) == (0, 1)
    assert all(map(parallel.mine, ("H", "He", "anything")))
    array = np.arange(3.0)
    assert parallel.total(array) is array
    with parallel.processes():
        parallel.wait()


def test_two_processes_share_the_species(monkeypatch):
    problem = toy.objective()
    values, gradients = fit.jacobian(problem.functional, problem.prepared)
    halves = [Pretended(monkeypatch, rank) for rank in (0, 1)]
    owned = []
    for rank, half in enumerate(halves):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(parallel, "rank", lambda rank=rank: rank)
            patch.setattr(parallel, "total", half.total)
            owned.append({key for key in problem.prepared if parallel.mine(key)})
            fit.jacobian(problem.functional, divided(problem.prepared))
    assert all(owned) and not owned[0] & owned[1] and owned[0] | owned[1] == set(problem.prepared)
    energies, rows = (a + b for a, b in zip(halves[0].parts, halves[1].parts, strict=True))
    assert np.array_equal(energies, list(values.values()))
    assert np.array_equal(rows, list(gradients.values()))


def test_both_grids_of_a_species_are_one_processs(records, monkeypatch):
    """Where its terms were made they are evaluated: on the coarse grid under another name."""
    monkeypatch.setattr(smoothness, "coarser", lambda _: TINY)  # the records of the tests stand for both grids
    functional, damping = random_functional(), {"s6": 1.0, "s8": 0.5, "s9": 1.0, "a1": 0.4, "a2": 5.0}
    monkeypatch.setattr(parallel, "size", lambda: 2)
    for rank in (0, 1):
        monkeypatch.setattr(parallel, "rank", lambda rank=rank: rank)
        prepared = fit.prepare(functional, SPECIES.values(), records, damping, TINY)
        smoothness.on_two_grids(functional, SPECIES, prepared, records, damping, TINY)
        names = [key for key in prepared if key.endswith(" coarse")]
        assert names and all(prepared[n].mine is prepared[n.removesuffix(" coarse")].mine for n in names)
        assert all(isinstance(prepared[n].terms, tuple) is prepared[n].mine for n in names)


def test_who_computes_a_species_is_the_same_in_every_process_and_run(monkeypatch):
    """Python's own hash would not do."""
    monkeypatch.setattr(parallel, "size", lambda: 3)
    owners = {}
    for rank in range(3):
        monkeypatch.setattr(parallel, "rank", lambda rank=rank: rank)
        owners |= {key: rank for key in ("H", "He", "H2", "H2O", "CH4", "N2") if parallel.mine(key)}
    assert [owners[key] for key in ("H", "He", "H2", "H2O", "CH4", "N2")] == [2, 2, 2, 0, 0, 2]


def command(folder: Path, name: str, *start: str, fit: str = "", refine: Path | None = None,
            **environment: str) -> subprocess.CompletedProcess:
    """Runs the training command on the tests' species in a process, or in several; or that which refines a model."""
    config = folder / f"{name}.toml"
    config.write_text(CONFIG.replace("steps = 2\n", f"steps = 4\n{fit}")
                      .replace("atomisation =", "ionisation = 1.0\ntotal = 1.0\natomisation ="))
    what = [str(config)] if refine is None else ["refine", str(config), str(refine), "--rounds", "1"]
    arguments = ["tests.training.command", *what, "--data", str(folder), "--features", str(folder / "features"),
                 "--out", str(folder / name)]
    return subprocess.run([sys.executable, "-m", *start, *arguments], cwd=ROOT, text=True, capture_output=True,
                          env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)} | environment)


def weights(folder: Path, name: str) -> np.ndarray:
    """All parameters of a trained model."""
    tensors = load_file(folder / name / f"{NAME}.safetensors")
    return np.concatenate([tensors[key].ravel() for key in sorted(tensors)])


TORCHRUN = ("torch.distributed.run", "--nproc-per-node", "2", "-m")


@pytest.mark.slow
@pytest.mark.parametrize("method", ("", ADAM), ids=("gauss-newton", "adam"))
def test_torchrun_gives_what_one_process_gives(tmp_path, method):
    for name, start in (("one", ()), ("two", TORCHRUN)):
        done = command(tmp_path, name, *start, fit=method)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("step   1  loss") == done.stdout.count("written:") == 1
    assert toy.largest_difference(weights(tmp_path, "two"), weights(tmp_path, "one")) < 1e-10


@pytest.mark.slow
def test_torchrun_refines_as_one_process_does(tmp_path):
    """Densities are shared too: they are made anew, in another folder, by two."""
    assert command(tmp_path, "start").returncode == 0
    said = []
    for name, start in (("one", ()), ("two", TORCHRUN)):
        done = command(tmp_path, name, *start, refine=tmp_path / "start" / f"{NAME}.toml")
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("written:") == 1
        said.append([line for line in done.stdout.splitlines() if line.startswith("round")])
        (tmp_path / "features").rename(tmp_path / f"features of {name}")
    assert len(said[0]) == 2 and said[0] == said[1]
    refined = [weights(tmp_path / name, "round1") for name in ("one", "two")]
    assert toy.largest_difference(*refined) < 1e-9 < toy.largest_difference(refined[0], weights(tmp_path, "start"))


@pytest.mark.slow
def test_a_command_that_was_killed_goes_on_bit_by_bit(tmp_path):
    assert command(tmp_path, "whole").returncode == 0
    killed = command(tmp_path, "killed", MLXC_KILL_AT="3")
    assert killed.returncode == -9 and not (tmp_path / "killed" / f"{NAME}.toml").exists()
    rest = command(tmp_path, "killed")
    assert "goes on after step 2" in rest.stdout and "step   2" not in rest.stdout
    assert np.array_equal(weights(tmp_path, "killed"), weights(tmp_path, "whole"))
    assert sorted(p.name for p in (tmp_path / "killed").iterdir()) == [
        f"{NAME}.{ending}" for ending in ("jsonl", "png", "safetensors", "toml")]


def test_gradients_of_two_processes_add_up(monkeypatch):
    problem = toy.objective(ridge=0.0)
    batch = np.arange(5)
    problem.set(problem.start + 0.1)
    whole = adam.gradient(problem, theta(problem.functional), batch)
    values = fit.slopes(problem.functional, problem.prepared)[0]
    monkeypatch.setattr(fit, "_shared", lambda found, keys: {key: values[key] for key in keys})
    halves = []
    for rank in (0, 1):
        with pytest.MonkeyPatch.context() as patch:
            Pretended(patch, rank)
            half = replace(problem, prepared=divided(problem.prepared))
            halves.append(adam.gradient(half, theta(problem.functional), batch))
    assert all(np.abs(half).max() > 0 for half in halves)
    assert toy.largest_difference(sum(halves), whole) < 1e-12
