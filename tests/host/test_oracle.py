"""Everything PySCF does with a functional, done with mlxc's references through the seam and with libxc's of the same.

ωB97 (range-separated exact exchange) and r2SCAN (τ) between them reach every branch of PySCF that the learned
functional does. This proves the machine; the learned functional's own tests are in the other files.
"""

import numpy as np
import pytest
from pyscf import dft, gto, mcscf, mp, scf, sgx, tdscf
from pyscf.pbc import dft as pbc_dft
from pyscf.pbc import gto as pbc_gto

from tests.host.support import OWN, WATER, converged

PAIRS = ["own_wb97", "own_r2scan"]

WATER_MOL = {"atom": WATER, "basis": "sto-3g", "verbose": 0}
H2 = {"atom": "H 0 0 0; H 0.1 0.2 0.74", "basis": "6-31g", "verbose": 0}
H3 = {"atom": "H 0 0 0; H 0 0.1 0.9; H 0.1 0 1.9", "basis": "6-31g", "spin": 1, "verbose": 0}
CATION = WATER_MOL | {"charge": 1, "spin": 1}


def _rks(xc, mol=H2, **settings):
    return converged(dft.RKS(gto.M(**mol), xc=xc), **settings)


def _uks(xc, mol=CATION, **settings):
    return converged(dft.UKS(gto.M(**mol), xc=xc), **settings)


def _gradient(mf, grid_response=False):
    g = mf.nuc_grad_method()
    g.grid_response = grid_response
    return g.kernel()


def _hessian(mf):
    return mf.Hessian().kernel()


def _excited(td, n=2):
    td.nstates, td.conv_tol = n, 1e-8
    td.kernel()
    return td.e


def _box(method=pbc_dft.RKS, xc="", **settings):
    cell = pbc_gto.M(atom="H 0 0 0; H 0 0 0.74", basis="gth-szv", pseudo="gth-pade", a=np.eye(3) * 3, mesh=[15] * 3,
                     verbose=0)
    return converged(method(cell, xc=xc), **settings)


def _scanner(xc):
    scanner = dft.RKS(gto.M(**H2), xc=xc).as_scanner()
    scanner.grids.level, scanner.conv_tol = 0, 1e-11
    return [scanner(f"H 0 0 0; H 0 0 {r}") for r in (0.7, 0.8)]


def _eigenvalues_of_ab(mf):
    """Of A + B and A − B, which do not depend on the signs of the orbitals."""
    a, b = mf.TDDFT().get_ab()
    n = a.shape[0] * a.shape[1]
    return np.array([np.linalg.eigvalsh((a + sign * b).reshape(n, n)) for sign in (1, -1)])


def _x2c_gks(xc):
    return converged(dft.GKS(gto.M(**H2), xc=xc).sfx2c1e()).e_tot


QUICK = {
    "RKS": lambda xc: _rks(xc, WATER_MOL).e_tot,
    "UKS": lambda xc: _uks(xc).e_tot,
    "ROKS": lambda xc: converged(dft.ROKS(gto.M(**CATION), xc=xc)).e_tot,
    "GKS collinear": lambda xc: converged(dft.GKS(gto.M(**CATION), xc=xc)).e_tot,
    "orbital energies": lambda xc: _rks(xc, WATER_MOL).mo_energy,
    "direct SCF": lambda xc: _rks(xc, direct_scf=True, _eri=None, max_memory=0).e_tot,
    "symmetry": lambda xc: _rks(xc, WATER_MOL | {"symmetry": True}).e_tot,
    "vsap guess": lambda xc: _rks(xc, init_guess="vsap").e_tot,
    "small_rho_cutoff": lambda xc: _rks(xc, small_rho_cutoff=1e-7).e_tot,
    "smearing": lambda xc: _rks(xc, WATER_MOL).smearing(sigma=0.1).run().e_tot,
    "frac_occ": lambda xc: converged(dft.UKS(gto.M(**CATION), xc=xc).apply(scf.addons.frac_occ)).e_tot,
    "scanner": _scanner,
    "density fitting, auxbasis given": lambda xc: converged(
        dft.RKS(gto.M(**H2), xc=xc).density_fit(auxbasis="weigend")).e_tot,
    "density fitting": lambda xc: converged(
        dft.RKS(gto.M(**WATER_MOL | {"basis": "6-31g"}), xc=xc).density_fit()).e_tot,
    "only_dfj": lambda xc: converged(dft.RKS(gto.M(**H2), xc=xc).density_fit(only_dfj=True)).e_tot,
    "RKS gradient": lambda xc: _gradient(_rks(xc, WATER_MOL)),
    "UKS gradient": lambda xc: _gradient(_uks(xc)),
    "ROKS gradient": lambda xc: _gradient(converged(dft.ROKS(gto.M(**CATION), xc=xc))),
    "RKS gradient, grid response": lambda xc: _gradient(_rks(xc, WATER_MOL), grid_response=True),
    "UKS gradient, grid response": lambda xc: _gradient(_uks(xc), grid_response=True),
    "density-fitted gradient": lambda xc: _gradient(converged(dft.RKS(gto.M(**H2), xc=xc).density_fit())),
    "RKS Hessian": lambda xc: _hessian(_rks(xc)),
    "TDA singlets": lambda xc: _excited(_rks(xc, WATER_MOL).TDA()),
    "TDA triplets": lambda xc: _excited(_rks(xc, WATER_MOL).TDA().set(singlet=False)),
    "TDDFT": lambda xc: _excited(_rks(xc, WATER_MOL).TDDFT()),
    "A and B": lambda xc: _eigenvalues_of_ab(_rks(xc)),
    "UKS TDDFT": lambda xc: _excited(_uks(xc).TDDFT()),
    "GKS TDA": lambda xc: _excited(tdscf.gks.TDA(converged(dft.GKS(gto.M(**H2), xc=xc)))),
    "TDA gradient": lambda xc: _rks(xc).TDA().run(nstates=1).nuc_grad_method().kernel(),
    "newton": lambda xc: dft.UKS(gto.M(**CATION), xc=xc).newton().set(conv_tol=1e-10).run().e_tot,
    "PCM": lambda xc: converged(dft.RKS(gto.M(**H2), xc=xc).PCM()).e_tot,
    "x2c": lambda xc: converged(dft.UKS(gto.M(**CATION), xc=xc).sfx2c1e()).e_tot,
    "x2c GKS": _x2c_gks,
    "CASCI": lambda xc: mcscf.CASCI(_rks(xc), 2, 2).run(verbose=0).e_tot,
    "MP2": lambda xc: mp.MP2(_rks(xc).to_hf()).run(verbose=0).e_tot,
    "to_uks": lambda xc: converged(dft.RKS(gto.M(**H2), xc=xc).to_uks()).e_tot,
    "to_gks": lambda xc: converged(_rks(xc).to_gks()).e_tot,
    "sgx": lambda xc: sgx.sgx_fit(dft.RKS(gto.M(**WATER_MOL | {"basis": "6-31g"}), xc=xc)).run().e_tot,
    "PBC RKS": lambda xc: _box(xc=xc).e_tot,
}

SLOW = {
    "UKS Hessian": lambda xc: _hessian(_uks(xc)),
    "density-fitted Hessian": lambda xc: _hessian(converged(dft.RKS(gto.M(**H2), xc=xc).density_fit())),
    "water Hessian": lambda xc: _hessian(_rks(xc, WATER_MOL)),
    "UKS TDA gradient": lambda xc: _uks(xc, H3).TDA().run(nstates=1).nuc_grad_method().kernel(),
    "triplet gradient": lambda xc: _rks(xc).TDA().set(singlet=False).run(nstates=1).nuc_grad_method().kernel(),
    "PCM gradient": lambda xc: _gradient(converged(dft.RKS(gto.M(**H2), xc=xc).PCM())),
    "PCM TDA": lambda xc: _excited(converged(dft.RKS(gto.M(**WATER_MOL), xc=xc).PCM()).TDA()),
    "PCM Hessian": lambda xc: _hessian(converged(dft.RKS(gto.M(**H2), xc=xc).PCM())),
    "ddCOSMO": lambda xc: converged(dft.RKS(gto.M(**H2), xc=xc).ddCOSMO()).e_tot,
    "SMD": lambda xc: converged(dft.RKS(gto.M(**H2), xc=xc).SMD()).e_tot,
    "CASSCF": lambda xc: mcscf.CASSCF(_rks(xc), 2, 2).run(verbose=0).e_tot,
    "PBC KRKS": lambda xc: _box(pbc_dft.KRKS, xc).e_tot,
    "PBC UKS": lambda xc: _box(pbc_dft.UKS, xc).e_tot,
    "PBC KUKS, GDF": lambda xc: converged(_box(pbc_dft.KUKS, xc).density_fit()).e_tot,
    "PBC TDA": lambda xc: _excited(_box(xc=xc).TDA(), 1),
    "PBC newton": lambda xc: _box(lambda cell, xc: pbc_dft.RKS(cell, xc=xc).newton(), xc).e_tot,
}


def _compare(feature, own):
    mine, stock = feature(own), feature(OWN[own][1])
    for a, b in zip(np.atleast_1d(mine) if not isinstance(mine, list) else mine,
                    np.atleast_1d(stock) if not isinstance(stock, list) else stock, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-7 if np.ndim(mine) else 1e-8)


@pytest.mark.parametrize("own", PAIRS)
@pytest.mark.parametrize("feature", QUICK)
def test_equals_libxc(feature, own):
    _compare(QUICK[feature], own)


@pytest.mark.slow
@pytest.mark.parametrize("own", PAIRS)
@pytest.mark.parametrize("feature", SLOW)
def test_equals_libxc_slow(feature, own):
    _compare(SLOW[feature], own)
