"""A local hybrid of random weights: what holds for it holds for any."""

import pytest
import torch

from mlxc.xc.functional import LocalHybrid
from tests.functionals import random_local_hybrid


@pytest.fixture(scope="session")
def lh() -> LocalHybrid:
    with torch.random.fork_rng():
        torch.manual_seed(1)  # of the weights that torch starts from
        return random_local_hybrid(name="mlxc_any_lh")
