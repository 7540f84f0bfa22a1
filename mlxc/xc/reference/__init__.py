"""Reference functionals, one file each: what the machinery is proven with, and what the learned ones are built from."""

from mlxc.errors import UnknownFunctional
from mlxc.suggest import did_you_mean
from mlxc.xc.reference.lda import LDA
from mlxc.xc.reference.pbe import PBE
from mlxc.xc.reference.r2scan import R2SCAN
from mlxc.xc.reference.wb97 import WB97

_BY_NAME = {functional.name: functional for functional in (LDA, PBE, R2SCAN, WB97)}


def reference(name: str) -> LDA | PBE | R2SCAN | WB97:
    """The reference functional of this name: "lda_pw", "pbe", "r2scan" or "wb97".

    Raises:
        UnknownFunctional: no such functional; the message gives the closest name.
    """
    if name not in _BY_NAME:
        raise UnknownFunctional(f"no reference functional is named {name!r}; there are {', '.join(_BY_NAME)}"
                                + did_you_mean(str(name), _BY_NAME))
    return _BY_NAME[name]()
