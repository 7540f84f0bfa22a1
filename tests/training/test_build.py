"""Building many records: what is there is kept, what fails is named, and no kill loses or spoils anything."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import mlxc
from mlxc import workers
from mlxc.errors import InvalidInput
from mlxc.manifest.species import Species
from tests.functionals import random_functional
from tests.training.conftest import SPECIES, TINY
from tests.training.test_train import CONFIG
from training import build, data, features

BAD = Species("bad", (("Qq", (0.0, 0.0, 0.0)),), 1.0, 0.0, "sto-3g")

#: What a configuration is made to ask for.
CHOSEN = {key: SPECIES[key] for key in ("H", "H2")}

#: Small species that take some tenths of a second each.
MANY = {f"He{i}": Species(f"He{i}", (("He", (0.0, 0.0, 0.0)), ("H", (0.0, 0.0, 1.0 + 0.1 * i))), 2.0, 1.0, "sto-3g")
        for i in range(12)}


@pytest.fixture
def computed(monkeypatch):
    """Keys of the species that are computed, in order; their records are one and the same."""
    keys: list[str] = []
    omegas = tuple(sorted({*TINY.omegas, *features.STANDARD.omegas}))
    record = features.compute(SPECIES["H"], replace(TINY, omegas=omegas))

    def compute(species: Species, *_):
        keys.append(species.key)
        return record

    monkeypatch.setattr(build, "compute", compute)
    return keys


def test_building_resumes(tmp_path, computed):
    features.build(SPECIES, tmp_path, TINY)
    assert sorted(computed) == sorted(SPECIES)
    features.record_path(tmp_path, SPECIES["He"], TINY).unlink()
    features.build(SPECIES, tmp_path, TINY)
    assert computed[len(SPECIES):] == ["He"]


def test_parts_share_the_work(tmp_path, computed):
    features.build(SPECIES, tmp_path, TINY, part=(0, 2))
    first = set(computed)
    features.build(SPECIES, tmp_path, TINY, part=(1, 2))
    assert 0 < len(first) < len(SPECIES) and sorted(computed) == sorted(SPECIES)


def test_a_damaged_record_is_computed_anew(tmp_path, computed, capsys):
    features.build(SPECIES, tmp_path, TINY)
    path = features.record_path(tmp_path, SPECIES["He"], TINY)
    path.write_bytes(path.read_bytes()[:3000])
    features.build(SPECIES, tmp_path, TINY)
    assert computed[len(SPECIES):] == ["He"] and features.load(SPECIES["He"], tmp_path, TINY).converged
    assert f"{path} (He) is damaged and computed anew" in capsys.readouterr().out


def test_leftovers_of_a_kill_do_no_harm_and_go_away(tmp_path, computed):
    """Old ones are removed; a fresh one may belong to a build that is running."""
    old, fresh = (features.record_path(tmp_path, SPECIES["H"], TINY).with_suffix(f".{i}.tmp") for i in range(2))
    for path in (old, fresh):
        path.write_bytes(b"half a record")
    os.utime(old, (time.time() - 2 * build.LEFT_BEHIND,) * 2)
    features.build({"H": SPECIES["H"]}, tmp_path, TINY)
    assert not old.exists() and fresh.exists() and features.load(SPECIES["H"], tmp_path, TINY).converged


def test_a_species_that_fails_does_not_stop_the_others(tmp_path, capsys):
    species = {"bad": BAD, "H": SPECIES["H"], "He": SPECIES["He"]}
    with pytest.raises(features.SomeFailed, match="(?s)1 of 3 densities .*bad: KeyError") as caught:
        features.build(species, tmp_path, TINY)
    assert list(caught.value.reasons) == ["bad"] and "bad 0.0 s, FAILED" in capsys.readouterr().out
    assert all(features.load(SPECIES[key], tmp_path, TINY).converged for key in ("H", "He"))


def test_a_record_that_may_not_be_written_counts_as_failed(tmp_path, monkeypatch):
    nan = replace(features.compute(SPECIES["H"], TINY), e_rest=float("nan"))
    monkeypatch.setattr(build, "compute", lambda *_: nan)
    with pytest.raises(features.SomeFailed, match="H: .*NaN or infinity in e_rest"):
        features.build({"H": SPECIES["H"]}, tmp_path, TINY)


def test_a_full_disk_ends_the_build_and_spares_what_is_done(tmp_path, computed, monkeypatch):
    def save(*args, original=build.save):
        if len(list(tmp_path.glob("*.h5"))) == 2:
            raise features.NotWritten("no space left on the device")
        return original(*args)

    with monkeypatch.context() as patch:
        patch.setattr(build, "save", save)
        with pytest.raises(features.NotWritten):
            features.build(SPECIES, tmp_path, TINY)
    assert len(computed) == 3 and len(list(tmp_path.iterdir())) == 2
    features.build(SPECIES, tmp_path, TINY)
    assert all(features.load(s, tmp_path, TINY) for s in SPECIES.values()) and len(computed) == len(SPECIES) + 1


def test_an_scf_that_does_not_converge_is_a_record(tmp_path, computed, monkeypatch, capsys):
    record = replace(build.compute(SPECIES["H"]), converged=False, stable=None)
    monkeypatch.setattr(build, "compute", lambda *_: record)
    features.build({"H": SPECIES["H"]}, tmp_path, TINY)
    assert not features.load(SPECIES["H"], tmp_path, TINY).converged and "not converged" in capsys.readouterr().out


@pytest.mark.parametrize("workers", (0, -1, 1.5, True))
def test_a_wrong_number_of_workers_is_refused(tmp_path, workers):
    with pytest.raises(InvalidInput, match="expected a number of processes from 1"):
        features.build(SPECIES, tmp_path, TINY, workers=workers)


# ----------------------------------------------------------------------------------------------- command


def run_command(monkeypatch, folder: Path, config: str, *more: str):
    monkeypatch.setattr(data, "from_config", lambda *_: SimpleNamespace(species=CHOSEN), raising=False)
    (folder / "config.toml").write_text(config)
    arguments = ["--config", str(folder / "config.toml"), "--data", "x", "--features", str(folder / "records"), *more]
    monkeypatch.setattr(sys, "argv", ["features", *arguments])
    features.main()


def test_the_command_builds_what_a_configuration_needs(tmp_path, monkeypatch, computed, capsys):
    """Small species on the coarser grid too, where the configuration weighs it; a second run has nothing to do."""
    run_command(monkeypatch, tmp_path, CONFIG + "grid = 0.1\n")
    coarse = replace(features.STANDARD, grid=1)
    assert all(features.load(s, tmp_path / "records", features.STANDARD) for s in CHOSEN.values())
    assert features.load(CHOSEN["H2"], tmp_path / "records", coarse) and len(computed) == 3
    with pytest.raises(features.MissingRecord):  # one electron
        features.load(CHOSEN["H"], tmp_path / "records", coarse)
    run_command(monkeypatch, tmp_path, CONFIG)
    assert len(computed) == 3 and capsys.readouterr().out.startswith("2 species\n[")


def test_the_command_names_every_failure_once_all_is_done(tmp_path, monkeypatch):
    monkeypatch.setitem(CHOSEN, "bad", replace(BAD, n_beta=1.0))
    with pytest.raises(SystemExit, match="python -m training.features: 1 of 3 densities(.|\n)*bad: KeyError"):
        run_command(monkeypatch, tmp_path, CONFIG + "grid = 0.1\n")
    assert len(list((tmp_path / "records").iterdir())) == 3


def test_the_command_refuses_in_one_line(tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match="python -m training.features: .*config.toml: .*tolerence"):
        run_command(monkeypatch, tmp_path, CONFIG.replace("tolerance", "tolerence"))


# ------------------------------------------------------------------------------------------- many processes


def test_no_scheduler_is_an_error(tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(workers, "PATIENCE", 0.2)
    with pytest.raises(InvalidInput, match="no Dask scheduler at 'tcp://127.0.0.1:1'.*dask scheduler"):
        features.build(SPECIES, tmp_path, TINY, scheduler="tcp://127.0.0.1:1")


@pytest.mark.slow
def test_workers_give_the_same_records_as_one_process(tmp_path):
    """With a functional that only this process has registered; what fails there is reported here."""
    pytest.importorskip("distributed")
    functional = random_functional()
    functional.name = "toy_workers"
    settings = replace(TINY, xc=mlxc.register(functional))
    features.build(SPECIES, tmp_path / "one", settings)
    with pytest.raises(features.SomeFailed, match="bad: KeyError"):
        features.build(SPECIES | {"bad": BAD}, tmp_path / "several", settings, workers=2)
    for s in SPECIES.values():
        one, other = (features.load(s, tmp_path / name, settings) for name in ("one", "several"))
        assert one.e_scf == pytest.approx(other.e_scf, abs=1e-12)
        assert one.variables == pytest.approx(other.variables, abs=1e-12)


@pytest.mark.slow
def test_a_killed_worker_loses_nothing(tmp_path):
    """A worker of a cluster dies while it computes: all records are there in the end, and are whole."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster, \
            distributed.Client(cluster) as client:
        pids = client.run(os.getpid)
        run = threading.Thread(target=features.build, args=(MANY, tmp_path, TINY),
                               kwargs={"scheduler": cluster.scheduler_address})
        run.start()
        victim = ""
        while not victim and run.is_alive():
            busy = client.processing()
            victim = next((worker for worker, tasks in busy.items() if tasks), "") if any(tmp_path.glob("*.h5")) else ""
        done = len(list(tmp_path.glob("*.h5")))
        os.kill(pids[victim], signal.SIGKILL)
        run.join(60)
        assert 0 < done < len(MANY) and not run.is_alive()
        assert pids[victim] not in client.run(os.getpid).values()
    assert all(features.load(s, tmp_path, TINY).converged for s in MANY.values())
    assert len(list(tmp_path.iterdir())) == len(MANY)


@pytest.mark.slow
def test_a_killed_build_goes_on_where_it_was(tmp_path):
    """The building process itself dies; what it had finished is not computed again."""
    script = ("from pathlib import Path; from training import features; "
              "from tests.training.conftest import TINY; from tests.training.test_build import MANY; "
              f"features.build(MANY, Path({str(tmp_path)!r}), TINY)")
    process = subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parents[2],
                               stdout=subprocess.DEVNULL)
    while not any(tmp_path.glob("*.h5")) and process.poll() is None:
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.h5")}
    assert 0 < len(before) < len(MANY)
    features.build(MANY, tmp_path, TINY)
    assert all(features.load(s, tmp_path, TINY).converged for s in MANY.values())
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())
