"""What identifies a species, whatever its frame, order of atoms, name and basis.

A fingerprint holds composition, charge and spin, the interatomic distances (sorted, per pair of elements) and the
eigenvalues λ of the Coulomb matrix

    M_ii = Z_i^2.4 / 2,      M_ij = Z_i Z_j / R_ij      (atomic units)

(M. Rupp et al., doi:10.1103/PhysRevLett.108.058301). Two species are one within t where composition, charge and spin
agree, no sorted distance differs by more than t, and no λ by more than what distances that differ by t can cause:
|Δλ| ≤ t (Σ_ij (Z_i Z_j / R_ij²)²)^½ (Weyl's inequality).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from pyscf.data.elements import charge as nuclear_charge
from pyscf.data.nist import BOHR


class System(Protocol):
    """What a fingerprint is taken of: `mlxc.manifest.species.Species`."""

    @property
    def key(self) -> str: ...
    @property
    def atoms(self) -> tuple: ...
    @property
    def charge(self) -> float: ...
    @property
    def n_alpha(self) -> float: ...
    @property
    def n_beta(self) -> float: ...


@dataclass(frozen=True)
class Fingerprint:
    """What identifies a species, whatever its frame, order of atoms, name and basis."""

    species: System

    @cached_property
    def kind(self) -> tuple:
        """(symbols in order, charge, 2S)."""
        s = self.species
        return tuple(sorted(a[0] for a in s.atoms)), s.charge, s.n_alpha - s.n_beta

    @cached_property
    def distances(self) -> np.ndarray:
        """(n(n−1)/2,) distances in Å, sorted within each pair of elements, the pairs in alphabetical order."""
        atoms, d = self.species.atoms, self._matrix
        pairs = [(*sorted((atoms[i][0], atoms[j][0])), d[i, j]) for i in range(len(atoms)) for j in range(i)]
        return np.array([p[2] for p in sorted(pairs)])

    @cached_property
    def spectrum(self) -> np.ndarray:
        """(n,) eigenvalues of the Coulomb matrix, ascending, atomic units."""
        z, d = self._charges, self._matrix + np.eye(len(self._charges))
        matrix = BOHR * np.outer(z, z) / d
        np.fill_diagonal(matrix, z**2.4 / 2)
        return np.linalg.eigvalsh(matrix)

    @cached_property
    def sensitivity(self) -> float:
        """Largest change of an eigenvalue (atomic units) per change of all distances, Å⁻¹."""
        z, d = self._charges, self._matrix + np.eye(len(self._charges))
        slope = BOHR * np.outer(z, z) / d**2
        np.fill_diagonal(slope, 0.0)
        return float(np.linalg.norm(slope))

    @cached_property
    def _charges(self) -> np.ndarray:
        return np.array([nuclear_charge(a[0]) for a in self.species.atoms], dtype=float)

    @cached_property
    def _matrix(self) -> np.ndarray:
        x = np.array([a[1] for a in self.species.atoms], dtype=float)
        return np.linalg.norm(x[:, None] - x[None], axis=-1)


def difference(one: Fingerprint, other: Fingerprint) -> float:
    """Largest difference of sorted distances, Å; infinite where composition, charge or spin differ."""
    if one.kind != other.kind:
        return float("inf")
    return float(np.max(np.abs(one.distances - other.distances), initial=0.0))


def same(one: Fingerprint, other: Fingerprint, tolerance: float) -> bool:
    """Whether two species are one.

    Args:
        one, other: the species.
        tolerance: t, Å.
    """
    if difference(one, other) > tolerance:
        return False
    largest = tolerance * max(one.sensitivity, other.sensitivity) + 1e-9 * float(np.abs(one.spectrum).max())
    return bool(np.all(np.abs(one.spectrum - other.spectrum) <= largest))
