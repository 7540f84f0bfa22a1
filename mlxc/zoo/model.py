"""What a loaded model is to the rest of the package."""

from typing import Protocol

from torch import Tensor

from mlxc.xc.density import Density
from mlxc.zoo.card import Card


class Model(Protocol):
    """A functional with its card.

    Attributes:
        name: its name in PySCF.
        card: what its file says of it.
        xc_type: "LDA", "GGA" or "MGGA".
        omega: range separation, bohr⁻¹; 0 where there is none.
        sr_fraction, lr_fraction: exact exchange at short and at long range.
    """

    name: str
    card: Card
    xc_type: str
    omega: float
    sr_fraction: float
    lr_fraction: float

    def edens(self, density: Density) -> Tensor:
        """XC energy per volume without the exact exchange, (n,), Ha bohr⁻³."""
