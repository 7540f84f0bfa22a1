"""D4 with the parameters of the model card: never another functional's, never twice, never left out."""

import numpy as np
import pytest
from pyscf import dft, gto
from pyscf.pbc import gto as pbc_gto
from pyscf.scf import dispersion as host

import mlxc
from mlxc.errors import UnknownFunctional, Unsupported
from mlxc.host import dispersion, seam
from tests.host.support import converged, derivative, direction, moved, network

dftd4 = pytest.importorskip("pyscf.dispersion.dftd4")

NAME = "toy_rs"


@pytest.fixture(scope="module")
def without(water):
    return converged(dft.RKS(water, xc=NAME))


@pytest.fixture(scope="module")
def expected(water) -> float:
    """Straight from the library."""
    d4 = dftd4.DFTD4Dispersion.wrapped_by_mlxc(water, xc="hf")
    d4.set_param(s6=1.0, s8=1.3, s9=1.0, a1=0.4, a2=5.0)
    return float(d4.get_dispersion()["energy"])


def test_the_cards_parameters_are_used(water, expected):
    assert mlxc.dispersion_energy(water, NAME) == pytest.approx(expected, abs=1e-15)
    assert mlxc.dispersion_energy(water, NAME.upper()) == pytest.approx(expected, abs=1e-15)
    other = network("toy_d4")
    other.card["dispersion"] = {"s6": 1.0, "s8": 0.0, "a1": 0.3, "a2": 4.0}
    seam.register(other)
    assert mlxc.dispersion_energy(water, "toy_d4") != pytest.approx(expected, abs=1e-6)


def test_other_functionals_keep_their_own(water):
    ours = dftd4.DFTD4Dispersion(water, xc="pbe").get_dispersion(grad=True)
    stock = dftd4.DFTD4Dispersion.wrapped_by_mlxc(water, xc="pbe").get_dispersion(grad=True)
    assert ours["energy"] == stock["energy"]
    np.testing.assert_array_equal(ours["gradient"], stock["gradient"])
    with pytest.raises(RuntimeError, match="not known"):
        dftd4.DFTD4Dispersion(water, xc="qwertz")


WRAPPERS = {
    "stock": lambda mol: dft.RKS(mol, xc=NAME).set(disp="d4"),
    "mlxc": lambda mol: mlxc.RKS(mol, xc=NAME).set(disp="d4"),
    "name-d4": lambda mol: dft.RKS(mol, xc=f"{NAME}-d4"),
    "name-d4 and disp": lambda mol: dft.RKS(mol, xc=f"{NAME}-d4").set(disp="d4"),
    "mlxc, name-d4": lambda mol: mlxc.RKS(mol, xc=f"{NAME}-d4"),
    "upper case": lambda mol: dft.RKS(mol, xc=NAME.upper()).set(disp="D4".lower()),
    "attach": lambda mol: mlxc.attach(dft.RKS(mol), NAME, disp=True),
    "UKS": lambda mol: mlxc.UKS(mol, xc=NAME).set(disp="d4"),
    "GKS": lambda mol: mlxc.GKS(mol, xc=NAME).set(disp="d4"),
    "newton": lambda mol: mlxc.RKS(mol, xc=NAME).set(disp="d4").newton(),
    "attach to newton": lambda mol: mlxc.attach(dft.RKS(mol).newton(), NAME, disp=True),
    "to_uks": lambda mol: mlxc.RKS(mol, xc=NAME).set(disp="d4").to_uks(),
    "to_gks": lambda mol: mlxc.RKS(mol, xc=NAME).set(disp="d4").to_gks(),
    "copy": lambda mol: mlxc.RKS(mol, xc=NAME).set(disp="d4").copy(),
}


@pytest.mark.parametrize("road", WRAPPERS)
def test_dispersion_is_added_once(road, water, without, expected):
    mf = WRAPPERS[road](water)
    mf.conv_tol = 1e-10
    for layer in (mf, getattr(mf, "_scf", None)):
        if layer is not None:
            layer.grids.level = 0
    mf.kernel()
    assert mf.e_tot - without.e_tot == pytest.approx(expected, abs=1e-8)
    summary = mf._scf.scf_summary if road == "attach to newton" else mf.scf_summary
    assert summary["dispersion"] == pytest.approx(expected)
    mf.kernel(mf.make_rdm1())
    assert mf.e_tot - without.e_tot == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("wrap", [
    lambda mf: mf.density_fit(auxbasis="weigend"), lambda mf: mf.PCM(), lambda mf: mf.sfx2c1e(),
    lambda mf: mf.density_fit(auxbasis="weigend").PCM(),
])
def test_dispersion_survives_wrappers(wrap, water, expected):
    """Energy and force, asked for before the wrapper and after it."""
    plain = converged(wrap(dft.RKS(water, xc=NAME)))
    before = converged(wrap(mlxc.RKS(water, xc=NAME).set(disp="d4")))
    after = converged(mlxc.attach(wrap(dft.RKS(water)), NAME, disp=True))
    force = mlxc_d4(water)["gradient"]
    for mf in (before, after):
        assert mf.e_tot - plain.e_tot == pytest.approx(expected, abs=1e-8)
        np.testing.assert_allclose(mf.nuc_grad_method().kernel() - plain.nuc_grad_method().kernel(), force,
                                   rtol=0, atol=1e-6)


def mlxc_d4(mol):
    return dftd4.DFTD4Dispersion(mol, xc=NAME).get_dispersion(grad=True)


def test_force_is_the_derivative_of_the_energy(water):
    step = direction(3, 3)
    numeric = derivative(lambda t: mlxc.dispersion_energy(moved(water, t * step), NAME), 1e-3)
    assert np.vdot(mlxc_d4(water)["gradient"], step) == pytest.approx(numeric, abs=1e-10)


def test_the_hessian_holds_dispersion(hydrogen):
    plain, with_d4 = (converged(dft.RKS(hydrogen, xc=NAME), disp=disp).Hessian().kernel() for disp in (None, "d4"))
    step = direction(2, 3)
    numeric = derivative(lambda t: mlxc_d4(moved(hydrogen, t * step))["gradient"], 1e-3)
    np.testing.assert_allclose(np.einsum("ijxy,jy->ix", with_d4 - plain, step), numeric, rtol=0, atol=1e-7)


def test_scanners_recompute_it(hydrogen):
    scanner = dft.RKS(hydrogen, xc=NAME).set(disp="d4").as_scanner()
    scanner.grids.level = 0
    for r in (0.7, 2.0, 0.7):
        mol = gto.M(atom=f"H 0 0 0; H 0.1 0 {r}", basis="6-31g", verbose=0)
        scanner(mol)
        assert scanner.scf_summary["dispersion"] == pytest.approx(mlxc.dispersion_energy(mol, NAME))


def test_the_name_alone_has_no_dispersion(without):
    assert "dispersion" not in without.scf_summary


def test_attach_forgets_the_dispersion_of_the_functional_before(water, expected):
    mf = dft.RKS(water, xc="pbe")
    mf.disp, mf.grids.level = "d4", 0
    mf.kernel()
    assert mf.scf_summary["dispersion"] != pytest.approx(expected)
    mlxc.attach(mf, NAME).kernel()
    assert mf.scf_summary["dispersion"] == pytest.approx(expected)


@pytest.mark.parametrize("wrap", [lambda mf: mf, lambda mf: mf.newton()], ids=("plain", "newton"))
def test_another_name_forgets_the_dispersion_of_the_functional_before(wrap, water, expected):
    mf = dft.RKS(water, xc="pbe")
    mf.disp, mf.grids.level = "d4", 0
    mf.kernel()
    mf.xc = NAME
    mf = wrap(mf)
    mf.kernel()
    assert mf.scf_summary["dispersion"] == pytest.approx(expected)


def test_three_body_terms_can_be_left_out(water, expected):
    mf = dft.RKS(water, xc=NAME).set(disp="d42b")
    two_body = float(mf.get_dispersion())
    assert two_body != expected
    assert two_body == pytest.approx(expected, abs=1e-5)


def test_ghost_atoms_have_no_dispersion(water):
    ghosts = gto.M(atom="O 0 0 0; ghost-Ne 0 0 -2; H 0 0 0.96; H 0.93 0 -0.24; X-H 0 0 3", basis="sto-3g", verbose=0)
    assert mlxc.dispersion_energy(ghosts, NAME) == pytest.approx(mlxc.dispersion_energy(water, NAME), abs=1e-15)
    force = mlxc_d4(ghosts)["gradient"]
    assert force.shape == (5, 3) and not force[[1, 4]].any()
    np.testing.assert_allclose(force[[0, 2, 3]], mlxc_d4(water)["gradient"], atol=1e-14)


def test_elements_with_a_core_potential_have_dispersion():
    atoms = "I 0 0 0; I 0 0 2.7"
    with_core = gto.M(atom=atoms, basis="lanl2dz", ecp="lanl2dz", verbose=0)
    all_electron = gto.M(atom=atoms, basis="sto-3g", verbose=0)
    assert mlxc.dispersion_energy(with_core, NAME) == mlxc.dispersion_energy(all_electron, NAME) < -1e-3


def test_charge_matters(water, cation):
    assert mlxc.dispersion_energy(cation, NAME) != mlxc.dispersion_energy(water, NAME)


@pytest.mark.parametrize("disp", ["d3bj", "d3zero"])
def test_other_dispersion_corrections_are_refused(disp, water):
    with pytest.raises(Unsupported, match="D3 has no parameters for .*'d4'"):
        dft.RKS(water, xc=NAME).set(disp=disp).kernel()
    assert np.isfinite(dft.RKS(water, xc="b3lyp").set(disp=disp).get_dispersion())


def test_parameters_of_another_functional_have_to_be_named(water, without):
    """PySCF's own way to ask for them."""
    mf = converged(dft.RKS(water, xc=NAME), disp="d4:pbe")
    expected = dftd4.DFTD4Dispersion(water, xc="pbe").get_dispersion()["energy"]
    assert mf.e_tot - without.e_tot == pytest.approx(float(expected), abs=1e-8)


def test_functionals_without_parameters_are_refused(water):
    with pytest.raises(Unsupported, match="own_pbe has no dispersion parameters"):
        dft.RKS(water, xc="own_pbe").set(disp="d4").kernel()
    with pytest.raises(Unsupported, match="no dispersion parameters"):
        mlxc.attach(dft.RKS(water), "own_pbe", disp=True)


def test_unknown_functionals_are_refused(water):
    with pytest.raises(UnknownFunctional, match="did you mean toy_rs"):
        mlxc.dispersion_energy(water, "toy_r")


def test_periodic_systems_are_refused():
    from pyscf.pbc import dft as pbc_dft

    cell = pbc_gto.M(atom="H 0 0 0; H 0 0 0.74", basis="gth-szv", pseudo="gth-pade", a=np.eye(3) * 3, verbose=0)
    with pytest.raises(Unsupported, match="periodic"):
        mlxc.attach(pbc_dft.RKS(cell), NAME, disp=True)
    with pytest.raises(Unsupported, match="periodic"):
        mlxc.dispersion_energy(cell, NAME)
    with pytest.raises(Unsupported, match="periodic"):
        pbc_dft.RKS(cell, xc=NAME).set(disp="d4").get_dispersion()


def test_gradients_of_excited_states_are_refused(hydrogen):
    """PySCF would leave the dispersion out of them."""
    mf = converged(dft.RKS(hydrogen, xc=NAME), disp="d4")
    td = mf.TDA().run(nstates=1)
    with pytest.raises(Unsupported, match="excited states"):
        td.nuc_grad_method().kernel()
    mf.disp = None
    td.nuc_grad_method().kernel()


def test_a_missing_library_is_named(water, monkeypatch):
    monkeypatch.setattr(dispersion, "dftd4", None)
    monkeypatch.setattr(host, "dftd4", None)
    for ask in (lambda: mlxc.dispersion_energy(water, NAME), lambda: mlxc.attach(dft.RKS(water), NAME, disp=True),
                lambda: mlxc.RKS(water, xc=f"{NAME}-d4")):
        with pytest.raises(Unsupported, match=r"pip install 'mlxc\[disp\]'"):
            ask()
    with pytest.raises(RuntimeError, match="pyscf-dispersion"):
        dft.RKS(water, xc=NAME).set(disp="d4").kernel()


def test_installing_twice_wraps_once():
    dispersion.install()
    assert not hasattr(dftd4.DFTD4Dispersion.wrapped_by_mlxc, "wrapped_by_mlxc")
