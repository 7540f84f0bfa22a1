"""CIDER functionals, through the package `ciderpress`.

Gaussian processes of non-local features of the density. ``MLXC_CIDER`` names a model: one that the package carries, or
the path of a file (YAML or joblib: either runs code as it is loaded, so that it must come from someone trusted);
without it, the package's model for molecules. Only models of exchange and correlation together are computed: a model of
exchange alone is a functional only with a choice of correlation and mixing. A model that asks for a dispersion energy
adds it to its own energy. There are no second derivatives.

Source: doi:10.1021/acs.jctc.1c00904, doi:10.1021/acs.jctc.4c00999; https://github.com/cider-dft/CiderPress.
"""

import hashlib
import importlib
import importlib.metadata
import importlib.util
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from pyscf import dft, gto

from mlxc.bench.rivals.watched import Evaluations, watched
from mlxc.errors import InvalidInput

RESPONSE = False

VARIABLE = "MLXC_CIDER"
MODEL = "CIDER26XCCHEM"


def missing() -> str:
    """Why CIDER cannot be computed here."""
    if importlib.util.find_spec("ciderpress") is None:
        return "the package ciderpress is not installed: pip install ciderpress"
    path = Path(_name())
    if path.suffix and not path.is_file():
        return f"{VARIABLE}={path} is no file: let it name a model file, or leave it unset for {MODEL}"
    return ""


def version() -> str:
    path = Path(_name())
    weights = f" {hashlib.sha256(path.read_bytes()).hexdigest()[:12]}" if path.is_file() else ""
    return f"ciderpress {importlib.metadata.version('ciderpress')}, {path.name}{weights}"


def d3() -> str:
    return ""


def mean_field(mol: gto.Mole, restricted: bool):
    """PySCF's Kohn–Sham object in CIDER's dress; counted are the evaluations of the model."""
    decorate = importlib.import_module("ciderpress.pyscf.dft").make_cider_calc
    mf = decorate((dft.RKS if restricted else dft.UKS)(mol), _model(_name()))
    evaluations = Evaluations()
    evaluations.watch(mf._numint, "eval_xc_cider")
    return watched(mf, "CIDER", evaluations)


@lru_cache(maxsize=1)
def _model(name: str) -> Any:
    models = importlib.import_module("ciderpress.dft.model_utils")
    model = models.load_cider_model(name)
    try:
        models.validate_cider_composition(model, xmix=0.0, xkernel=None, ckernel=None)
    except ValueError:  # a complete functional may not be mixed with another
        return model
    raise InvalidInput(f"{VARIABLE}={name} is a model of exchange alone, expected one of exchange and correlation "
                       f"such as {MODEL}")


def _name() -> str:
    return os.environ.get(VARIABLE) or MODEL
