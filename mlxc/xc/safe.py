"""Operations with a finite value and finite derivatives, to third order, where the plain ones have none.

`torch.where(x > 0, f(x), g(x))` alone is not enough: the branch that is not taken still enters the gradient as
0·∞ = NaN. Every branch here is therefore evaluated at arguments of its own domain only (the "double where").
"""

from collections.abc import Callable

import torch
from torch import Tensor


def branch(condition: Tensor, x: Tensor, inside: Callable, outside: Callable, x_in: float, x_out: float) -> Tensor:
    """inside(x) where the condition holds and outside(x) elsewhere, with the derivatives of the branch taken.

    Args:
        condition: boolean, shape of x.
        x: the argument.
        inside: function used where the condition holds.
        outside: function used where it does not.
        x_in: a point at which ``inside`` and its derivatives are finite, put where it is not used.
        x_out: the same for ``outside``.

    Returns:
        Tensor of the shape of x; derivatives are one-sided at the border.
    """
    return torch.where(condition, inside(torch.where(condition, x, x_in)), outside(torch.where(condition, x_out, x)))


def power(x: Tensor, exponent: float, floor: float) -> Tensor:
    """max(x, floor)^exponent: constant, with derivatives zero, below the floor (also for x <= 0).

    Args:
        x: any real values.
        exponent: any real number.
        floor: positive; floor^(exponent − 3) must be representable for the third derivative to be.
    """
    return x.clamp(min=floor) ** exponent


def divide(numerator: Tensor, denominator: Tensor, floor: float, otherwise: float) -> Tensor:
    """numerator/denominator where the denominator exceeds the floor, the constant ``otherwise`` elsewhere.

    Args:
        numerator: any real values.
        denominator: any real values.
        floor: positive; floor^(−4) must be representable for the third derivative to be.
        otherwise: the value, with derivatives zero, where the denominator is too small.
    """
    usable = denominator > floor
    return torch.where(usable, numerator / torch.where(usable, denominator, 1.0), otherwise)
