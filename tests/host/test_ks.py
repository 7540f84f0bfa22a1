"""mlxc's own constructors and `attach`."""

import warnings

import numpy as np
import pytest
from pyscf import dft, gto, scf
from pyscf.dft import xcfun
from pyscf.pbc import dft as pbc_dft
from pyscf.pbc import gto as pbc_gto

import mlxc
from mlxc.errors import DomainWarning, InvalidInput, UnknownFunctional, Unsupported
from tests.host.support import WATER, converged

NAME = "toy_rs"


@pytest.mark.parametrize("kind", ["RKS", "UKS", "ROKS", "GKS"])
def test_objects_are_pyscfs_own(kind, water):
    mf = getattr(mlxc, kind)(water, xc=NAME)
    assert type(mf) is type(getattr(dft, kind)(water))
    assert mf.xc == NAME and mf.disp is None


def test_symmetry_open_shells_and_cells_get_pyscfs_class(cation):
    symmetric = gto.M(atom=WATER, basis="sto-3g", symmetry=True, verbose=0)
    cell = pbc_gto.M(atom="H 0 0 0; H 0 0 0.74", basis="gth-szv", pseudo="gth-pade", a=np.eye(3) * 3, verbose=0)
    for mol, module in ((symmetric, dft), (cation, dft), (cell, pbc_dft)):
        assert type(mlxc.RKS(mol, xc=NAME)) is type(module.RKS(mol))


def test_the_shipped_model_is_the_default():
    assert mlxc.host.ks.DEFAULT == "mlxc_rs"


def test_upper_case_names_are_accepted(water):
    assert mlxc.RKS(water, xc="TOY_RS").xc == NAME


@pytest.mark.parametrize(("xc", "error", "message"), [
    ("toy_r", UnknownFunctional, r"did you mean toy_rs\?"),
    ("pbe", UnknownFunctional, "no functional 'pbe'"),
    ("toy_rs,pbe", Unsupported, "combines"),
    ("toy_rs-d3bj", Unsupported, "D4"),
    ("Models/toy_rs.toml", UnknownFunctional, r"mlxc.register\(mlxc.load\('Models/toy_rs.toml'\)\)"),
])
def test_wrong_names_are_refused_at_once(xc, error, message, water):
    for make in (lambda: mlxc.UKS(water, xc=xc), lambda: mlxc.attach(dft.RKS(water), xc)):
        with pytest.raises(error, match=message):
            make()


@pytest.mark.parametrize("mol", [WATER, None, 3, scf])
def test_what_is_no_molecule_is_refused(mol):
    with pytest.raises(InvalidInput, match="expected a molecule"):
        mlxc.RKS(mol, xc=NAME)


def test_attach_takes_kohn_sham_objects_only(water):
    for mf in (scf.RHF(water), water, None):
        with pytest.raises(InvalidInput, match="expected a Kohn–Sham object"):
            mlxc.attach(mf, NAME)


def test_attach_refuses_another_library(water):
    mf = dft.RKS(water)
    mf._numint.libxc = xcfun
    with pytest.raises(InvalidInput, match="xcfun"):
        mlxc.attach(mf, NAME)


def test_attach_refuses_omega_set_by_hand(water):
    mf = dft.RKS(water)
    mf.omega = 0.7
    with pytest.raises(InvalidInput, match=r"omega is set to 0\.7"):
        mlxc.attach(mf, NAME)
    assert mf.xc == "LDA,VWN"


def test_attach_after_a_calculation_needs_a_new_one(hydrogen):
    mf = converged(dft.RKS(hydrogen, xc="pbe"))
    pbe = mf.e_tot
    assert mlxc.attach(mf, NAME) is mf and not mf.converged
    assert converged(mf).e_tot == pytest.approx(converged(dft.RKS(hydrogen, xc=NAME)).e_tot, abs=1e-9)
    assert mf.e_tot != pytest.approx(pbe, abs=1e-3)


@pytest.mark.parametrize("asked", ({"name": "mlxc_rs-d4"}, {"name": "MLXC_RS-D4 "}, {"name": "mlxc_rs", "disp": True}))
def test_attach_adds_d4_where_it_is_asked_for(hydrogen, asked):
    pytest.importorskip("pyscf.dispersion")
    mf = converged(mlxc.attach(dft.RKS(hydrogen), **asked))
    assert mf.e_tot == converged(mlxc.RKS(hydrogen, "mlxc_rs-d4")).e_tot
    assert mf.scf_summary["dispersion"] != 0


def nothing(xc, rho, *args, **kwargs):
    """A functional that is zero."""
    return 0 * rho[0], [0 * rho[0]], None, None


@pytest.mark.parametrize("own", ("0.5*b3lyp + 0.5*pbe", nothing), ids=("text", "function"))
def test_a_functional_of_define_xc_is_not_computed_in_place_of_ours(water, own):
    mf = dft.RKS(water).define_xc_(own, "GGA")
    with pytest.raises(InvalidInput, match="define_xc_ gave mf a functional that it would compute in place of"):
        mlxc.attach(mf, NAME)
    mf.xc = NAME
    with pytest.raises(InvalidInput, match="use a fresh mf"):
        mf.kernel()


@pytest.mark.parametrize("before", ("pbe", "pbe0", "lda,vwn"))
def test_attach_fits_exchange_where_pyscf_fitted_coulomb_alone(before):
    """A basis for J alone is off by more than 1e-4 Ha; one that was chosen by hand stays."""
    mol = gto.M(atom=WATER, basis="def2-svp", verbose=0)
    expected = converged(dft.RKS(mol, xc=NAME).density_fit())
    first = dft.RKS(mol, xc=before).density_fit()
    shared = first.with_df
    mf = converged(mlxc.attach(first, NAME))
    assert mf.with_df.auxmol.nao == expected.with_df.auxmol.nao
    assert mf.e_tot == pytest.approx(expected.e_tot, abs=1e-8)
    assert shared.auxbasis == dft.RKS(mol, xc=before).density_fit().with_df.auxbasis
    chosen = mlxc.attach(dft.RKS(mol, xc=before).density_fit("weigend"), NAME)
    assert chosen.with_df.auxbasis == "weigend"


# --------------------------------------------------------------------------- outside the training domain

OUTSIDE = [
    ({"atom": "H 0 0 0; F 0 0 0.9"}, "not trained on F"),
    ({"atom": "He 0 0 0; Ne 0 0 3"}, "not trained on He, Ne"),
    ({"atom": WATER, "charge": 2}, r"charge \+2"),
    ({"atom": WATER, "spin": 4}, "4 unpaired electrons"),
]


@pytest.mark.parametrize(("system", "message"), OUTSIDE)
def test_systems_outside_the_training_domain_are_named(system, message):
    mol = gto.M(basis="sto-3g", verbose=0, **system)
    for mf in (mlxc.UKS(mol, xc=NAME), dft.UKS(mol, xc=NAME), mlxc.attach(dft.UKS(mol), NAME), dft.RKS(mol, xc=NAME)):
        mf.max_cycle, mf.grids.level = 0, 0
        with pytest.warns(DomainWarning, match=message):
            mf.kernel()


def test_ghosts_count_for_nothing_and_cores_for_their_element():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mlxc.RKS(gto.M(atom=WATER + "; ghost-Ne 0 0 4", basis="sto-3g", verbose=0), xc=NAME).dump_flags()
        mlxc.RKS(gto.M(atom=WATER, basis="sto-3g", verbose=0), xc=NAME).dump_flags()
    iodine = gto.M(atom="H 0 0 0; I 0 0 1.6", basis="lanl2dz", ecp="lanl2dz", verbose=0)
    with pytest.warns(DomainWarning, match="not trained on I "):
        mf = converged(mlxc.RKS(iodine, xc=NAME))
    assert np.isfinite(mf.e_tot)


def test_functionals_without_a_card_have_no_domain():
    mlxc.RKS(gto.M(atom="Ne 0 0 0", basis="sto-3g", verbose=0), xc="own_pbe").dump_flags()


def test_ghost_atoms_take_part_with_their_basis(hydrogen):
    """The counterpoise energy lies below the bare one."""
    ghost = gto.M(atom="H 0 0 0; H 0.1 0.2 0.74; ghost-H 0 0 1.5", basis="6-31g", verbose=0)
    with_ghost, without = (converged(mlxc.RKS(mol, xc=NAME), level=3).e_tot for mol in (ghost, hydrogen))
    assert with_ghost < without - 1e-5
