"""GPU4PySCF's own Python code with mlxc's functionals, without a GPU (`report_on_gpu4pyscf`)."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from mlxc.host import seam

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("gpu4pyscf") is None,
                       reason="GPU4PySCF's files are not here: pip install --no-deps gpu4pyscf-cuda12x"),
]


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> dict:
    done = subprocess.run([sys.executable, "-m", "tests.gpu.report_on_gpu4pyscf", tmp_path_factory.mktemp("libraries")],
                          cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_derivatives_are_those_of_the_cpu(report):
    assert len(report["derivatives"]) == 20
    assert {case: e for case, e in report["derivatives"].items() if not e < 1e-13} == {}


def test_what_a_functional_is_comes_from_its_card(report):
    f = seam.find("mlxc_rs").functional
    assert report["answers"] == ["MGGA", f.omega, f.lr_fraction, pytest.approx(f.sr_fraction), True, False]


def test_names_are_refused_as_on_the_cpu(report):
    refused = report["refused"]
    assert refused["mlxc_lh"].startswith("Unsupported: mlxc_lh is a local hybrid")
    assert refused["mlxc_rs + pbe"].startswith("Unsupported: xc = 'mlxc_rs + pbe' combines")
    assert refused["mlxc_r"].startswith("UnknownFunctional: mlxc has no functional 'mlxc_r'; did you mean mlxc_rs?")
    assert report["semilocal"] == "computed"


def test_excitations_by_exact_exchange_alone_are_refused(report):
    assert len(report["excitations"]) == 4
    assert all("mlxc_lh" in said and "leaves its local exchange out" in said for said in report["excitations"])


@pytest.mark.parametrize("name, cls", [("plain", "dft.rks.RKS"), ("unrestricted", "dft.uks.UKS"),
                                       ("fitted", "df.df_jk.DFRKS"), ("solvent", "solvent._attach_solvent.PCMDFUKS")])
def test_the_functional_travels_both_ways(report, name, cls):
    found = report["travelled"][name]
    assert found["gpu"] == f"gpu4pyscf.{cls}" and found["cpu"] == "True"
    assert found["xc"] == found["back"] == "mlxc_rs"


def test_settings_of_the_local_exchange_travel_too(report):
    found = report["travelled"]["local"]
    assert found["xc"] == "mlxc_lh" and found["local"] == found["local back"] == "Settings(grid_level=2, auxbasis=None)"


def test_dispersion_has_the_parameters_of_the_card(report):
    there, here = report["dispersion"]
    assert there == pytest.approx(here, abs=1e-14) and here < -1e-5


def test_functionals_can_be_attached(report):
    assert report["attached"] == "mlxc_rs"
