"""A benchmark small enough for every test: H₂, its cation, He, in minimal bases."""

import pytest

from mlxc.bench.entries import Builder, Set
from mlxc.bench.jobs import Job
from mlxc.bench.protocol import Protocol

BOND = (("H", (0.0, 0.0, 0.0)), ("H", (0.0, 0.0, 0.74)))

H2 = Job("T/h2", BOND, 0, 0, "sto-3g")
H2_CATION = Job("T/h2+", BOND, 1, 1, "sto-3g")
HE = Job("T/he", (("He", (0.0, 0.0, 0.0)),), 0, 0, "sto-3g")
LI = Job("T/li", (("Li", (0.0, 0.0, 0.0)),), 0, 1, "sto-3g")

PROTOCOL = Protocol(basis="sto-3g", grid_level=0, nlc_grid_level=0)


@pytest.fixture
def tiny() -> Set:
    """Two reactions of three species."""
    build = Builder()
    build.add("IP(H2)", "ionisation", "ions", [(H2_CATION, 1), (H2, -1)], 350.0)
    build.add("2 He", "helium", "atoms", [(HE, 2)], -3500.0)
    return build.finished("tiny", "Two reactions", held_back=True)
