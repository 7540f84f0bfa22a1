"""A local hybrid of random weights: what holds for it holds for any."""

import pytest

from mlxc.xc.functional import LocalHybrid
from tests.functionals import random_local_hybrid


@pytest.fixture(scope="session")
def lh() -> LocalHybrid:
    return random_local_hybrid(name="mlxc_any_lh")
