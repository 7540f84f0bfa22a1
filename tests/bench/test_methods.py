"""Every name means one functional with one dispersion correction."""

import pickle

import pytest
from pyscf import dft, gto

import mlxc
from mlxc import zoo
from mlxc.bench import methods
from mlxc.errors import InvalidInput, UnknownFunctional
from tests.bench.conftest import H2, PROTOCOL
from tests.functionals import random_functional

CARD = {"name": "tiny_bench", "version": "0.0.1", "description": "random weights", "kind": "rs", "claims": [],
        "domain": {"elements": ["H"], "charges": [0], "spins": [0, 1]},
        "training": {"data_hash": "0" * 64, "summary": "none", "date": "2026-01-01"}}


@pytest.fixture
def model(tmp_path):
    """Path of a card without dispersion, trained on the test."""
    functional = random_functional()
    functional.name = CARD["name"]
    exchange = functional.exchange | {"lr_fraction": functional.lr_fraction}
    training = CARD["training"] | {"train_on_test": True}
    return zoo.save(tmp_path, functional, CARD | {"exchange": exchange, "network": functional.network,
                                                  "training": training})


@pytest.mark.parametrize("name, dispersion", (("hf", ""), ("pbe", "d4"), ("PBE0", "d4"), ("wb97m_v", "vv10"),
                                              ("mlxc_rs", "card"), ("mlxc_lh", "card"), ("lda,vwn", "")))
def test_each_has_its_own_dispersion(name, dispersion):
    found = methods.method(name)
    assert found.dispersion == dispersion and found.name == name.lower()
    assert not found.identity["train_on_test"]


def test_versions_tell_the_weights(model):
    assert zoo.card("mlxc_rs")["weights"]["sha256"][:12] in methods.method("mlxc_rs").version
    assert "libxc" in methods.method("pbe").version
    found = methods.method(str(model))
    assert found.identity["train_on_test"] and found.dispersion == "" and found.version.startswith("0.0.1, weights ")
    assert methods.method("mlxc_lh").identity["spread_scale"] == zoo.card("mlxc_lh")["uncertainty"]["scale"]


def test_a_model_travels_to_processes_that_never_saw_it(model):
    """What arrives registers itself there."""
    found = pickle.loads(pickle.dumps(methods.method(str(model))))
    mlxc.host.seam._registered.pop("tiny_bench")
    mf = found.mean_field(H2.mol(), True)
    mf.grids.level = 0
    assert mf.kernel() < -1


def test_dispersion_is_that_of_the_functional_of_the_name():
    """dftd4 calls another form wb97x; the one of 2008, which is PySCF's, has little dispersion to add."""
    argon = gto.M(atom="Ar 0 0 0; Ar 0 0 3.8", verbose=0)
    energy = [methods._d4(argon, name) for name in ("wb97x", "wb97x-2008", "pbe")]
    assert energy[0] == energy[1] and -1.5e-4 < energy[0] < -5e-5 and energy[2] < 2 * energy[0]


@pytest.mark.parametrize("name", ("hf", "pbe", "wb97m_v", "mlxc_rs"))
def test_the_scf_has_no_dispersion_in_it(name):
    found = methods.method(name)
    mf = found.mean_field(H2.mol(), True)
    if name != "hf":
        mf.grids.level = 0
        assert (mf.nlc, mf.disp) == (0, None)
    plain = mf.kernel()
    added = found.dispersion_energy(mf, PROTOCOL)
    if name == "hf":
        assert added == 0
    if name == "wb97m_v":
        whole = dft.RKS(H2.mol(), xc=name)
        whole.grids.level, whole.nlcgrids.level = 0, 0
        assert 0 < added < 0.02 and plain + added == pytest.approx(whole.kernel(), abs=1e-5)  # not self-consistent
    if name in ("pbe", "mlxc_rs"):
        assert -1e-3 < added < 0
        assert name == "pbe" or added == mlxc.dispersion_energy(mf.mol, name)


def test_lists_are_read_in_their_order():
    assert [m.name for m in methods.methods("r2scan, hf,pbe")] == ["r2scan", "hf", "pbe"]


def test_unknown_names_are_refused():
    with pytest.raises(UnknownFunctional, match="r2scan"):
        methods.methods("pbe,r2scann")
    with pytest.raises(InvalidInput, match="names pbe twice"):
        methods.methods("pbe,PBE")
    with pytest.raises(InvalidInput, match="leaves nothing to compute"):
        methods.methods(" ,")
