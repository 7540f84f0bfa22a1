"""How GPU4PySCF is met: its functions are checked and wrapped when it is imported; here by packages of that name."""

import importlib
import subprocess
import sys
import textwrap
import types

import pytest
import torch

import mlxc
from mlxc.errors import IncompatibleHost, Unsupported
from mlxc.host import gpu, seam
from mlxc.host.gpu import GridFunctional, labels

#: A package with the functions that are wrapped; the one that is called returns its arguments.
MODULES = {
    "__init__": "__version__ = '0'\nfrom gpu4pyscf import dft, grad, scf, tdscf",
    "dft/__init__": "from gpu4pyscf.dft import numint, rks",
    "dft/numint": """
        import functools
        @functools.lru_cache(10)
        def _init_xcfuns(xc_code, spin, omega=None):
            return xc_code, spin, omega
        class NumInt:
            def nr_rks(ni, mol, grids, xc_code, dms, relativity=0, hermi=1, max_memory=2000, verbose=None): ...
            def nr_uks(ni, mol, grids, xc_code, dms, relativity=0, hermi=1, max_memory=2000, verbose=None): ...
            def to_cpu(self): ...
        """,
    "dft/rks": "class KohnShamDFT:\n    def dump_flags(self, verbose=None): ...",
    "scf/__init__": "",
    "scf/soscf": "class _CIAH_SOSCF:\n    def build(mf): ...",
    "tdscf/__init__": "from gpu4pyscf.tdscf import ris, uhf",
    "tdscf/ris": """
        class RisBase:
            def build(self):
                return "built"
            def get_ab(self, mf=None): ...
        """,
    "tdscf/uhf": "def gen_uhf_response_sf(mf, hermi=0): ...\ndef get_ab_sf(mf): ...",
    "grad/__init__": "from gpu4pyscf.grad import rhf, rks, tdrhf, tdrks_ris, tduhf, uhf, uks",
    **{f"grad/{name}": "class Gradients:\n    def kernel(self, xy=None): ..."
       for name in ("tdrhf", "tduhf", "tdrks_ris")},
    **{f"grad/{name}": """
        def get_exc(ni, mol, grids, xc_code, dms, relativity=0): ...
        def get_exc_full_response(ni, mol, grids, xc_code, dms, relativity=0): ...
        """ for name in ("rks", "uks")},
    **{f"grad/{name}": """
        class Gradients:
            def grad_elec(mf_grad, mo_energy=None, mo_coeff=None, mo_occ=None, atmlst=None): ...
        """ for name in ("rhf", "uhf")},
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Writes the package, with changes, where it is found; modules and finders are as before afterwards."""
    def write(**changes):
        for name, code in (MODULES | changes).items():
            path = tmp_path / "gpu4pyscf" / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(code))

    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.syspath_prepend(tmp_path)
    forget = [name for name in sys.modules if name.partition(".")[0] == "gpu4pyscf"]
    assert not forget
    yield write
    for name in [name for name in sys.modules if name.partition(".")[0] == "gpu4pyscf"]:
        del sys.modules[name]


def test_it_is_wrapped_after_it_is_imported(package):
    package()
    gpu.install()
    gpu.install()
    found = importlib.import_module("gpu4pyscf")
    assert found.dft.numint._init_xcfuns("pbe", 0) == ("pbe", 0, None)
    (functional, factor), = found.dft.numint._init_xcfuns("MLXC_RS-d4", 1, 0.3)
    assert isinstance(functional, GridFunctional) and functional.on_gpu and factor == 1.0
    assert not hasattr(found.dft.numint._init_xcfuns.wrapped_by_mlxc, "wrapped_by_mlxc")


def test_it_is_wrapped_where_it_was_imported_before(package, monkeypatch):
    package()
    monkeypatch.setattr(sys, "meta_path", [f for f in sys.meta_path if not isinstance(f, gpu._Waiting)])
    found = importlib.import_module("gpu4pyscf")
    assert not hasattr(found.grad.rks.get_exc, "wrapped_by_mlxc")
    gpu.install()
    wrapped = (found.dft.numint.NumInt.nr_uks, found.grad.uks.get_exc_full_response, found.grad.uhf.Gradients.grad_elec,
               found.dft.rks.KohnShamDFT.dump_flags)
    assert all(hasattr(function, "wrapped_by_mlxc") for function in wrapped)


def test_what_evaluates_no_functional_refuses_local_hybrids(package):
    """It asks for the fraction of exact exchange alone, and would take them for Hartree–Fock."""
    package()
    gpu.install()
    tdscf = importlib.import_module("gpu4pyscf").tdscf

    class Excitations(tdscf.ris.RisBase):
        def __init__(self, xc):
            self._scf = types.SimpleNamespace(xc=xc)

    assert Excitations("mlxc_rs").build() == Excitations("pbe0").build() == "built"
    with pytest.raises(Unsupported, match="mlxc_lh in RisBase.build, which leaves its local exchange out"):
        Excitations("mlxc_lh").build()
    with pytest.raises(Unsupported, match="mlxc_lh in RisBase.get_ab, .*: on a GPU .* more after mf.to_cpu"):
        Excitations("mlxc_lh").get_ab()
    for function in (tdscf.uhf.gen_uhf_response_sf, tdscf.uhf.get_ab_sf):
        with pytest.raises(Unsupported, match=f"mlxc_lh in {function.__name__}"):
            function(types.SimpleNamespace(xc="mlxc_lh"))


def test_gradients_of_excited_states_refuse_dispersion(package):
    package()
    gpu.install()
    gradients = importlib.import_module("gpu4pyscf").grad.tdrhf.Gradients()
    mf = types.SimpleNamespace(xc="mlxc_rs", do_disp=lambda: True)
    gradients.base = types.SimpleNamespace(_scf=mf)
    with pytest.raises(Unsupported, match="leave the dispersion out"):
        gradients.kernel()
    mf.do_disp = lambda: False
    assert gradients.kernel() is None


def test_second_order_solvers_are_checked_whenever_they_are_imported(package):
    package()
    gpu.install()
    soscf = importlib.import_module("gpu4pyscf.scf.soscf")
    assert hasattr(soscf._CIAH_SOSCF.build, "wrapped_by_mlxc")


def test_an_import_that_failed_is_followed_the_next_time(package):
    package(**{"dft/rks": "raise OSError('no CUDA')"})
    gpu.install()
    with pytest.raises(OSError, match="no CUDA"):
        importlib.import_module("gpu4pyscf")
    for name in [name for name in sys.modules if name.partition(".")[0] == "gpu4pyscf"]:
        del sys.modules[name]
    package()
    importlib.invalidate_caches()
    assert hasattr(importlib.import_module("gpu4pyscf").dft.numint._init_xcfuns, "wrapped_by_mlxc")


@pytest.mark.parametrize("path, code, says", [
    ("dft/numint", MODULES["dft/numint"].replace("_init_xcfuns", "_make"), "dft.numint._init_xcfuns is missing"),
    ("grad/uks", MODULES["grad/uks"].replace("ni, mol", "mol, ni"),
     r"grad.uks.get_exc takes \(mol, ni, .*\), expected \(ni, mol, "),
    ("grad/uhf", "class Gradients: ...", "grad.uhf.Gradients.grad_elec is missing"),
])
def test_another_gpu4pyscf_is_refused(package, path, code, says):
    package(**{path: code})
    gpu.install()
    with pytest.raises(IncompatibleHost, match=f"GPU4PySCF 0 cannot take mlxc's functionals: {says}"):
        importlib.import_module("gpu4pyscf")


def test_importing_mlxc_imports_nothing_of_it():
    code = "import sys, mlxc; print([m for m in sys.modules if m.partition('.')[0] in ('cupy', 'gpu4pyscf')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_labels_are_libxcs():
    found = labels("MGGA", 0, 3)
    assert found["zk"] == [0] and found["vtau"] == [3] and found["v2sigmatau"] == [8] and found["v3tau3"] == [19]
    assert {label for label, rows in found.items() if rows is None} == {
        "vlapl", "v2rholapl", "v2sigmalapl", "v2lapl2", "v2lapltau", "v3rho2lapl", "v3rhosigmalapl", "v3rholapl2",
        "v3rholapltau", "v3sigma2lapl", "v3sigmalapl2", "v3sigmalapltau", "v3lapl3", "v3lapl2tau", "v3lapltau2"}


@pytest.mark.parametrize("xc_type, spin, order, sizes", [
    ("LDA", 1, 2, {"zk": 1, "vrho": 2, "v2rho2": 3}),
    ("GGA", 1, 2, {"zk": 1, "vrho": 2, "vsigma": 3, "v2rho2": 3, "v2rhosigma": 6, "v2sigma2": 6}),
    ("GGA", 0, 3, {"zk": 1, "vrho": 1, "vsigma": 1, "v2rho2": 1, "v2rhosigma": 1, "v2sigma2": 1, "v3rho3": 1,
                   "v3rho2sigma": 1, "v3rhosigma2": 1, "v3sigma3": 1}),
])
def test_every_label_has_its_components(xc_type, spin, order, sizes):
    assert {label: len(rows) for label, rows in labels(xc_type, spin, order).items()} == sizes


@pytest.fixture
def inputs():
    return {kind: torch.ones(4, count, dtype=torch.float64) for kind, count in
            (("rho", 2), ("sigma", 3), ("tau", 2))}


@pytest.mark.parametrize("kind, value, says", [
    ("rho", float("nan"), "NaN or infinity"), ("tau", float("inf"), "NaN or infinity"),
    ("rho", -0.1, "the density is negative, down to -1.00e-01"),
])
def test_densities_are_checked_as_on_the_cpu(inputs, kind, value, says):
    inputs[kind][2, 1] = value
    with pytest.raises(mlxc.InvalidDensity, match=says):
        GridFunctional(seam.find("mlxc_rs"), None).compute(inputs)


def test_the_grids_functional_refuses_what_the_entry_refuses(inputs):
    with pytest.raises(Unsupported, match="local hybrid"):
        GridFunctional(seam.find("mlxc_lh"), None).compute(inputs)
    with pytest.raises(mlxc.InvalidInput, match="omega is set to 0.9"):
        GridFunctional(seam.find("mlxc_rs"), 0.9).compute(inputs)
