"""The exact constraints: where each is enforced, and how its violation is measured."""

from torch import Tensor

#: Power of z in the one-electron indicator.
Z_POWER = 2


def one_electron(z: Tensor, zeta2: Tensor) -> Tensor:
    """The one-electron indicator q = S(z^p ζ²), S(x) = x³ (10 − 15x + 6x²).

    1, with vanishing first and second derivatives of S, exactly where a single real orbital is occupied
    (z = τ_W/τ = 1 and ζ² = 1), 0 in closed shells.

    Args:
        z: τ_W/τ of the total density, (n,).
        zeta2: ζ², (n,).

    Returns:
        (n,), in [0, 1].
    """
    x = (z**Z_POWER * zeta2).clamp(max=1.0)
    return x**3 * (10 - 15 * x + 6 * x**2)
