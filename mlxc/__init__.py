"""mlxc: machine-learned exchange-correlation functionals for PySCF.

Importing it registers the models, after which PySCF's own objects work with their names:

    import mlxc
    from pyscf import dft
    dft.UKS(mol, xc="mlxc_rs").kernel()
"""

from functools import partial

from mlxc import zoo
from mlxc.errors import (
    DomainWarning,
    IncompatibleHost,
    InvalidDensity,
    InvalidInput,
    InvalidModel,
    MemoryWarning,
    MlxcError,
    UnknownFunctional,
    Unsupported,
)
from mlxc.host import dispersion, gpu, grad, ks, numint, response, seam, uncertainty
from mlxc.host.dispersion import dispersion_energy
from mlxc.host.ks import GKS, RKS, ROKS, UKS, attach
from mlxc.host.local import local_exchange_record, set_local_exchange
from mlxc.host.polarizability import polarizability
from mlxc.host.seam import register
from mlxc.host.uncertainty import Uncertainty
from mlxc.zoo import load
from mlxc.zoo import names as models

__version__ = "0.1.0"

__all__ = [
    "GKS", "RKS", "ROKS", "UKS", "attach", "dispersion_energy", "load", "local_exchange_record", "models",
    "polarizability", "register", "set_local_exchange", "Uncertainty",
    "DomainWarning", "IncompatibleHost", "InvalidDensity", "InvalidInput", "InvalidModel", "MemoryWarning",
    "MlxcError", "UnknownFunctional", "Unsupported",
]

seam.install()
dispersion.install()
ks.install()
numint.install()
response.install()
grad.install()
uncertainty.install()
gpu.install()
for _name in zoo.names():
    seam.register_name(_name, partial(zoo.load, _name))
