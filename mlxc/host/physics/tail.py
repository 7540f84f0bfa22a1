"""The tail of the exchange-correlation potential: r · (F_xc φ_H)(r) / φ_H(r) → −1 far from a molecule.

φ_H is the highest occupied orbital of a closed shell, F_xc the derivative of the energy in it. With e the energy per
volume apart from exact exchange, v_x = ∂e/∂x for x = n, g = ∇n and τ, and f = ∂e/∂e_xσ in a local hybrid,

    F_xc φ_H = −[lr K̂ + (sr − lr) K̂^SR] φ_H + v_n φ_H − (∇·v_g) φ_H − ½ ∇·(v_τ ∇φ_H)
               − ½ [f(r) Σ_j φ_j(r) v_jH(r) + Σ_j φ_j(r) ∫ f(r′) φ_j(r′) φ_H(r′) erfc(ω|r−r′|)/|r−r′| dr′]

with v_jH(r) = ∫ φ_j(r′) φ_H(r′) erfc(ω|r−r′|)/|r−r′| dr′. Only K̂ decays slowly: the densities fall off exponentially,
and with them the semilocal part and both terms of the local exchange, the last of which is integrated on the local
part's grid. With random weights each of the two is at most 1e-5 of r·v at 10 bohr, and 1e-8 at 14.

Gaussians end the exponential decay of the orbitals at some distance, and where φ_H is not the most diffuse of them the
quotient means nothing: water in aug-cc-pVTZ has r·v = +0.9 at 16 bohr in Hartree–Fock. Here hydrogen has no diffuse
functions, so that the p functions of the heavy atom, which make φ_H in all of SYSTEMS, reach farthest. More diffuse
functions are no help: their signs alternate, φ_H gets nodes in the tail, and the semilocal part is large there. What is
extrapolated begins where the semilocal part is small: of `mlxc_rs` 0.02 are left at 8 bohr for F⁻ and water, 0.002 at
12. It is cut where the density is below `mlxc.xc.derivatives.RHO_CUTOFF`, at 12 (Ne) to 14 bohr, as in every SCF.
"""

from dataclasses import dataclass

import numpy as np
import torch
from pyscf import dft, gto
from scipy.special import erfc
from torch import Tensor

from mlxc.host import local
from mlxc.host.physics.fragments import WATER
from mlxc.host.physics.scf import kohn_sham, molecule, run, worst
from mlxc.xc import pointwise, violations
from mlxc.xc.constraints import Constraint
from mlxc.xc.density import Density

#: Distances that are extrapolated, bohr.
TAIL = np.linspace(12.0, 24.0, 13)

#: Step of the numerical divergences, bohr.
STEP = 1e-3

#: Levels this close to the highest occupied one are degenerate with it, Ha.
DEGENERATE = 1e-6


@dataclass(frozen=True)
class System:
    """A closed shell and the ray along which its φ_H is largest.

    Attributes:
        atoms: Å; the ray starts at the origin.
        charge: of the molecule.
        heavy: symbol of the atom whose p functions make φ_H.
        direction: of the ray, a unit vector.
    """

    atoms: str
    charge: int
    heavy: str
    direction: tuple[float, float, float] = (0.0, 0.0, 1.0)

    def molecule(self) -> gto.Mole:
        """In aug-cc-pVTZ without f functions, and cc-pVDZ for hydrogen."""
        shells = [shell for shell in gto.basis.load("aug-cc-pvtz", self.heavy) if shell[0] < 3]
        return molecule(self.atoms, self.charge, basis={self.heavy: shells, "default": "cc-pvdz"})


SYSTEMS = {"Ne": System("Ne 0 0 0", 0, "Ne"), "F-": System("F 0 0 0", -1, "F"),
           "H2O": System(WATER, 0, "O", (1.0, 0.0, 0.0))}


class _BeyondExactExchange:
    """All of a functional but the host's exact exchange, as `pointwise` wants it."""

    def __init__(self, functional):
        self.functional = functional

    def replacement(self, density: Density, exact: Tensor) -> Tensor:
        return violations.energy(self.functional, density, exact) + 0 * exact.sum(0)


def tail(functional, system: System, r: np.ndarray = TAIL) -> np.ndarray:
    """r · (F_xc φ_H)/φ_H at distances from the origin; NaN where the SCF does not converge.

    Args:
        functional: of RKS.
        system: one of SYSTEMS.
        r: distances, (n,), bohr.

    Returns:
        (n,) values, which tend to −1.
    """
    mf = run(kohn_sham("RKS", system.molecule(), functional))
    if not mf.converged:
        return np.full(len(r), np.nan)
    ray = r[:, None] * np.array(system.direction)
    occupied, levels = mf.mo_coeff[:, mf.mo_occ > 0], mf.mo_energy[mf.mo_occ > 0]
    orbitals = dft.numint.eval_ao(mf.mol, ray) @ occupied
    frontier = np.flatnonzero(levels > levels.max() - DEGENERATE)
    homo = frontier[np.abs(orbitals[0, frontier]).argmax()]
    applied = (_exact_exchange(mf.mol, ray, occupied, orbitals, homo, functional)
               + _semilocal(mf.mol, ray, occupied, homo, functional))
    if hasattr(functional, "replacement"):
        applied = (applied + _local_exchange_here(mf.mol, ray, occupied, orbitals, homo, functional)
                   + _local_exchange_from_elsewhere(mf, ray, occupied, orbitals, homo, functional))
    return r * applied / orbitals[:, homo]


def extrapolated(r: np.ndarray, rv: np.ndarray) -> float:
    """Value of r·v at 1/r = 0 from a quadratic fit in 1/r."""
    return float(np.polyfit(1 / r, rv, 2)[-1]) if np.isfinite(rv).all() else np.nan


def tail_violation(functional, labels=tuple(SYSTEMS)) -> float:
    """Largest |r·v + 1| of the systems, extrapolated to 1/r = 0."""
    return worst(extrapolated(TAIL, tail(functional, SYSTEMS[label])) + 1 for label in labels)


def _repulsion(mol: gto.Mole, points: np.ndarray, omega: float) -> np.ndarray:
    """∫ χ_μ χ_ν erf(ω|r−r′|)/|r−r′| dr′ at the points, (n, nao, nao); 1/|r−r′| with ω = 0."""
    with mol.with_range_coulomb(omega):
        return mol.intor("int1e_grids", grids=points)


def _short_range_pairs(mol: gto.Mole, points: np.ndarray, occupied: np.ndarray, omega: float) -> np.ndarray:
    """v_ij(r) of occupied orbitals with erfc(ω|r−r′|)/|r−r′|, (n, k, k)."""
    return occupied.T @ (_repulsion(mol, points, 0.0) - _repulsion(mol, points, omega)) @ occupied


def _exact_exchange(mol, ray, occupied, orbitals, homo: int, functional) -> np.ndarray:
    """−[lr K̂ + (sr − lr) K̂^SR] φ_H at the points."""
    kernel = functional.sr_fraction * _repulsion(mol, ray, 0.0)
    if functional.omega:
        kernel += (functional.lr_fraction - functional.sr_fraction) * _repulsion(mol, ray, functional.omega)
    return -np.einsum("gk,gk->g", orbitals, (kernel @ occupied[:, homo]) @ occupied)


def _derivatives(mol, points, occupied, functional) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Orbitals with gradients (4, n, k), [v_n, v_g, v_τ] (5, n), and f of one spin (n,), at the points."""
    orbitals = np.einsum("xgi,ik->xgk", dft.numint.eval_ao(mol, points, deriv=1), occupied)
    rho = np.empty((5, len(points)))
    rho[0] = 2 * (orbitals[0] ** 2).sum(-1)
    rho[1:4] = 4 * np.einsum("xgk,gk->xg", orbitals[1:], orbitals[0])
    rho[4] = (orbitals[1:] ** 2).sum((0, -1))
    exact = np.zeros(len(points))
    if hasattr(functional, "replacement"):
        pairs = _short_range_pairs(mol, points, occupied, functional.local_omega)
        exact = -0.5 * np.einsum("gi,gj,gij->g", orbitals[0], orbitals[0], pairs)
    _, v, f = pointwise.value_and_gradient(_BeyondExactExchange(functional), torch.from_numpy(rho),
                                           torch.from_numpy(exact))
    return orbitals, v.numpy(), f.numpy() / 2


def _semilocal(mol, ray, occupied, homo: int, functional) -> np.ndarray:
    """v_n φ_H − (∇·v_g) φ_H − ½ ∇·(v_τ ∇φ_H), divergences by central differences."""
    shifts = STEP * np.vstack([np.zeros(3), np.eye(3), -np.eye(3)])
    points = (ray[None] + shifts[:, None]).reshape(-1, 3)
    orbitals, v, _ = _derivatives(mol, points, occupied, functional)
    phi, v = orbitals[..., homo].reshape(4, 7, -1), v.reshape(5, 7, -1)
    return (v[0, 0] - _divergence(v[1:4])) * phi[0, 0] - _divergence(v[4] * phi[1:]) / 2


def _divergence(field: np.ndarray) -> np.ndarray:
    """∇·F from (3, 7, n) values at the centre and the six displaced points."""
    return sum((field[x, 1 + x] - field[x, 4 + x]) / (2 * STEP) for x in range(3))


def _local_exchange_here(mol, ray, occupied, orbitals, homo: int, functional) -> np.ndarray:
    """−½ f Σ_j φ_j v_jH."""
    *_, f = _derivatives(mol, ray, occupied, functional)
    pairs = _short_range_pairs(mol, ray, occupied, functional.local_omega)[:, :, homo]
    return -0.5 * f * np.einsum("gk,gk->g", orbitals, pairs)


def _local_exchange_from_elsewhere(mf, ray, occupied, orbitals, homo: int, functional) -> np.ndarray:
    """−½ Σ_j φ_j ∫ f φ_j φ_H erfc(ω|r−r′|)/|r−r′| dr′; points of the grid are spheres as large as their weights."""
    part = local.part(mf._numint, mf.mol, functional, mf.max_memory)
    state = part.at(mf.make_rdm1())
    *_, f = pointwise.value_and_gradient(functional, state.rho, state.exact)
    inside = dft.numint.eval_ao(mf.mol, part.grids.coords) @ occupied
    weighted = (part.weights * f / 2).numpy()[:, None] * inside * inside[:, [homo]]
    distance = np.linalg.norm(ray[:, None] - part.grids.coords, axis=-1)
    radius = (3 / (4 * np.pi) * np.abs(part.grids.weights)) ** (1 / 3)
    outside = 1 / np.maximum(distance, radius)
    inverse = np.where(distance < radius, (3 - (distance * outside) ** 2) * outside / 2, outside)
    pairs = (erfc(functional.local_omega * distance) * inverse) @ weighted
    return -0.5 * np.einsum("gk,gk->g", orbitals, pairs)


CONSTRAINTS = (
    Constraint("asymptotic_potential", "Ne, F⁻, H₂O:  r · v_xc → −1", "functional.Learned.lr_fraction",
               "doi:10.1103/PhysRevA.30.2745", tail_violation, 0.02),
)
