"""Functionals for the tests: untrained, so that what holds for them holds for any weights."""

import torch

from mlxc.xc.functional import LocalHybrid, RangeSeparated


def random_functional(scale: float = 0.4, seed: int = 1, kind: type[RangeSeparated] = RangeSeparated,
                      omega: float = 0.3, sr_fraction: float = 0.2, width: int = 6,
                      depth: int = 2) -> RangeSeparated:
    """A learned functional with normal random numbers of the given scale added to all weights; 3 saturates tanh."""
    exchange = {"omega": omega, "sr_fraction": sr_fraction}
    return randomised(lambda: kind(exchange, {"width": width, "depth": depth}), scale, seed)


def random_local_hybrid(scale: float = 0.4, seed: int = 1, local_omega: float = 0.4, width: int = 6, depth: int = 2,
                        name: str = "mlxc_random_lh", kind: type[LocalHybrid] = LocalHybrid,
                        hole: bool = True) -> LocalHybrid:
    """The same of a local hybrid."""
    exchange = {"local_omega": local_omega, "b_max": 2.0}
    return randomised(lambda: kind(exchange, {"width": width, "depth": depth, "hole": hole}, name), scale, seed)


def randomised(make, scale: float, seed: int):
    """The same weights for the same seed, whatever was drawn before."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        functional = make()
    with torch.no_grad():
        for parameter in functional.parameters():
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return functional.requires_grad_(False)
