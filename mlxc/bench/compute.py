"""Computes one species with several functionals under a protocol."""

import time
import warnings
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from pyscf import df, dft, gto, lib

import mlxc
from mlxc.bench.excited import lowest_excitations
from mlxc.bench.jobs import Job
from mlxc.bench.methods import Method, versions
from mlxc.bench.protocol import Protocol
from mlxc.errors import DomainWarning
from mlxc.solution import converge, occupy, stabilised


def attempt(work: tuple[Job, Method], protocol: Protocol) -> dict[str, Any]:
    """The result of a job with a functional; of what cannot be computed ``failed``, the reason."""
    begun = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DomainWarning)  # ions of elements that a model never saw are the point
            result = compute(*work, protocol)
    except Exception as error:  # whatever it is: it is reported, and the others go on
        result = {"failed": f"{type(error).__name__}: {error}"}
    return result | {"seconds": round(time.perf_counter() - begun, 3), "versions": versions()}


class Shared(NamedTuple):
    """What all functionals of one job have in common, and none pays for."""

    mol: gto.Mole
    grids: dft.gen_grid.Grids
    with_df: df.DF | None


@lru_cache(maxsize=1)
def shared(job: Job, protocol: Protocol) -> Shared:
    """Molecule, grid and density fitting, built; the last job's are kept, since its next functional often follows."""
    mol = job.mol()
    grids = dft.gen_grid.Grids(mol)
    grids.level = protocol.grid_level if job.grid_level is None else job.grid_level
    return Shared(mol, grids.build(sort_grids=True), df.DF(mol, protocol.auxbasis).build() if job.density_fit else None)


def compute(job: Job, method: Method, protocol: Protocol) -> dict[str, Any]:
    """SCF of one job with one functional.

    Args:
        job: the species.
        method: the functional.
        protocol: the settings.

    Returns:
        ``e_scf`` and ``e_disp`` (Ha), ``converged``, ``stable`` (None where it was not checked), ``cycles`` (of the SCF
        before that check), ``s2`` (None for fractional electrons), ``homo`` and ``lumo`` (Ha), ``dipole`` (D),
        ``cpu_seconds`` of all that and ``threads``, ``e_one`` (Ha; one-electron species: the exact energy in the
        basis), ``polarizability`` (Å³) and ``excitations`` (Ha, by spin) where wanted, ``members`` (Ha, of an
        ensemble), ``local_exchange`` (of a local hybrid).
    """
    mol, grids, with_df = shared(job, protocol)
    start = time.process_time()
    mf = method.mean_field(mol, job.is_restricted)
    if with_df is not None:
        mf = mf.density_fit(auxbasis=protocol.auxbasis)
        mf.with_df = with_df
    if hasattr(mf, "grids"):
        mf.grids = grids
    mf.conv_tol, mf.max_cycle, mf.init_guess = protocol.conv_tol, protocol.max_cycle, protocol.guess
    if job.electrons:
        occupy(mf, *job.electrons)
    cycles = converge(mf, _guess(mf, job), method.responds)
    checked = mf.converged and job.is_checked and protocol.follow_ups and method.responds
    stable = stabilised(mf, protocol.follow_ups, protocol.stability_grid_level) if checked else None
    occupied, levels = np.ravel(mf.mo_occ) > 0, np.ravel(mf.mo_energy)
    result = {
        "e_scf": float(mf.e_tot), "e_disp": method.dispersion_energy(mf, protocol), "converged": bool(mf.converged),
        "stable": None if stable is None else bool(stable), "cycles": cycles,
        "s2": None if job.electrons else float(mf.spin_square()[0]),
        "homo": float(levels[occupied].max()), "lumo": float(min(levels[~occupied], default=np.nan)),
        "dipole": float(np.linalg.norm(mf.dip_moment(verbose=0))),
        "cpu_seconds": round(time.process_time() - start, 3), "threads": lib.num_threads(),
        "members": _members(mf, method), "local_exchange": _local_exchange(mf),
    }
    if job.n_electrons == 1:
        result["e_one"] = float(_lowest(mf) + mol.energy_nuc())
    if job.polarizability and mf.converged and method.responds:
        result["polarizability"] = float(np.trace(mlxc.polarizability(mf)) / 3 * lib.param.BOHR**3)
    if job.excitations and mf.converged and method.responds:
        result["excitations"] = lowest_excitations(mf, protocol.stability_grid_level)
    return result


def _guess(mf, job: Job):
    """PySCF's guess; for a broken-symmetry singlet its atoms' part, with more of one spin on every other atom.

    An atom's block of a density matrix has no negative occupation, which is not so for a matrix without the block.
    """
    if job.spin or job.restricted or job.electrons:
        return None
    dm = np.asarray(mf.get_init_guess(mf.mol, mf.init_guess))[0]
    polarised = np.zeros((2, *dm.shape))
    for a, (begin, end) in enumerate(mf.mol.aoslice_by_atom()[:, 2:]):
        block = np.s_[begin:end, begin:end]
        polarised[a % 2][block], polarised[1 - a % 2][block] = 1.5 * dm[block], 0.5 * dm[block]
    return polarised


def _lowest(mf) -> float:
    """The lowest level of the one-electron Hamiltonian in the basis, Ha."""
    from scipy.linalg import eigh

    return float(eigh(mf.get_hcore(), mf.get_ovlp(), eigvals_only=True)[0])


def _members(mf, method: Method) -> list[float] | None:
    """Energies by each member of an ensemble, Ha; None for other functionals, and without convergence."""
    if method.model is None or method.model.members < 2 or not mf.converged:
        return None
    return mf.xc_uncertainty().energies.tolist()


def _local_exchange(mf) -> dict | None:
    """What a local hybrid's local part was computed with; None for other functionals."""
    return mlxc.local_exchange_record(mf) or None if hasattr(mf, "xc") else None
