"""DM21 of DeepMind, from a checkout of its repository.

A network of the densities and of local exact exchange. ``MLXC_DM21`` names the folder that holds its package
`density_functional_approximation_dm21`, in the state that is to be computed with: as published, it hooks into
`eval_xc`, which PySCF no longer calls, and every SCF here then raises. A checkout whose `eval_xc_eff` runs the network
is computed. D3(BJ) with B3LYP's parameters belongs to it. There are no second derivatives.

Source: doi:10.1126/science.abj6511; D3: https://github.com/google-deepmind/deepmind-research/issues/314.
"""

import hashlib
import importlib
import importlib.util
import os
import sys
from pathlib import Path

from pyscf import dft, gto

from mlxc.bench.rivals.watched import Evaluations, watched

RESPONSE = False

VARIABLE = "MLXC_DM21"
PACKAGE = "density_functional_approximation_dm21"

#: What stands in `mf.xc`: a meta-GGA, as DM21's integration calls itself. With PySCF's default, an LDA, a bypass would
#: end in an error about shapes.
CARRIER = "r2scan"


def missing() -> str:
    """Why DM21 cannot be computed here."""
    folder = os.environ.get(VARIABLE, "")
    if not folder:
        return f"{VARIABLE} is not set: let it name the folder of a checkout that holds the package {PACKAGE}"
    if not _source().is_file():
        return f"{VARIABLE}={folder} does not hold {PACKAGE}/{_source().name}: let it name the folder above the package"
    absent = [name for name in ("tensorflow", "tensorflow_hub", "attr") if importlib.util.find_spec(name) is None]
    return f"{' and '.join(absent)} not installed: pip install tensorflow tensorflow-hub attrs" if absent else ""


def version() -> str:
    return f"DM21, {_source().name} {hashlib.sha256(_source().read_bytes()).hexdigest()[:12]}"


def d3() -> str:
    return "b3lyp"


def mean_field(mol: gto.Mole, restricted: bool):
    """PySCF's Kohn–Sham object with DM21's numerical integration; counted are the runs of the network."""
    folder = str(_source().parent.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    neural = importlib.import_module(f"{PACKAGE}.neural_numint")
    mf = (dft.RKS if restricted else dft.UKS)(mol, xc=CARRIER)
    mf._numint = neural.NeuralNumInt(neural.Functional.DM21)
    evaluations = Evaluations()
    evaluations.watch(mf._numint._session, "run")
    return watched(mf, "DM21", evaluations)


def _source() -> Path:
    return Path(os.environ.get(VARIABLE, "")) / PACKAGE / "neural_numint.py"
