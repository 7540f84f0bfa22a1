"""Skala 1.1 of Microsoft Research, through its own package `skala`.

A network on the grid that passes messages between points and atoms; no exact exchange. D3(BJ) belongs to the
functional with the parameters that its file names (B3LYP's). Weights come from the hub they are published on, or from
the file that the package's own variable ``SKALA_LOCAL_MODEL_PATH`` names; either way the version carries their hash.

Source: arXiv:2506.14665; https://github.com/microsoft/skala.
"""

import hashlib
import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from pyscf import gto, lib

from mlxc.bench.rivals.watched import Evaluations, watched

RESPONSE = True

#: What its authors recommend.
FUNCTIONAL = "skala-1.1"


def missing() -> str:
    """Why Skala cannot be computed here; loads the weights to find out."""
    if importlib.util.find_spec("skala") is None:
        return "the package skala is not installed: pip install skala"
    try:
        _network()
    except Exception as error:  # of its own, the hub's and torch's many kinds: the reason is what counts
        return (f"the weights of {FUNCTIONAL} cannot be loaded ({type(error).__name__}: {error}): "
                "connect to huggingface.co once, or let SKALA_LOCAL_MODEL_PATH name the file")
    return ""


def version() -> str:
    return f"skala {importlib.metadata.version('skala')}, {_network()[2]}"


def d3() -> str:
    """What the file of the weights names."""
    return _network()[0].get_d3_settings() or ""


def mean_field(mol: gto.Mole, restricted: bool):
    """Its own Kohn–Sham object; the spin is kept apart also where it is 0, unless ``restricted``."""
    dft = importlib.import_module("skala.pyscf.dft")
    functional, evaluations, _ = _network()
    mf = (dft.SkalaRKS if restricted else dft.SkalaUKS)(mol, functional, with_dftd3=False)
    mf = watched(mf, "Skala", evaluations, response=True)
    return lib.set_class(mf, (Responding, mf.__class__))


class Responding:
    """Second derivatives as PySCF's callers expect them.

    Skala's take one density at a time, and lack the Coulomb potential of the other spin where an unrestricted object
    has as many electrons of either spin.
    """

    __name_mixin__ = "Responding"
    mol: gto.Mole
    mo_occ: np.ndarray
    get_j: Callable

    def gen_response(self, *args, **kwargs):
        product = super().gen_response(*args, **kwargs)
        unrestricted = np.ndim(self.mo_occ) == 2

        def one(dm1: np.ndarray) -> np.ndarray:
            dm1 = np.ascontiguousarray(dm1)
            v1 = product(dm1)
            return v1 + self.get_j(self.mol, dm1, hermi=1)[::-1] if unrestricted and self.mol.spin == 0 else v1

        def each(dm1: np.ndarray) -> np.ndarray:
            sets = np.ndim(dm1) - (3 if unrestricted else 2)
            if not sets:
                return one(dm1)
            axis = 1 if unrestricted else 0
            return np.stack([one(dm) for dm in np.moveaxis(dm1, axis, 0)], axis)

        return each


@lru_cache(maxsize=1)
def _network() -> tuple[Any, Evaluations, str]:
    """The functional, the count of its evaluations, and the name and hash of its file."""
    file = importlib.import_module("skala.functional").resolve_functional_artifact(FUNCTIONAL)
    functional, evaluations = file.load(), Evaluations()
    evaluations.watch(functional, "get_exc")
    return functional, evaluations, f"{file.path.name} {hashlib.sha256(file.path.read_bytes()).hexdigest()[:12]}"
