"""What a string in ``mf.xc`` may be, and what is refused before anything is computed."""

import pytest
from pyscf import dft
from pyscf.dft import libxc

from mlxc.errors import IncompatibleHost, InvalidInput, UnknownFunctional, Unsupported
from mlxc.host import entry, seam
from tests.host.support import converged, network


def test_pyscf_learns_the_kind_of_functional(registered):
    assert libxc.xc_type("toy_rs") == "MGGA"
    assert libxc.is_hybrid_xc("toy_rs") and not libxc.is_nlc("toy_rs")
    assert libxc.rsh_coeff("toy_rs") == pytest.approx((0.3, 1.0, -0.8))
    assert dft.numint.NumInt().rsh_and_hybrid_coeff("toy_rs") == pytest.approx((0.3, 1.0, 0.2))
    assert libxc.nlc_coeff("toy_rs") == ()
    assert libxc.xc_type("own_lda") == "LDA" and libxc.xc_type("own_pbe") == "GGA"
    assert not libxc.is_hybrid_xc("own_pbe")


def test_vv10_may_be_part_of_a_functional(hydrogen):
    assert libxc.is_nlc("toy_vv10") and libxc.nlc_coeff("toy_vv10") == (((6.0, 0.01), 1.0),)
    assert dft.RKS(hydrogen, xc="toy_vv10").do_nlc()
    assert not dft.RKS(hydrogen, xc="toy_vv10").set(nlc=0).do_nlc()
    assert libxc.nlc_coeff("wb97m_v") == (((6.0, 0.01), 1.0),)


def test_purely_long_range_exchange_has_no_short_range_part():
    seam.register(network("toy_lr", omega=0.4, sr_fraction=0.0))
    assert dft.numint.NumInt().rsh_and_hybrid_coeff("toy_lr") == (0.4, 1.0, 0.0)


def test_libxc_itself_is_unchanged():
    assert libxc.rsh_coeff("wb97m_v") == pytest.approx((0.3, 1.0, -0.85))
    assert libxc.nlc_coeff("vv10") == (((5.9, 0.0093), 1.0),)
    assert libxc.test_deriv_order("pbe", 3) and libxc.xc_reference("pbe")
    with pytest.raises(KeyError, match="'QWERTZ' not found"):
        libxc.xc_type("qwertz")


def test_names_that_pyscf_takes_for_functionals_of_the_laplacian_are_refused():
    with pytest.raises(InvalidInput, match="contains 'cs', which PySCF takes for functionals"):
        seam.register(network("toy_physics"))


def test_registering_twice_wraps_once():
    before = libxc._eval_xc
    seam.install()
    assert libxc._eval_xc.wrapped_by_mlxc is before.wrapped_by_mlxc
    assert not hasattr(before.wrapped_by_mlxc, "wrapped_by_mlxc")


def test_registering_again_replaces_the_functional():
    first, second = network("toy_again", seed=1), network("toy_again", seed=2)
    for functional in (first, second):
        assert seam.register(functional) == "toy_again"
        assert libxc._get_xc("toy_again", spin=1).functional is functional


def test_a_functional_is_loaded_when_first_asked_about():
    loaded = []
    seam.register_name("toy_lazy", lambda: loaded.append(1) or network("toy_lazy"))
    assert not loaded
    libxc.xc_type("toy_lazy"), libxc.is_hybrid_xc("toy_lazy")
    assert loaded == [1]


@pytest.mark.parametrize("name", ["Toy", "toy-rs", "toy rs", "", "toy,", "pbe", "b3lyp", "hyb_gga_xc_pbeh"])
def test_names_that_pyscf_would_read_otherwise_are_refused(name):
    with pytest.raises(InvalidInput):
        seam.register(network(name))


@pytest.mark.parametrize("xc", ["TOY_RS", "Toy_rs", " toy_rs ", "toy_rs-d4"])
def test_case_and_dispersion_do_not_change_the_functional(xc):
    assert libxc._get_xc(xc) is libxc._get_xc("toy_rs", spin=1)


def test_upper_case_gives_the_same_energy(hydrogen):
    energies = [converged(dft.RKS(hydrogen, xc=name)).e_tot for name in ("TOY_RS", "toy_rs")]
    assert energies[0] == pytest.approx(energies[1], abs=1e-11)  # threads add up the grid in any order


MIXTURES = ["toy_rs,pbe", "pbe,toy_rs", "toy_rs,", ",toy_rs", "0.5*toy_rs+0.5*pbe", "toy_rs+pbe", "toy_rs-pbe",
            "hf+toy_rs", "toy_rs-d3", "toy_rs-d3bj", "TOY_RS,PBE", "toy_rs + toy_rs", "-toy_rs", "toy_rs-d4,pbe"]


@pytest.mark.parametrize("xc", MIXTURES)
def test_mixtures_are_refused_before_anything_is_computed(xc, hydrogen, monkeypatch):
    monkeypatch.setattr(entry.Registered, "rows", lambda *_: pytest.fail("the functional was evaluated"))
    mf = dft.RKS(hydrogen, xc=xc)
    monkeypatch.setattr(mf, "get_jk", lambda *_: pytest.fail("exchange was computed"))
    with pytest.raises(Unsupported, match="toy_rs"):
        mf.kernel()


@pytest.mark.parametrize("xc", ["toy_r", "toyrs", "TOY_SR", "toy_rss"])
def test_misspelled_names_get_the_closest_one(xc, hydrogen):
    with pytest.raises(UnknownFunctional, match=r"did you mean toy_rs\?"):
        dft.UKS(hydrogen, xc=xc).kernel()


def test_a_hyphen_is_taken_for_what_was_meant(hydrogen):
    with pytest.raises(UnknownFunctional, match=r"no functional 'mlxc-lh'; did you mean mlxc_lh\?"):
        dft.RKS(hydrogen, xc="mlxc-lh").kernel()


def test_the_hidden_name_of_a_part_is_no_functional(lh, hydrogen):
    with pytest.raises(UnknownFunctional, match="did you mean"):
        dft.RKS(hydrogen, xc=lh + entry.SEMILOCAL).kernel()


@pytest.mark.parametrize("xc", ["mlxc_nothing", "mlxc", "0.2*mlxc_nothing+pbe", "mlxc-d3model"])
def test_names_that_look_like_ours_are_never_given_to_libxc(xc):
    with pytest.raises(UnknownFunctional):
        libxc.xc_type(xc)


def test_a_tuple_in_place_of_the_name_is_refused(hydrogen):
    with pytest.raises((Unsupported, TypeError)):
        dft.RKS(hydrogen, xc=("toy_rs", "pbe")).kernel()


def test_define_xc_is_refused(hydrogen):
    with pytest.raises(Unsupported, match=r"set mf\.xc"):
        dft.RKS(hydrogen).define_xc_("toy_rs", "MGGA")
    dft.RKS(hydrogen).define_xc_("pbe", "GGA")


@pytest.mark.parametrize(("xc", "key", "value"), [("pbe", "xc", "toy_rs"), ("toy_rs", "xc", "pbe"),
                                                  ("toy_rs", "disp", "d4")])
def test_settings_that_a_second_order_solver_would_miss_are_refused(xc, key, value, hydrogen):
    mf = dft.RKS(hydrogen, xc=xc).newton()
    setattr(mf, key, value)
    with pytest.raises(Unsupported, match=rf"mf\.{key} was set to '{value}' after newton"):
        mf.kernel()


def test_fourth_derivatives_are_refused():
    assert libxc.test_deriv_order("toy_rs", 3, raise_error=True)
    assert not libxc.test_deriv_order("toy_rs", 4)
    with pytest.raises(Unsupported, match="up to order 3"):
        libxc.test_deriv_order("toy_rs", 4, raise_error=True)


def test_third_derivatives_are_refused_where_a_functional_has_none(hydrogen):
    functional = network("toy_second")
    functional.max_deriv_order = 2
    seam.register(functional)
    mf = converged(dft.RKS(hydrogen, xc="toy_second"))
    td = mf.TDA().run(nstates=1)
    with pytest.raises(Unsupported, match="up to order 2"):
        td.nuc_grad_method().kernel()


def test_a_functional_without_range_separation_has_one_fraction():
    functional = network("toy_bad", omega=0.0)
    seam.register(functional)
    with pytest.raises(InvalidInput, match="must be equal"):
        libxc.xc_type("toy_bad")


# --------------------------------------------------------------------------- omega set by hand


def test_omega_set_by_hand_is_refused(hydrogen, cation):
    for mf in (dft.RKS(hydrogen, xc="toy_rs"), dft.UKS(cation, xc="toy_rs"), dft.ROKS(cation, xc="toy_rs"),
               dft.GKS(cation, xc="toy_rs")):
        mf.omega = 0.5
        with pytest.raises(InvalidInput, match=r"omega is set to 0\.5"):
            mf.kernel()


def test_the_functionals_own_omega_may_be_set(hydrogen):
    mf = dft.RKS(hydrogen, xc="toy_rs")
    mf.omega = 0.3
    assert converged(mf).e_tot == pytest.approx(converged(dft.RKS(hydrogen, xc="toy_rs")).e_tot, abs=1e-11)


@pytest.mark.parametrize("omega", [0.0, 0.5])
@pytest.mark.parametrize("use", [
    lambda mf: mf.nuc_grad_method().kernel(),
    lambda mf: mf.Hessian().kernel(),
    lambda mf: mf.TDA().kernel(),
    lambda mf: mf.TDDFT().get_ab(),
    lambda mf: mf.stability(),
    lambda mf: mf.newton().kernel(),
    lambda mf: mf.gen_response(hermi=2),
    lambda mf: mf.get_veff(),
    lambda mf: mf.to_uks().kernel(),
])
def test_omega_set_after_the_scf_is_refused(omega, use, hydrogen):
    mf = converged(dft.RKS(hydrogen, xc="toy_rs"))
    mf.omega = omega
    with pytest.raises(InvalidInput, match="omega is set"):
        use(mf)


# --------------------------------------------------------------------------- other versions of PySCF


class _Host:
    """A stand-in for pyscf.dft.libxc."""

    def __init__(self, **changes):
        for name in ("_CUSTOM_FUNC_R", "_CUSTOM_FUNC_U", *seam._SIGNATURES):
            setattr(self, name, getattr(libxc, name))
        for name, value in changes.items():
            setattr(self, name, value)


def test_this_pyscf_is_accepted():
    seam.verify_host(_Host())


@pytest.mark.parametrize("changes", [
    {"_CUSTOM_FUNC_U": None},
    {"_eval_xc": None},
    {"_eval_xc": lambda xc_code, rho: None},
    {"_libxc_to_xcfun_indices": lambda xctype, spin=0, deriv=1: range(3)},
])
def test_changed_hooks_are_refused_with_the_versions_that_work(changes):
    with pytest.raises(IncompatibleHost, match=seam.TESTED_VERSIONS):
        seam.verify_host(_Host(**changes))
