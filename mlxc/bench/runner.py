"""Computes the species of a set with several functionals; resumable, one result file per species."""

import json
import os
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
from pyscf import dft, gto

import mlxc
from mlxc import zoo
from mlxc.bench.protocol import FUNCTIONALS, STANDARD, Protocol
from mlxc.bench.sets import Job


def run(jobs: dict[str, Job], functionals: list[str], out: Path, protocol: Protocol = STANDARD, part=(0, 1)):
    """Runs every job not finished yet, smallest first.

    Args:
        jobs: the species.
        functionals: names of FUNCTIONALS or of mlxc models; the first one's density starts the others.
        out: folder for the results; a folder belongs to one protocol.
        protocol: the settings.
        part: (k, m): this process takes every m-th job from the k-th; run m processes for m parts.

    Raises:
        ValueError: the folder holds results of another protocol.
    """
    out.mkdir(parents=True, exist_ok=True)
    _claim(out, protocol)
    ordered = sorted(jobs.values(), key=lambda job: (job.mol().nao, job.key))
    for i, job in enumerate(ordered):
        if i % part[1] != part[0]:
            continue
        todo = [xc for xc in functionals if not (out / xc / f"{job.key}.json").exists()]
        if todo:
            print(f"[{i + 1}/{len(ordered)}] {job.key}: {', '.join(todo)}", flush=True)
            _compute(job, todo, functionals[0], out, protocol)


def _claim(out: Path, protocol: Protocol):
    path = out / "protocol.json"
    if not path.exists():
        path.write_text(json.dumps(asdict(protocol) | {"hash": protocol.hash}, indent=1))
    found = json.loads(path.read_text())["hash"]
    if found != protocol.hash:
        raise ValueError(f"{out} holds results of protocol {found}, this run's is {protocol.hash}: "
                         "choose another folder")


def _compute(job: Job, todo: list[str], first: str, out: Path, protocol: Protocol):
    mol = job.mol()
    grids = dft.gen_grid.Grids(mol)
    grids.level = protocol.grid_level
    grids.build(sort_grids=True)
    guess_file = out / "guess" / f"{job.key}.npy"
    guess = np.load(guess_file) if guess_file.exists() else None
    with_df = None
    for name in todo:
        start = time.process_time()
        mf = _mean_field(mol, name).density_fit(auxbasis=protocol.auxbasis)
        mf.with_df = with_df = with_df or mf.with_df
        if name != "hf":
            mf.grids = grids
            mf.nlc = 0
        mf.conv_tol, mf.max_cycle = protocol.conv_tol, protocol.max_cycle
        mf.disp = None
        cycles = _converge(mf, guess)
        dm = mf.make_rdm1()
        if name == first:
            guess_file.parent.mkdir(exist_ok=True)
            _write(guess_file, lambda f, dm=dm: np.save(f, np.asarray(dm)))
            guess = np.asarray(dm)
        homo = max(mf.mo_energy[mf.mo_occ > 0])
        result = {
            "xc": name, "species": job.species, "basis": job.basis, "charge": job.charge, "spin": job.spin,
            "e_scf": mf.e_tot, "e_disp": dispersion_energy(mf, name, protocol), "converged": bool(mf.converged),
            "cycles": cycles, "s2": float(mf.spin_square()[0]), "homo": float(homo),
            "cpu_s": time.process_time() - start, "protocol": protocol.hash,
            "local_exchange": _local_exchange(mf), "members": _members(mf, name),
        }
        path = out / name / f"{job.key}.json"
        path.parent.mkdir(exist_ok=True)
        _write(path, lambda f, result=result: f.write(json.dumps(result, indent=1).encode()))


def _local_exchange(mf) -> dict | None:
    """What a local hybrid's local part was computed with; None for other functionals."""
    return mlxc.local_exchange_record(mf) or None if hasattr(mf, "xc") else None


def _members(mf, name: str) -> list[float] | None:
    """SCF energies by each member of an ensemble, Ha; None for other functionals, and without convergence."""
    if name not in zoo.names() or not zoo.card(name)["ensemble"] or not mf.converged:
        return None
    return mf.xc_uncertainty().energies.tolist()


def _mean_field(mol: gto.Mole, name: str):
    closed = mol.spin == 0
    if name == "hf":
        return mol.RHF() if closed else mol.UHF()
    if name in FUNCTIONALS:
        return (dft.RKS if closed else dft.UKS)(mol, xc=FUNCTIONALS[name]["xc"])
    return (mlxc.RKS if closed else mlxc.UKS)(mol, xc=name)


def _converge(mf, guess) -> int:
    """Runs the SCF, once more with a level shift where it fails; returns the number of cycles."""
    mf.kernel(dm0=guess)
    cycles = mf.cycles
    if not mf.converged:
        mf.level_shift = 0.3
        mf.kernel(dm0=guess)
        cycles += mf.cycles
    return cycles


def dispersion_energy(mf, name: str, protocol: Protocol) -> float:
    """The functional's dispersion energy (D4 or VV10) after the SCF, in Ha."""
    settings = FUNCTIONALS.get(name)
    if settings is None:
        return mlxc.dispersion_energy(mf.mol, name)
    if "d4" in settings:
        from pyscf.dispersion import dftd4

        return float(dftd4.DFTD4Dispersion(mf.mol, xc=settings["d4"]).get_dispersion()["energy"])
    if settings.get("vv10"):
        nlc_grids = dft.gen_grid.Grids(mf.mol)
        nlc_grids.level = protocol.nlc_grid_level
        nlc_grids.build()
        ni = mf._numint
        dm = np.asarray(mf.make_rdm1())
        total = dm if dm.ndim == 2 else dm.sum(axis=0)
        return float(ni.nr_nlc_vxc(mf.mol, nlc_grids, settings["xc"], total)[1])
    return 0.0


def _write(path: Path, write):
    """Writes a file under a temporary name and renames it, so that a kill leaves nothing half-written."""
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with open(temporary, "wb") as f:
        write(f)
    os.replace(temporary, path)
