"""The functional that makes the densities: PySCF's or mlxc's, by name or as a model file."""

import hashlib

import numpy as np
from pyscf.dft import libxc

from mlxc import zoo
from mlxc.errors import InvalidInput
from mlxc.host import seam


def functional_of(xc: str):
    """The functional of mlxc that a name or the path of a card stands for, None for one of PySCF's.

    Raises:
        UnknownFunctional, InvalidInput: nobody knows the name.
        InvalidModel: the model file is damaged.
    """
    if zoo.is_path(xc):
        return zoo.load(xc)
    if (entry := seam.search(xc)) is not None:
        return entry.functional
    try:
        libxc.parse_xc(xc)
    except (KeyError, ValueError, NotImplementedError) as error:
        raise InvalidInput(f"neither PySCF nor mlxc has a functional {xc!r} ({error}): give a name such as wb97x, "
                           f"{', '.join(zoo.names())}, or the path of a model card") from error
    return None


def fingerprint(xc: str) -> str:
    """The name of a functional, and of mlxc's also 16 digits of a hash of its weights and fractions of exchange."""
    functional = functional_of(xc)
    if functional is None:
        return xc
    parts = [type(functional).__name__, functional.omega, functional.sr_fraction, functional.lr_fraction,
             sorted(getattr(functional, "exchange", {}).items())]
    parts += [sorted(relaxed)] if (relaxed := getattr(functional, "relaxed", ())) else []
    digest = hashlib.sha256(repr(parts).encode())
    for name, tensor in sorted(getattr(functional, "state_dict", dict)().items()):
        digest.update(name.encode() + np.ascontiguousarray(tensor.detach().cpu().numpy()).tobytes())
    return f"{functional.name}:{digest.hexdigest()[:16]}"
