"""A run can be stopped and goes on; what was finished is never lost, and what is wrong never averaged."""

import dataclasses
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from mlxc.bench import methods, runner
from mlxc.bench.entries import Builder
from mlxc.bench.jobs import Job
from mlxc.bench.results import Results
from mlxc.errors import InvalidInput
from tests.bench.conftest import H2, H2_CATION, HE, PROTOCOL

HF, PBE = methods.method("hf"), methods.method("pbe")


@pytest.fixture
def computed(monkeypatch):
    """(species, functional) of every calculation, in order."""
    seen: list[tuple[str, str]] = []
    attempt = runner.attempt

    def watched(work, protocol):
        seen.append((work[0].species, work[1].name))
        return attempt(work, protocol)

    monkeypatch.setattr(runner, "attempt", watched)
    return seen


def test_results_are_on_disk(tmp_path, tiny):
    done = runner.run([tiny], [HF, PBE], tmp_path, PROTOCOL)
    assert (done.results, done.not_converged, done.failed) == (6, 0, {})
    found = Results(tmp_path)
    assert list(found.methods()) == ["hf", "pbe"] and found.sets() == {"tiny": tiny}
    assert found.protocol["hash"] == PROTOCOL.hash
    result = found.get("pbe", H2.key)
    assert result["converged"] and result["protocol"] == PROTOCOL.hash and result["job"]["species"] == "T/h2"
    assert found.get("pbe", "none") is None


def test_a_run_computes_what_is_missing_alone(tmp_path, tiny, computed):
    runner.run([tiny], [HF], tmp_path, PROTOCOL)
    assert sorted(computed) == [("T/h2", "hf"), ("T/h2+", "hf"), ("T/he", "hf")]
    for change, expected in (((lambda: None), []), (lambda: (tmp_path / "hf" / f"{H2.key}.json").unlink(),
                                                     [("T/h2", "hf")])):
        computed.clear()
        change()
        runner.run([tiny], [HF], tmp_path, PROTOCOL)
        assert computed == expected
    computed.clear()
    runner.run([tiny], [PBE, HF], tmp_path, PROTOCOL)
    assert {name for _, name in computed} == {"pbe"} and len(computed) == 3


def test_a_file_cut_in_half_is_computed_anew(tmp_path, tiny, computed, capsys):
    runner.run([tiny], [HF], tmp_path, PROTOCOL)
    path = tmp_path / "hf" / f"{HE.key}.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(InvalidInput, match=f"{path.name} is damaged.*remove it"):
        Results(tmp_path).get("hf", HE.key)
    computed.clear()
    runner.run([tiny], [HF], tmp_path, PROTOCOL)
    assert computed == [("T/he", "hf")] and "is damaged and computed anew" in capsys.readouterr().out


def test_a_result_of_another_protocol_is_refused(tmp_path, tiny, computed):
    """Copied in from elsewhere, say."""
    runner.run([tiny], [HF], tmp_path, PROTOCOL)
    path = tmp_path / "hf" / f"{HE.key}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"protocol": "000000000000"}))
    with pytest.raises(InvalidInput, match="computed with protocol 000000000000"):
        Results(tmp_path).get("hf", HE.key)
    computed.clear()
    runner.run([tiny], [HF], tmp_path, PROTOCOL)
    assert computed == [("T/he", "hf")]


@pytest.mark.parametrize("change", ({"grid_level": 1}, {"conv_tol": 1e-9}, {"basis": "6-31g"}))
def test_a_folder_of_another_protocol_is_refused(tmp_path, tiny, change):
    runner.run([tiny], [HF], tmp_path, PROTOCOL)
    other = dataclasses.replace(PROTOCOL, **change)
    with pytest.raises(InvalidInput, match=f"results of protocol {PROTOCOL.hash}, this run's is {other.hash} "
                                           rf"\(another {next(iter(change))}\)"):
        runner.run([tiny], [PBE], tmp_path, other)
    assert list(Results(tmp_path).methods()) == ["hf"]


def test_another_version_of_a_functional_is_refused(tmp_path, tiny):
    runner.run([tiny], [HF], tmp_path, PROTOCOL)
    with pytest.raises(InvalidInput, match="holds results of hf as .*choose another --out, or remove that folder"):
        runner.run([tiny], [dataclasses.replace(HF, version="PySCF 3")], tmp_path, PROTOCOL)


def test_two_runs_do_not_write_to_one_folder(tmp_path, tiny):
    with open(tmp_path / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(InvalidInput, match="another run is writing to .*--workers"):
            runner.run([tiny], [HF], tmp_path, PROTOCOL)
    runner.run([tiny], [HF], tmp_path, PROTOCOL)


def test_a_result_of_another_version_is_refused(tmp_path, tiny):
    """Also where somebody removed what says which version the folder has."""
    runner.run([tiny], [HF], tmp_path, PROTOCOL)
    (tmp_path / "hf" / "method.json").unlink()
    newer = dataclasses.replace(HF, version="PySCF 3")
    done = runner.run([tiny], [newer], tmp_path, PROTOCOL)
    assert done.results == 3
    assert Results(tmp_path).get("hf", H2.key)["identity"]["version"] == "PySCF 3"


def test_damaged_settings_say_what_to_do(tmp_path, tiny):
    runner.run([tiny], [HF], tmp_path, PROTOCOL)
    (tmp_path / "hf" / "method.json").write_text("{")
    with pytest.raises(InvalidInput, match="method.json is damaged .*: remove its folder"):
        runner.run([tiny], [HF], tmp_path, PROTOCOL)


def test_a_basis_that_does_not_exist_leaves_the_folder_alone(tmp_path, tiny):
    jobs = {key: dataclasses.replace(job, basis="no-such-basis") for key, job in tiny.jobs.items()}
    with pytest.raises(InvalidInput, match="no species can be computed: T/h2.*no-such-basis"):
        runner.run([dataclasses.replace(tiny, jobs=jobs)], [HF], tmp_path / "out", PROTOCOL)
    assert not (tmp_path / "out").exists()


def test_a_species_that_makes_no_sense_is_a_failure_of_its_own(tmp_path, tiny):
    build = Builder()
    build.add("bad", "s", "f", [(dataclasses.replace(H2, spin=1), 1)], 0.0)
    done = runner.run([tiny, build.finished("bad", "")], [HF], tmp_path, PROTOCOL)
    assert done.results == 4 and [reason.split(":")[0] for reason in done.failed.values()] == ["RuntimeError"]


def test_what_a_dying_worker_had_is_computed_in_the_next_run(tmp_path, tiny, monkeypatch):
    @contextmanager
    def pool(workers, scheduler):
        yield lambda function, items, *how: ((item, RuntimeError("worker died")) for item in items)

    with monkeypatch.context() as patch:
        patch.setattr(runner, "pool", pool)
        done = runner.run([tiny], [HF], tmp_path, PROTOCOL)
    assert done.results == 0 and len(done.failed) == 3 and all("next run" in why for why in done.failed.values())
    assert runner.run([tiny], [HF], tmp_path, PROTOCOL).results == 3


def test_failures_stay_failures_until_they_are_tried_again(tmp_path, tiny, computed, capsys):
    bad = dataclasses.replace(PBE, xc="no_such_functional")
    done = runner.run([tiny], [bad], tmp_path, PROTOCOL)
    assert len(done.failed) == 3 and all("KeyError" in reason for reason in done.failed.values())
    assert re.search(r"pbe \d+\.\d s, FAILED", capsys.readouterr().out)
    computed.clear()
    assert len(runner.run([tiny], [bad], tmp_path, PROTOCOL).failed) == 3 and not computed
    assert len(runner.run([tiny], [bad], tmp_path, PROTOCOL, retry=True).failed) == 3 and len(computed) == 3


def test_what_did_not_converge_is_tried_again_when_asked(tmp_path, computed):
    """Water in one cycle per attempt."""
    build, protocol = Builder(), dataclasses.replace(PROTOCOL, max_cycle=1)
    water = Job("w", (("O", (0.0, 0.0, 0.0)), ("H", (0.0, 0.0, 0.96)), ("H", (0.93, 0.0, -0.24))), 0, 0, "6-31g")
    build.add("E", "s", "f", [(water, 1)], 0.0)
    for retry, times in ((False, 1), (False, 1), (True, 2)):
        assert runner.run([build.finished("w", "")], [HF], tmp_path, protocol, retry=retry).not_converged == 1
        assert len(computed) == times


def test_a_full_disk_leaves_what_was_finished(tmp_path, tiny, monkeypatch):
    replace, written = os.replace, []

    def full(source, target):
        if Path(target).parent.name == "hf" and len(written) == 2:
            raise OSError(28, "No space left on device")
        if Path(target).stem.startswith("T__"):
            written.append(target)
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InvalidInput, match=r"cannot be written \(No space left on device\): make room"):
        runner.run([tiny], [HF], tmp_path, PROTOCOL)
    monkeypatch.undo()
    assert not list(tmp_path.rglob("*.tmp")) and len(list(tmp_path.glob("hf/T__*.json"))) == 2
    assert runner.run([tiny], [HF], tmp_path, PROTOCOL).results == 3


def test_small_jobs_come_first(tmp_path, tiny, computed):
    runner.run([tiny], [HF], tmp_path, PROTOCOL)
    assert [name for name, _ in computed] == ["T/he", "T/h2", "T/h2+"]


@pytest.mark.parametrize(("compared", "warned"), (("", True), ("benchmark.json", False)))
def test_a_model_that_was_not_compared_with_the_test_is_named(tmp_path, tiny, monkeypatch, compared, warned):
    found, said = methods.method("mlxc_rs"), []
    card = found.model.card | {"training": found.model.card["training"] | {"leakage": {"compared": compared}}}
    monkeypatch.setattr(found.model, "card", card)
    monkeypatch.setattr(runner, "attempt", lambda work, protocol: {"failed": "not tried"})
    runner.run([tiny], [found], tmp_path, PROTOCOL, say=said.append)
    assert any("mlxc_rs was trained without benchmark.json" in line for line in said) is warned


def test_excitations_count_as_work(tmp_path, computed):
    build = Builder()
    build.add("both", "f", "f", [(dataclasses.replace(H2, excitations=True), 1), (H2_CATION, -1)], 0.0)
    runner.run([build.finished("excited", "A molecule with more to do than its ion")], [HF], tmp_path, PROTOCOL)
    assert [name for name, _ in computed] == ["T/h2+", "T/h2"]


@pytest.mark.slow
def test_processes_give_the_same_results(tmp_path, tiny):
    pytest.importorskip("distributed")
    for folder, workers in (("one", 1), ("two", 2)):
        runner.run([tiny], [HF, PBE], tmp_path / folder, PROTOCOL, workers=workers)
    for name in ("hf", "pbe"):
        for key in (H2.key, H2_CATION.key, HE.key):
            one, two = (Results(tmp_path / folder).get(name, key) for folder in ("one", "two"))
            assert one["e_scf"] == pytest.approx(two["e_scf"], abs=1e-10)


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(tmp_path, tiny):
    """Killed after the first result, without a chance to tidy up."""
    script = ("import sys; from pathlib import Path; from mlxc.bench import methods, runner; "
              "from mlxc.bench.entries import Builder; from tests.bench.conftest import H2, H2_CATION, HE, PROTOCOL\n"
              "b = Builder()\n"
              "[b.add(j.species, 's', 'f', [(j, 1)], 0.0) for j in (H2, H2_CATION, HE)]\n"
              "runner.run([b.finished('tiny', '')], [methods.method(n) for n in ('hf', 'pbe', 'mlxc_lh')], "
              "Path(sys.argv[1]), PROTOCOL)")
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=Path(__file__).parents[2])
    deadline = time.time() + 120
    while not list(tmp_path.glob("mlxc_lh/T__*.json")) and time.time() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/T__*.json")}
    assert before
    done = runner.run([tiny], [HF, PBE], tmp_path, PROTOCOL)
    assert done.results == 6 and not done.failed
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())
