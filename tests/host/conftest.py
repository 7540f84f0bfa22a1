"""Registers the functionals under test and makes the molecules."""

import pytest
from pyscf import gto

import mlxc
from mlxc.host import seam
from mlxc.xc.reference import reference
from tests.functionals import random_local_hybrid
from tests.host.support import OWN, WATER, network


@pytest.fixture(scope="session", autouse=True)
def registered():
    """Registers the references under their own names, and networks with random weights, one of them with VV10."""
    for name, (source, _) in OWN.items():
        functional = reference(source)
        functional.name = name
        seam.register(functional)
    seam.register(network("toy_rs"))
    with_vv10 = network("toy_vv10")
    with_vv10.nlc_coeff = (((6.0, 0.01), 1.0),)
    seam.register(with_vv10)


@pytest.fixture(scope="session")
def xc(registered) -> str:
    """The learned functional under test: the shipped one, the random one until there is one."""
    return "mlxc_rs" if "mlxc_rs" in mlxc.models() else "toy_rs"


@pytest.fixture(scope="session")
def lh(registered) -> str:
    """A local hybrid with random weights."""
    return seam.register(random_local_hybrid(name="toy_lh_response"))


@pytest.fixture
def calls(xc):
    """Number of points of every evaluation of the learned functional's networks, in order."""
    seen: list[int] = []
    handles = [n.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
               for n in seam.find(xc).functional.networks.values()]
    yield seen
    for handle in handles:
        handle.remove()


@pytest.fixture(scope="session")
def water() -> gto.Mole:
    return gto.M(atom=WATER, basis="sto-3g", verbose=0)


@pytest.fixture(scope="session")
def hydrogen() -> gto.Mole:
    return gto.M(atom="H 0 0 0; H 0.1 0.2 0.74", basis="6-31g", verbose=0)


@pytest.fixture(scope="session")
def cation() -> gto.Mole:
    """H₂O⁺, a doublet whose ground state is not degenerate."""
    return gto.M(atom=WATER, basis="sto-3g", charge=1, spin=1, verbose=0)
