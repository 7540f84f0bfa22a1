"""What PySCF's libxc tables hold for one name of mlxc's: what is asked of a functional, and its rows on the grid."""

import copy
import functools
import math
import threading
from collections.abc import Callable
from itertools import combinations_with_replacement

import numpy as np
import torch
from pyscf.dft import libxc
from torch import Tensor

from mlxc.errors import InvalidDensity, InvalidInput, Unsupported
from mlxc.host.arrays import CPU, from_torch, over_blocks, to_torch
from mlxc.xc.density import variables_from_rows
from mlxc.xc.derivatives import xc_rows
from mlxc.zoo import Card

#: Highest derivative of the energy that autograd is asked for; PySCF needs the third for excited-state gradients.
MAX_DERIVATIVE = 3

#: PySCF's density rows and scalar variables (closed shell, spin-resolved) of each type of functional.
ROWS = {"LDA": 1, "GGA": 4, "MGGA": 5}
VARIABLES = {"LDA": (1, 2), "GGA": (2, 5), "MGGA": (3, 7)}

#: Ending of the name of a local hybrid's semilocal part.
SEMILOCAL = "__semilocal"


def where_local(device: torch.device = CPU) -> str:
    """Where local hybrids work, for errors."""
    if device.type != CPU.type:
        return "on a GPU its energies and forces work, more after mf.to_cpu(), and all of GPU4PySCF with mlxc_rs"
    return ("energies, forces, linear response and excitation energies of RKS, UKS and ROKS objects of molecules "
            "work with it, and all of PySCF with mlxc_rs")


#: GPU4PySCF works on each device with a thread of its own.
_copying = threading.Lock()


class Registered:
    """What libxc's tables hold for one name: the answers PySCF asks for, from a functional loaded on first use.

    libxc's own entries are mixtures of its functionals; this one is a mixture of none of them, whose exact exchange
    is given by ``hyb``.
    """

    nfunc, fn_ids, facs, xc_objs, xc_arr = 0, (), (), (), None
    needs_laplacian = False

    def __init__(self, name: str, load: Callable, semilocal_only: bool = False):
        """Args: name; load, which returns the functional; semilocal_only: answer for its semilocal part, see `rows`."""
        self.name = name
        self._load = load
        self._semilocal_only = semilocal_only
        self._copies: dict[torch.device, torch.nn.Module] = {}

    @functools.cached_property
    def functional(self):
        functional = self._load()
        if functional.omega == 0 and functional.sr_fraction != functional.lr_fraction:
            raise InvalidInput(f"{self.name}: omega is 0, so that the short- and long-range fractions of exchange "
                               f"({functional.sr_fraction}, {functional.lr_fraction}) must be equal")
        if functional.xc_type not in ROWS:
            raise InvalidInput(f"{self.name}: xc_type is {functional.xc_type!r}, expected one of {', '.join(ROWS)}")
        return functional

    @property
    def is_local(self) -> bool:
        """Whether it is a local hybrid, which needs the density matrix: see `mlxc.host.local`."""
        return hasattr(self.functional, "replacement") and not self._semilocal_only

    @property
    def semilocal(self) -> str:
        """The name under which PySCF evaluates what `edens` gives, and nothing of the local part."""
        return self.name + SEMILOCAL

    @property
    def xc_type(self) -> str:
        return self.functional.xc_type

    @property
    def hyb(self) -> tuple[float, float, float]:
        """Exact exchange as libxc's parser writes it: short-range fraction, long-range fraction, ω in bohr⁻¹."""
        f = self.functional
        return float(f.sr_fraction), float(f.lr_fraction), float(f.omega)

    @property
    def hybrid_coeff(self) -> float:
        return self.hyb[0]

    @property
    def rsh_coeff(self) -> tuple[float, float, float]:
        """PySCF's (ω, α, β): α the long-range fraction, α + β the short-range one."""
        short, long, omega = self.hyb
        return omega, long, short - long

    @property
    def nlc_coeff(self) -> tuple:
        """VV10 as part of the name: ((b, C), factor) in a tuple; none unless the functional has ``nlc_coeff``."""
        return tuple(getattr(self.functional, "nlc_coeff", ()))

    @property
    def is_nlc(self) -> bool:
        return bool(self.nlc_coeff)

    @property
    def max_deriv_order(self) -> int:
        return min(MAX_DERIVATIVE, getattr(self.functional, "max_deriv_order", MAX_DERIVATIVE))

    @property
    def card(self) -> Card | None:
        """The model card, None for a functional without one."""
        return getattr(self.functional, "card", None)

    def require_derivative(self, deriv: int):
        """Raises Unsupported where the derivative of this order does not exist."""
        if deriv > self.max_deriv_order:
            raise Unsupported(f"{self.name} has derivatives of the XC energy up to order {self.max_deriv_order}; order "
                              f"{deriv} was asked for: choose a property that needs a lower one")

    def require_omega(self, omega: float | None):
        """Raises InvalidInput for an ω set by hand: the network was trained with one range separation."""
        own = self.functional.omega
        if omega is not None and not math.isclose(omega, own, abs_tol=1e-12):
            raise InvalidInput(f"omega is set to {omega}, but {self.name} is defined with omega = {own} bohr⁻¹: "
                               "remove the assignment (mf._numint.omega = None)")

    def rows(self, rho, spin: int, deriv: int, omega: float | None = None):
        """The energy per electron and its derivatives, in the order of libxc's output.

        Args:
            rho: PySCF's density rows, spin 0: (5, n); spin 1: (2, 5, n) or two of (5, n); 4 rows for a GGA, none
                for an LDA. Atomic units.
            spin: 0 closed shell, 1 spin-resolved.
            deriv: highest order, 0 to 3.
            omega: PySCF's setting of the range separation, None where it was left alone.

        Returns:
            New float64 array, (comb(k + deriv, deriv), n), with k variables.
        """
        rows = self.derivatives(self._variables(rho, spin), deriv, omega)
        return from_torch(rows[_libxc_order(self.xc_type, spin, deriv)], rho)

    def derivatives(self, variables: tuple[Tensor, ...], deriv: int, omega: float | None = None) -> Tensor:
        """As `mlxc.xc.derivatives.xc_rows`, on the device of the variables.

        Args:
            variables: the 3 or 7 of a meta-GGA.
            deriv, omega: as in `rows`.

        Raises:
            Unsupported: a local hybrid, or a derivative that does not exist.
            InvalidInput: an ω set by hand.
        """
        if self.is_local:
            raise Unsupported(f"{self.name} is a local hybrid, whose energy is no function of the density alone: this "
                              f"method does not know how to add its local exchange; "
                              f"{where_local(variables[0].device)}")
        self.require_omega(omega)
        self.require_derivative(deriv)
        device = variables[0].device
        return xc_rows(self.on(device), variables, deriv, over_blocks(device))

    def on(self, device: torch.device):
        """The functional with its parameters on a device: a copy for each, made when it is first asked for."""
        if device.type == "cpu" or not isinstance(self.functional, torch.nn.Module):
            return self.functional
        with _copying:
            if device not in self._copies:
                self._copies[device] = copy.deepcopy(self.functional).to(device)
            return self._copies[device]

    def _variables(self, rho, spin: int) -> tuple[Tensor, ...]:
        rho = _tensor(rho)
        if self.xc_type != "MGGA":
            rho = _pad_rows(rho, ROWS[self.xc_type], spin)
        if rho.ndim != 2 + (spin > 0):
            raise InvalidDensity(f"rho has shape {tuple(rho.shape)}, expected {'(2, 5, n)' if spin else '(5, n)'} "
                                 f"with spin = {spin}: pass the density, its gradient and tau of "
                                 f"{'both spins' if spin else 'both spins together'}")
        return variables_from_rows(rho)


@functools.lru_cache
def _libxc_order(xc_type: str, spin: int, deriv: int) -> list[int] | slice:
    """Which row of the meta-GGA expansion, in the order of combinations_with_replacement, is each row of libxc's.

    Rows with derivatives in variables that an LDA or GGA lacks are left out. PySCF's `eval_xc1` permutes libxc's
    rows into the order of combinations_with_replacement; here that permutation is undone.
    """
    own, k = VARIABLES[xc_type][spin], VARIABLES["MGGA"][spin]
    indices = [i for order in range(deriv + 1) for i in combinations_with_replacement(range(k), order)]
    kept = [row for row, index in enumerate(indices) if max(index, default=0) < own]
    permutation = libxc._libxc_to_xcfun_indices(xc_type, spin, deriv)
    if not isinstance(permutation, slice):
        kept = [kept[i] for i in np.argsort(permutation)]
    return slice(None) if kept == list(range(len(indices))) else kept


def _tensor(rho) -> Tensor:
    try:
        return to_torch(rho)
    except (RuntimeError, ValueError, TypeError) as e:
        raise InvalidDensity(f"rho is no array of real numbers: {e}") from None


def _pad_rows(rho: Tensor, nrows: int, spin: int) -> Tensor:
    """LDA and GGA density rows with zeros for the gradient and τ that they lack."""
    lead = (2,) if spin else ()
    expected = {1: [(*lead, rho.shape[-1]), (*lead, 1, rho.shape[-1])], 4: [(*lead, 4, rho.shape[-1])]}[nrows]
    if tuple(rho.shape) not in expected:
        raise InvalidDensity(f"rho has shape {tuple(rho.shape)}, expected {expected[-1]} with spin = {spin}")
    padded = rho.new_zeros(*lead, 5, rho.shape[-1])
    padded[..., :nrows, :] = rho.reshape(*lead, nrows, -1)
    return padded
