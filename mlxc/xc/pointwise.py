"""Derivatives of a local hybrid's replacement energy in the density rows and the exact exchange, point by point.

    e(r) = replacement(ρ_σ(r), e_xσ^{SR,HF}(r)),     ρ = [n, ∂_x n, ∂_y n, ∂_z n, τ]

In rows rather than in (n, σ, τ): a change of the density matrix changes them linearly, so that one backward pass gives
the potential, and a second one the product of the second derivative with such a change.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mlxc.xc.density import Density, variables_from_rows
from mlxc.xc.derivatives import RHO_CUTOFF, chunk


def value_and_gradient(functional, rho: Tensor, exact: Tensor, over_blocks: Callable = map) -> Sequence[Tensor]:
    """Replacement energy per volume and its derivatives.

    Args:
        functional: has ``replacement(density, exact) -> (n,)``.
        rho: density rows, (5, n) of a closed shell or (2, 5, n), atomic units.
        exact: e_xσ^{SR,HF}, (n,) of one spin of a closed shell, or (2, n), Ha bohr⁻³.
        over_blocks: applies a function to a sequence of blocks, as `map` does.

    Returns:
        [e, ∂e/∂rho, ∂e/∂exact]: (n,), and the shapes of the variables (in a closed shell ∂e/∂exact is the sum of both
        spins'). Zero where the density is below RHO_CUTOFF.
    """
    def block(x: Tensor, y: Tensor) -> Sequence[Tensor]:
        with torch.enable_grad():
            x, y = x.requires_grad_(), y.requires_grad_()
            energy = _energy(functional, x, y)
            return energy, *torch.autograd.grad(energy.sum(), (x, y))

    return _by_blocks(block, (rho, exact), (exact[:0].new_empty(()), rho, exact), over_blocks)


def hessian_product(functional, rho: Tensor, exact: Tensor, rho1: Tensor, exact1: Tensor,
                    over_blocks: Callable = map) -> Sequence[Tensor]:
    """Change of [∂e/∂rho, ∂e/∂exact] to first order in a change of the variables.

    Args:
        functional, rho, exact, over_blocks: as in `value_and_gradient`.
        rho1, exact1: the change, of the shapes of ``rho`` and ``exact``.

    Returns:
        Two tensors of these shapes.
    """
    def block(x: Tensor, y: Tensor, x1: Tensor, y1: Tensor) -> Sequence[Tensor]:
        with torch.enable_grad():
            x, y = x.requires_grad_(), y.requires_grad_()
            v_rho, v_exact = torch.autograd.grad(_energy(functional, x, y).sum(), (x, y), create_graph=True)
            along = (v_rho * x1).sum() + (v_exact * y1).sum()
            return torch.autograd.grad(along, (x, y))

    return _by_blocks(block, (rho, exact, rho1, exact1), (rho, exact), over_blocks)


def _energy(functional, rho: Tensor, exact: Tensor) -> Tensor:
    density = Density.from_variables(variables_from_rows(rho))
    return functional.replacement(density, exact if exact.ndim == 2 else exact.expand(2, -1))


def _by_blocks(block: Callable, variables: Sequence[Tensor], like: Sequence[Tensor],
               over_blocks: Callable) -> list[Tensor]:
    """Applies ``block`` to `chunk` points with density at a time; its results have the leading shapes of ``like``."""
    rho = variables[0]
    n = rho[0] if rho.ndim == 2 else rho[:, 0].sum(0)
    results = [torch.zeros(*x.shape[:-1], len(n), dtype=rho.dtype, device=rho.device) for x in like]
    blocks = torch.nonzero(n > RHO_CUTOFF).ravel().split(chunk(n.device))
    found = over_blocks(lambda points: block(*(v[..., points].detach() for v in variables)), blocks)
    for points, values in zip(blocks, found, strict=True):
        for result, value in zip(results, values, strict=True):
            result[..., points] = value.detach()
    return results
