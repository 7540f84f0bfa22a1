"""The uncertainty of a calculated energy, from the members of the functional that it was calculated with.

    E_m = E_SCF + E_xc,m[D] − E_xc[D],     E_xc = (1/M) Σ_m E_xc,m,     σ² = c² Σ_m (E_m − E_SCF)² / (M − 1)

with the self-consistent density matrix D of the mean, on the grids of its calculation, and c the ``scale`` of the model
card: members agree more with each other than with the truth, by a factor that reactions outside the training set tell.
Exact exchange, dispersion and solvent are the same for all members. Bayesian error estimation:
doi:10.1103/PhysRevB.85.235149.
"""

from dataclasses import dataclass, replace
from numbers import Real

import numpy as np
import torch
from pyscf import dft, lib
from pyscf.dft import numint
from torch import Tensor

from mlxc import zoo
from mlxc.errors import InvalidInput, Unsupported
from mlxc.host import local, seam
from mlxc.host.arrays import parallel_map, to_torch
from mlxc.host.ks import require_result
from mlxc.xc.density import Density, variables_from_rows
from mlxc.xc.derivatives import CHUNK, RHO_CUTOFF
from mlxc.xc.ensemble import Ensemble


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """An energy by each member of a functional; sums and multiples are taken member by member.

    What the members agree on cancels in a difference: the uncertainty of a reaction energy is that of the combination,
    ``(2 * atom - molecule).std``, and not the sum of the species' own.

    Attributes:
        functional: name of the mean.
        energies: E_m, (M,), Ha.
        scale: c.
    """

    functional: str
    energies: np.ndarray
    scale: float = 1.0

    __array_ufunc__ = None  # np.float64(2) * u is ours

    @property
    def energy(self) -> float:
        """The members' mean, Ha: of one calculation its own energy."""
        return float(self.energies.mean())

    @property
    def std(self) -> float:
        """σ = c [Σ_m (E_m − mean)² / (M − 1)]^½, Ha."""
        return self.scale * float(self.energies.std(ddof=1))

    def __add__(self, other: "Uncertainty") -> "Uncertainty":
        if not isinstance(other, Uncertainty):
            return NotImplemented
        own, others = ((u.functional, len(u.energies)) for u in (self, other))
        if own != others:
            raise InvalidInput(f"energies by {own[0]} ({own[1]} members) and by {others[0]} ({others[1]}): member by "
                               "member only energies by one functional can be combined")
        return replace(self, energies=self.energies + other.energies)

    def __mul__(self, factor: float) -> "Uncertainty":
        if not isinstance(factor, Real):
            return NotImplemented
        return replace(self, energies=float(factor) * self.energies)

    __rmul__ = __mul__

    def __radd__(self, other: float) -> "Uncertainty":
        return self if other == 0 else NotImplemented  # which `sum` begins with

    def __truediv__(self, divisor: float) -> "Uncertainty":
        return self * (1 / divisor) if isinstance(divisor, Real) else NotImplemented

    def __neg__(self) -> "Uncertainty":
        return self * -1

    def __sub__(self, other: "Uncertainty") -> "Uncertainty":
        return self + -other if isinstance(other, Uncertainty) else NotImplemented


def install():
    """Gives every Kohn–Sham object of PySCF's the method `xc_uncertainty`."""
    dft.KohnShamDFT.xc_uncertainty = xc_uncertainty


def xc_uncertainty(mf) -> Uncertainty:
    """The energy of a converged calculation by each member of its functional, not self-consistently.

    Args:
        mf: RKS, UKS or ROKS object of a molecule, after its calculation.

    Returns:
        Energies whose mean is ``mf.e_tot``.

    Raises:
        InvalidInput: the functional has no members, or there is no converged energy of it at this geometry.
        Unsupported: two-component orbitals, a periodic system, a GPU object.
    """
    entry = seam.search(mf.xc)
    if entry is None or not isinstance(functional := entry.functional, Ensemble):
        known = [name for name in zoo.names() if zoo.card(name)["ensemble"]]
        raise InvalidInput(f"xc = {mf.xc!r} has no members to tell an uncertainty from; models with members: "
                           f"{', '.join(known) or 'none is shipped, mlxc.xc.ensemble.combine makes them'}")
    if not isinstance(mf._numint, numint.NumInt):
        raise Unsupported(f"xc_uncertainty of a {type(mf).__name__}: it is for RKS, UKS and ROKS objects of molecules, "
                          "on the CPU (mf.to_cpu())")
    require_result(mf, "xc_uncertainty")
    found = _semilocal(mf, functional)
    if entry.is_local:
        part = local.part(mf._numint, mf.mol, functional, _free_memory(mf))
        state = part.at(mf.make_rdm1())
        found = found + _energies(functional, part.weights, state.rho, state.exact)
    scale = getattr(functional, "card", {}).get("uncertainty", {}).get("scale", 1.0)
    return Uncertainty(entry.name, (mf.e_tot + found - found.mean()).numpy(), scale)


def _semilocal(mf, functional: Ensemble) -> Tensor:
    """∫ of each member's `edens` on PySCF's grid, (M,), Ha."""
    ni, mol, grids = mf._numint, mf.mol, mf.grids
    dm = np.asarray(mf.make_rdm1())
    make_rho, spins, nao = ni._gen_rho_evaluator(mol, dm, hermi=1, with_lapl=False, grids=grids)
    total = torch.zeros(functional.members, dtype=torch.float64)
    for ao, mask, weights, _ in ni.block_loop(mol, grids, nao, deriv=1, max_memory=_free_memory(mf)):
        rho = [make_rho(spin, ao, mask, "MGGA") for spin in range(spins)]
        total += _energies(functional, to_torch(weights), to_torch(rho if spins == 2 else rho[0]))
    return total


def _energies(functional, weights: Tensor, rho: Tensor, exact: Tensor | None = None) -> Tensor:
    """∫ of each member's energy per volume, (M,), Ha.

    Args:
        functional: the ensemble.
        weights: of the grid, (n,).
        rho: density rows, (5, n) or (2, 5, n).
        exact: e_xσ^{SR,HF} of one spin of a closed shell, (n,), or (2, n): for the local part in place of `edens`.
    """
    def block(points: Tensor) -> Tensor:
        density = Density.from_variables(variables_from_rows(rho[..., points]))
        with torch.no_grad():
            edens = (functional.member_edens(density) if exact is None else
                     functional.member_replacement(density, exact.expand(2, -1)[:, points]))
            return edens @ weights[points]

    n = rho[0] if rho.ndim == 2 else rho[:, 0].sum(0)
    blocks = torch.nonzero(n > RHO_CUTOFF).ravel().split(CHUNK)
    return sum(parallel_map(block, blocks), start=weights.new_zeros(functional.members))


def _free_memory(mf) -> float:
    return mf.max_memory - lib.current_memory()[0]
