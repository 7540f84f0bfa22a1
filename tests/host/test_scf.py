"""Self-consistent fields of the learned functional: potential and energy belong together, all roads lead to one."""

import io
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from pyscf import dft, fci, gto, mcscf, mp, scf, sgx
from pyscf.pbc import dft as pbc_dft
from pyscf.pbc import gto as pbc_gto
from scipy.linalg import expm

import mlxc
from tests.host.support import converged, derivative, direction, symmetric

KINDS = {
    "RKS": lambda water, cation, xc: dft.RKS(water, xc=xc),
    "UKS": lambda water, cation, xc: dft.UKS(cation, xc=xc),
    "GKS": lambda water, cation, xc: dft.GKS(cation, xc=xc),
    "RKS, direct": lambda water, cation, xc: dft.RKS(water, xc=xc).set(max_memory=0),
    "density fitting": lambda water, cation, xc: dft.UKS(cation, xc=xc).density_fit(auxbasis="weigend"),
    "density fitting of J": lambda water, cation, xc: dft.RKS(water, xc=xc).density_fit(only_dfj=True),
    "PCM": lambda water, cation, xc: dft.RKS(water, xc=xc).PCM(),
    "ddCOSMO": lambda water, cation, xc: dft.RKS(water, xc=xc).ddCOSMO(),
    "x2c": lambda water, cation, xc: dft.UKS(cation, xc=xc).sfx2c1e(),
    "VV10 by hand": lambda water, cation, xc: dft.RKS(water, xc=xc).set(nlc="vv10"),
    "VV10 in the name": lambda water, cation, xc: dft.UKS(cation, xc="toy_vv10"),
    "newton": lambda water, cation, xc: dft.RKS(water, xc=xc).newton(),
    "PBC": lambda water, cation, xc: pbc_dft.UKS(_cell(), xc=xc),
}


def _cell():
    return pbc_gto.M(atom="H 0 0 0; H 0 0 0.74", basis="gth-szv", pseudo="gth-pade", a=np.eye(3) * 3, mesh=[15] * 3,
                     verbose=0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_fock_matrix_is_the_derivative_of_the_energy(kind, xc, water, cation):
    """dE/dt = tr F (X D + D Xᵀ) along D(t) = e^{tX} D e^{tXᵀ}, which has no negative occupation."""
    mf = KINDS[kind](water, cation, xc)
    for grids in (mf.grids, mf.nlcgrids):
        grids.level = 0
    dm = np.asarray(mf.get_init_guess())
    x = direction(*dm.shape[-2:])

    def energy(t):
        u = expm(t * x)
        return mf.energy_tot(dm=u @ dm @ u.T)

    fock = np.asarray(mf.get_fock(dm=dm))
    slope = np.einsum("...ij,...ji", fock, x @ dm + dm @ x.T).sum().real
    assert slope == pytest.approx(derivative(energy, 2e-3), abs=1e-7)


def test_the_network_is_called(xc, calls, water):
    mf = converged(dft.RKS(water, xc=xc))
    assert len(calls) >= mf.cycles * 3
    assert sum(calls) >= mf.cycles * len(mf.grids.weights)


def test_another_functional_gives_another_energy(xc, hydrogen):
    energies = [converged(dft.RKS(hydrogen, xc=name)).e_tot for name in (xc, "own_pbe", "hf")]
    assert len({round(e, 4) for e in energies}) == 3


def test_restricted_unrestricted_and_generalised_agree_for_closed_shells(xc, water):
    energies = [converged(method(water, xc=xc)).e_tot for method in (dft.RKS, dft.UKS, dft.ROKS, dft.GKS)]
    np.testing.assert_allclose(energies, energies[0], rtol=0, atol=1e-9)


def test_open_shells(xc, cation):
    """GKS started from UKS has its energy; ROKS lies above."""
    uks = converged(dft.UKS(cation, xc=xc))
    gks = converged(uks.to_gks())
    assert gks.e_tot == pytest.approx(uks.e_tot, abs=1e-9)
    assert converged(dft.ROKS(cation, xc=xc)).e_tot > uks.e_tot + 1e-5


@pytest.mark.parametrize("charge", [0, 1])
def test_one_electron_and_no_electrons_of_one_spin(xc, charge):
    """H and H₂⁺: one spin channel is empty, which UKS and GKS must survive."""
    mol = gto.M(atom="H 0 0 0" + "; H 0 0 1.06" * charge, basis="6-31g", spin=1, charge=charge, verbose=0)
    uks = converged(dft.UKS(mol, xc=xc))
    assert converged(uks.to_gks()).e_tot == pytest.approx(uks.e_tot, abs=1e-9)
    assert dft.UKS(mol, xc=xc).set(grids=uks.grids).newton().run().e_tot == pytest.approx(uks.e_tot, abs=1e-9)
    assert np.isfinite(uks.gen_response()(np.array([symmetric(mol.nao, mol.nao)] * 2))).all()


@pytest.mark.parametrize("charge", [0, 1])
def test_a_bond_of_one_orbital_has_sane_empty_levels(xc, charge):
    """Midway between the atoms n > 0, ∇n = 0 and τ = 0; a grid with points there must not feel 1/τ."""
    mol = gto.M(atom="H 0 0 0; H 0 0 0.794708", basis="6-31g", charge=charge, spin=charge, verbose=0)
    mf = converged(dft.UKS(mol, xc=xc), level=3)
    assert mf.mo_energy.min() > -2


ROADS = {
    "newton": lambda mol, xc: dft.RKS(mol, xc=xc).newton(),
    "direct": lambda mol, xc: dft.RKS(mol, xc=xc).set(max_memory=0),
    "symmetry": lambda mol, xc: dft.RKS(gto.M(atom=mol.atom, basis=mol.basis, symmetry=True, verbose=0), xc=xc),
    "vsap": lambda mol, xc: dft.RKS(mol, xc=xc).set(init_guess="vsap"),
    "frac_occ": lambda mol, xc: scf.addons.frac_occ(dft.RKS(mol, xc=xc)),
    "to_uks": lambda mol, xc: dft.RKS(mol, xc=xc).to_uks(),
    "to_gks": lambda mol, xc: dft.RKS(mol, xc=xc).to_gks(),
    "from HF": lambda mol, xc: scf.RHF(mol).to_ks(xc),
    "mol.KS": lambda mol, xc: mol.KS(xc=xc),
    "copied": lambda mol, xc: dft.RKS(mol, xc=xc).copy(),
    "mlxc.RKS": lambda mol, xc: mlxc.RKS(mol, xc=xc),
    "mlxc.UKS": lambda mol, xc: mlxc.UKS(mol, xc=xc),
    "mlxc.GKS": lambda mol, xc: mlxc.GKS(mol, xc=xc),
    "attach": lambda mol, xc: mlxc.attach(dft.RKS(mol, xc="pbe"), xc),
    "attach to newton": lambda mol, xc: mlxc.attach(dft.RKS(mol).newton(), xc),
    "undone solvent": lambda mol, xc: dft.RKS(mol, xc=xc).PCM().undo_solvent(),
}


@pytest.fixture(scope="module")
def energy_of_water(xc, water):
    return converged(dft.RKS(water, xc=xc)).e_tot


@pytest.mark.parametrize("road", ROADS)
def test_every_road_leads_to_one_energy(road, xc, water, energy_of_water):
    mf = ROADS[road](water, xc)
    mf.grids.level, mf.conv_tol = 0, 1e-10
    mf.kernel()
    # without its orientation the grid is another one
    assert mf.e_tot == pytest.approx(energy_of_water, abs=1e-5 if road == "symmetry" else 1e-8)


def test_fast_newton_uses_a_copied_integrator(xc, water):
    assert scf.addons.fast_newton(dft.RKS(water, xc=xc)).e_tot == pytest.approx(dft.RKS(water, xc=xc).run().e_tot)


def test_approximate_roads_come_close(xc, water, energy_of_water):
    for mf, tolerance in ((dft.RKS(water, xc=xc).density_fit(auxbasis="def2-universal-jkfit"), 1e-3),
                          (dft.RKS(water, xc=xc).density_fit(), 1e-2),
                          (dft.RKS(water, xc=xc).set(small_rho_cutoff=1e-7), 1e-4),
                          (dft.RKS(water, xc=xc).smearing(sigma=1e-3), 1e-8)):
        assert converged(mf).e_tot == pytest.approx(energy_of_water, abs=tolerance)


def test_semi_numerical_exchange_comes_close(xc):
    mol = gto.M(atom="H 0 0 0; F 0 0 0.92", basis="6-31g", verbose=0)
    exact = converged(dft.RKS(mol, xc=xc)).e_tot
    mf = sgx.sgx_fit(dft.RKS(mol, xc=xc))
    mf.grids.level = 0
    assert mf.run().e_tot == pytest.approx(exact, abs=1e-3)


def test_auxiliary_basis_is_one_for_exact_exchange(xc):
    """PySCF chooses by asking whether the functional is a hybrid."""
    mol = gto.M(atom="H 0 0 0; F 0 0 0.92", basis="cc-pvdz", verbose=0)
    assert dft.RKS(mol, xc=xc).density_fit().auxbasis == dft.RKS(mol, xc="b3lyp").density_fit().auxbasis
    assert dft.RKS(mol, xc=xc).density_fit().auxbasis != dft.RKS(mol, xc="pbe").density_fit().auxbasis


def test_a_scanner_follows_the_geometry(xc, hydrogen):
    scanner = dft.RKS(hydrogen, xc=xc).as_scanner()
    scanner.grids.level, scanner.conv_tol = 0, 1e-11
    for r in (0.7, 0.9, 0.7):
        mol = gto.M(atom=f"H 0 0 0; H 0 0 {r}", basis="6-31g", verbose=0)
        assert scanner(mol) == pytest.approx(converged(dft.RKS(mol, xc=xc)).e_tot, abs=1e-9)


def test_restart_from_a_checkpoint_file(xc, water, energy_of_water, tmp_path, calls):
    """The file holds no functional: it is set again, and the calculation is done after a cycle or two."""
    first = converged(dft.RKS(water, xc=xc), chkfile=str(tmp_path / "scf.chk"))
    second = dft.RKS(water, xc=xc)
    second.init_guess, second.chkfile, second.grids.level = "chkfile", first.chkfile, 0
    second.kernel()
    assert second.cycles <= 2
    assert second.e_tot == pytest.approx(energy_of_water, abs=1e-9)
    assert calls


def test_numint_and_mean_fields_can_be_pickled(xc, cation):
    mf = dft.UKS(cation, xc=xc).set(max_memory=0)
    mf.grids.level = 0
    energy = mf.kernel()
    del mf._chkfile, mf.stdout  # open files
    again = pickle.loads(pickle.dumps(mf))
    assert again.reset().kernel() == pytest.approx(energy, abs=1e-8)
    assert type(pickle.loads(pickle.dumps(mf._numint.copy()))) is dft.numint.NumInt


def test_a_complete_active_space_does_not_depend_on_the_functional(xc, hydrogen):
    energies = [mcscf.CASSCF(mf, 4, 2).run(verbose=0, conv_tol=1e-10).e_tot
                for mf in (converged(dft.RKS(hydrogen, xc=xc)), scf.RHF(hydrogen).run())]
    assert energies[0] == pytest.approx(energies[1], abs=1e-9)


def test_correlation_methods_take_the_orbitals(xc, hydrogen):
    mf = converged(dft.RKS(hydrogen, xc=xc))
    assert fci.FCI(mf).run(verbose=0).e_tot == pytest.approx(fci.FCI(scf.RHF(hydrogen).run()).run(verbose=0).e_tot)
    assert np.isfinite(mp.MP2(mf.to_hf()).run(verbose=0).e_corr)


def test_settings_are_printed(xc, hydrogen):
    """At verbose 4 PySCF asks for the functional's reference and the library's version."""
    mf = dft.RKS(hydrogen, xc=xc)
    mf.stdout, mf.verbose = io.StringIO(), 4
    mf.grids.level = 0
    mf.kernel()
    printed = mf.stdout.getvalue()
    assert f"XC functionals = {xc}" in printed and f"\n    {xc} " in printed


def test_generalised_non_collinear_magnetism_is_refused(xc, cation):
    mf = dft.GKS(cation, xc=xc)
    mf.collinear = "ncol"
    with pytest.raises((NotImplementedError, KeyError)):
        mf.kernel()


def test_multigrid_is_refused(xc):
    mf = pbc_dft.RKS(_cell(), xc=xc).multigrid_numint()
    with pytest.raises(NotImplementedError):
        mf.kernel()


def test_gamma_point_and_molecular_code_agree_in_a_box(xc):
    """A cell without periodicity is the molecule."""
    atom = "H 0 0 0; H 0 0 0.74"
    cell = pbc_gto.M(atom=atom, basis="sto-3g", a=np.eye(3) * 20, dimension=0, verbose=0)
    mol = gto.M(atom=atom, basis="sto-3g", verbose=0)
    periodic = pbc_dft.RKS(cell, xc=xc).density_fit(auxbasis="def2-universal-jkfit")
    periodic.grids = pbc_dft.gen_grid.BeckeGrids(cell)
    molecular = dft.RKS(mol, xc=xc).density_fit(auxbasis="def2-universal-jkfit")
    assert converged(periodic).e_tot == pytest.approx(converged(molecular).e_tot, abs=1e-6)
    excited = [mf.TDA().run(nstates=1, verbose=0).e for mf in (periodic, molecular)]
    assert excited[0] == pytest.approx(excited[1], abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_processes_of_a_pool_compute_the_same_energy(start, tmp_path):
    """A forked process has none of its parent's threads, a spawned one imports mlxc anew.

    With one OpenMP thread: after a fork, GNU's OpenMP waits for ever for the threads of a parent that used several.
    """
    (tmp_path / "pool.py").write_text(POOL.format(start=start))
    script, environment = [sys.executable, tmp_path / "pool.py"], os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(script, capture_output=True, text=True, timeout=100, check=True, env=environment)
    parent, *children = (float(energy) for energy in done.stdout.split())
    assert children == pytest.approx([parent, parent], abs=1e-9)


#: A script that computes the same energy itself and in the processes of a pool.
POOL = """
import multiprocessing
import mlxc
from pyscf import dft, gto

def energy(_):
    mol = gto.M(atom="H 0 0 0; H 0 0 0.74", basis="sto-3g", verbose=0)
    return dft.RKS(mol, xc="mlxc_rs").kernel()

if __name__ == "__main__":
    print(energy(0))
    with multiprocessing.get_context("{start}").Pool(2) as pool:
        print(*pool.map(energy, range(2)))
"""
