"""The runner: resumable, one protocol per folder, and no result thrown away."""

import dataclasses
import json

import numpy as np
import pytest
from pyscf import dft

import mlxc
from mlxc.bench import runner
from mlxc.bench.protocol import Protocol
from mlxc.bench.sets import Job

H2 = Job("T/h2", "sto-3g", (("H", (0.0, 0.0, 0.0)), ("H", (0.0, 0.0, 0.74))), 0, 0)
H2_CATION = Job("T/h2+", "sto-3g", H2.atoms, 1, 1)
JOBS = {job.key: job for job in (H2, H2_CATION)}

PROTOCOL = Protocol(basis="sto-3g", grid_level=0, nlc_grid_level=0)


@pytest.fixture
def computed(monkeypatch):
    """(job, functionals) of every calculation, in order."""
    seen: list[tuple[str, list[str]]] = []
    compute = runner._compute

    def watched(job, todo, *rest):
        seen.append((job.key, todo))
        compute(job, todo, *rest)

    monkeypatch.setattr(runner, "_compute", watched)
    return seen


def results(out, functional):
    return {path.stem: json.loads(path.read_text()) for path in (out / functional).glob("*.json")}


def test_results_are_those_of_the_host(tmp_path):
    """SCF energies with density fitting, dispersion apart, for PySCF's functionals and the learned one."""
    runner.run({H2.key: H2}, ["hf", "pbe", "mlxc_rs"], tmp_path, PROTOCOL)
    for name, mf in (("hf", H2.mol().RHF()), ("pbe", dft.RKS(H2.mol(), xc="pbe")), ("mlxc_rs", mlxc.RKS(H2.mol()))):
        mf = mf.density_fit(auxbasis=PROTOCOL.auxbasis)
        if name != "hf":
            mf.grids.level = 0
        found = results(tmp_path, name)[H2.key]
        assert found["converged"] and found["e_scf"] == pytest.approx(mf.kernel(), abs=1e-7)
        assert (found["species"], found["basis"], found["charge"], found["spin"]) == ("T/h2", "sto-3g", 0, 0)
        assert found["protocol"] == PROTOCOL.hash
        assert found["homo"] == pytest.approx(mf.mo_energy[0], abs=1e-4)
    assert results(tmp_path, "hf")[H2.key]["e_disp"] == 0
    assert results(tmp_path, "pbe")[H2.key]["e_disp"] < 0
    assert results(tmp_path, "mlxc_rs")[H2.key]["e_disp"] == mlxc.dispersion_energy(H2.mol(), "mlxc_rs")


def test_run_resumes(tmp_path, computed, capsys):
    runner.run(JOBS, ["hf"], tmp_path, PROTOCOL)
    assert sorted(computed) == [(key, ["hf"]) for key in sorted(JOBS)]
    computed.clear()
    runner.run(JOBS, ["hf"], tmp_path, PROTOCOL)
    assert computed == []
    (tmp_path / "hf" / f"{H2.key}.json").unlink()
    runner.run(JOBS, ["hf"], tmp_path, PROTOCOL)
    assert computed == [(H2.key, ["hf"])]
    computed.clear()
    runner.run(JOBS, ["hf", "pbe"], tmp_path, PROTOCOL)
    assert sorted(computed) == [(key, ["pbe"]) for key in sorted(JOBS)]
    assert "T__h2__sto-3g: pbe" in capsys.readouterr().out


def test_a_half_written_result_counts_for_nothing(tmp_path, computed, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(runner.os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            runner.run({H2.key: H2}, ["hf"], tmp_path, PROTOCOL)
    assert not list(tmp_path.rglob("*.npy")) and not list(tmp_path.glob("hf/*.json"))
    runner.run({H2.key: H2}, ["hf"], tmp_path, PROTOCOL)
    assert [key for key, _ in computed] == [H2.key] * 2
    assert results(tmp_path, "hf")[H2.key]["converged"]


def test_the_first_functionals_density_starts_the_others(tmp_path, monkeypatch):
    guesses = []
    converge = runner._converge

    def watched(mf, guess):
        guesses.append(guess)
        return converge(mf, guess)

    monkeypatch.setattr(runner, "_converge", watched)
    runner.run({H2_CATION.key: H2_CATION}, ["hf", "pbe"], tmp_path, PROTOCOL)
    stored = np.load(tmp_path / "guess" / f"{H2_CATION.key}.npy")
    assert guesses[0] is None and np.array_equal(guesses[1], stored)
    assert stored.shape == (2, 2, 2) and np.einsum("ij,ji", stored[0], H2.mol().intor("int1e_ovlp")) == pytest.approx(1)
    runner.run({H2_CATION.key: H2_CATION}, ["hf", "r2scan"], tmp_path, PROTOCOL)
    assert np.array_equal(guesses[2], stored)


@pytest.mark.parametrize("change", ({"grid_level": 1}, {"conv_tol": 1e-9}, {"basis": "6-31g"}))
def test_a_folder_of_another_protocol_is_refused(tmp_path, change):
    runner.run({}, ["hf"], tmp_path, PROTOCOL)
    other = dataclasses.replace(PROTOCOL, **change)
    with pytest.raises(ValueError, match=f"results of protocol {PROTOCOL.hash}, this run's is {other.hash}"):
        runner.run(JOBS, ["hf"], tmp_path, other)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["protocol.json"]


def test_unconverged_results_are_kept_and_say_so(tmp_path):
    protocol = dataclasses.replace(PROTOCOL, max_cycle=1, conv_tol=1e-14)
    water = Job("T/w", "6-31g", (("O", (0, 0, 0)), ("H", (0, 0, 0.96)), ("H", (0.93, 0, -0.24))), 0, 0)
    runner.run({water.key: water}, ["hf"], tmp_path, protocol)
    found = results(tmp_path, "hf")[water.key]
    assert found["converged"] is False and found["cycles"] == 2  # the second with a level shift
    assert -76.5 < found["e_scf"] < -75


def test_parts_share_the_jobs(tmp_path, computed):
    runner.run(JOBS, ["hf"], tmp_path, PROTOCOL, part=(0, 2))
    assert len(computed) == 1
    runner.run(JOBS, ["hf"], tmp_path, PROTOCOL, part=(1, 2))
    assert sorted(key for key, _ in computed) == sorted(JOBS)


def test_vv10_is_added_after_the_scf(tmp_path):
    runner.run({H2.key: H2}, ["wb97m_v"], tmp_path, PROTOCOL)
    found = results(tmp_path, "wb97m_v")[H2.key]
    assert 0 < found["e_disp"] < 0.02
