"""Density fitting with the short-range Coulomb operator erfc(ω|r−r′|)/|r−r′|, for one geometry."""

import warnings
from collections.abc import Iterator

import numpy as np
import torch
from pyscf import df, gto, lib
from pyscf.data.elements import _std_symbol_without_ghost
from pyscf.lib.exceptions import BasisNotFoundError
from torch import Tensor

from mlxc.errors import InvalidInput

#: Ratio of neighbouring exponents of the default auxiliary basis (docs/decisions.md, 13).
RATIO = 2.0

#: Highest angular momentum of the default auxiliary basis.
HIGHEST = 6

#: Range of the exponents of angular momenta that the orbital basis itself does not ask for.
DIFFUSE = 6.0

#: Eigenvalues of the metric of normalised auxiliary functions below this are taken for linear dependencies.
DEPENDENT = 1e-10

#: Exponent of the Gaussian that stands for the constant 1, bohr⁻²: it differs from it by 1e-12 at 1000 bohr.
FLAT = 1e-18

#: Auxiliary bases that are proposed in place of one that lacks an element.
ALTERNATIVES = ("def2-universal-jkfit", "cc-pvqz-jkfit", "cc-pvtz-jkfit")


def even_tempered(mol: gto.Mole, ratio: float = RATIO) -> list[list]:
    """Uncontracted auxiliary Gaussians that span the products of each atom's orbitals.

    Shells of angular momenta l and l′ give products with L = |l−l′|, …, l+l′. The exponents of one L are a geometric
    series from the smallest sum of two exponents, as diffuse as the orbital basis, to twice the largest geometric
    mean of two, which is the tightest product itself for s·s. Orbitals with l above l_max = 1 (up to Be), 2 (Ca),
    3 (La) or 4 only polarise and are left out, unless an atom has no others, and so are products beyond `HIGHEST`.
    Products of orbitals on two atoms need high L even where the orbital basis is small: what is missing up to
    2 l_max gets the diffuse exponents of the highest L there is.

    Args:
        mol: molecule with the orbital basis.
        ratio: of neighbouring exponents, above 1.

    Returns:
        Shells in PySCF's format, of every atom: what atoms are called and share says nothing of their orbitals.

    Source: the idea is AutoAux's, doi:10.1021/acs.jctc.6b01041.
    """
    return [_even_tempered_atom(mol, i, ratio) for i in range(mol.natm)]


def _even_tempered_atom(mol: gto.Mole, atom: int, ratio: float) -> list:
    ranges = _exponents(mol, atom)
    if not ranges:
        return []
    reach = 1 + sum(gto.charge(_std_symbol_without_ghost(mol.atom_symbol(atom))) > z for z in (4, 20, 57))
    kept = [momentum for momentum in ranges if momentum <= max(reach, min(ranges))]
    low: dict[int, float] = {}
    high: dict[int, float] = {}
    for i in kept:
        for j in kept:
            for product in range(abs(i - j), min(i + j, HIGHEST) + 1, 2):
                low[product] = min(low.get(product, np.inf), ranges[i][0] + ranges[j][0])
                high[product] = max(high.get(product, 0.0), 2 * np.sqrt(ranges[i][1] * ranges[j][1]))
    highest = max(low)
    for product in range(highest + 1, min(2 * reach, HIGHEST) + 1):
        low[product], high[product] = low[highest], DIFFUSE * low[highest]
    basis = []
    for product in sorted(low):
        count = 1 + max(0, int(np.ceil(np.log(high[product] / low[product]) / np.log(ratio) - 1e-6)))
        basis += [[product, [float(low[product] * ratio**k), 1.0]] for k in range(count)]
    return basis


def _exponents(mol: gto.Mole, atom: int) -> dict[int, tuple[float, float]]:
    """Smallest and largest exponent of an atom's orbitals by angular momentum."""
    seen: dict[int, list[float]] = {}
    for shell in mol.atom_shell_ids(atom):
        seen.setdefault(int(mol.bas_angular(shell)), []).extend(mol.bas_exp(shell).tolist())
    return {momentum: (min(values), max(values)) for momentum, values in sorted(seen.items())}


def auxiliary(mol: gto.Mole, auxbasis=None) -> gto.Mole:
    """The molecule with auxiliary functions in place of its orbital basis.

    Args:
        mol: molecule.
        auxbasis: a basis set's name, a dictionary by element, or None for `even_tempered`.

    Raises:
        InvalidInput: the basis lacks an element of the molecule.
    """
    with_orbitals = [i for i in range(mol.natm) if len(mol.atom_shell_ids(i))]
    if auxbasis is None:
        names = [f"{mol.atom_symbol(i).rstrip('0123456789')}{i}" for i in range(mol.natm)]
        own = mol.copy(deep=False)
        own._atom = [(name, place) for name, (_, place) in zip(names, mol._atom, strict=True)]
        shells = zip(names, even_tempered(mol), strict=True)
        found = df.make_auxmol(own, {name: functions for name, functions in shells if functions})
        found._atom = mol._atom
    else:
        for symbol in sorted({mol.atom_symbol(i) for i in with_orbitals}):
            if not _covers(auxbasis, symbol):
                _refuse(auxbasis, symbol)
        found = df.make_auxmol(mol, auxbasis)
    if bare := [i for i in with_orbitals if not len(found.atom_shell_ids(i))]:
        _refuse(auxbasis, mol.atom_symbol(bare[0]))
    return found


def _covers(auxbasis, symbol: str) -> bool:
    """Whether the basis has functions for the atom."""
    element = _std_symbol_without_ghost(symbol)
    if isinstance(auxbasis, dict):
        found = next((auxbasis[key] for key in (symbol, element, "default") if key in auxbasis), None)
        return found is not None and _covers(found, symbol)
    if isinstance(auxbasis, list | tuple) and auxbasis and all(isinstance(shell, list | tuple) for shell in auxbasis):
        return True  # PySCF's own form of a basis
    if not isinstance(auxbasis, str):
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # PySCF's advice to install another package
            return bool(gto.basis.load(auxbasis, element))
    except (BasisNotFoundError, KeyError):
        return False


def _refuse(auxbasis, symbol: str):
    element = _std_symbol_without_ghost(symbol)
    named = repr(auxbasis) if isinstance(auxbasis, str) else "given"
    others = [f"auxbasis={name!r}" for name in ALTERNATIVES if name != auxbasis and _covers(name, symbol)]
    raise InvalidInput(f"the auxiliary basis {named} has no functions for {element}: "
                       f"use {', '.join(['the default auxbasis=None (even-tempered)', *others])}")


def shell_blocks(mol: gto.Mole, limit: int) -> Iterator[tuple[int, int, slice]]:
    """Ranges of shells with at most ``limit`` functions, but at least one shell, and the functions in them."""
    offsets, first = mol.ao_loc, 0
    while first < mol.nbas:
        last = first + 1
        while last < mol.nbas and offsets[last + 1] - offsets[first] <= limit:
            last += 1
        yield first, last, slice(int(offsets[first]), int(offsets[last]))
        first = last


class Fitting:
    """Integrals of density fitting in the short-range metric.

        φ_i φ_j ≈ Σ_P C^P_ij χ_P,  C = J⁺ (P|ij),  J_PQ = (P|Q),  (·|·) with erfc(ω|r−r′|)/|r−r′|

    Attributes:
        auxmol: the auxiliary functions χ_P, naux of them.
        inverse_root: W with J⁺ = W Wᵀ, shape (naux, naux − removed).
        removed: number of linear dependencies left out of J⁺.
        unpack: place of each μν among the pairs μ ≥ ν, shape (nao, nao).
        record: what the results should say of the fit.

    Source: doi:10.1063/1.438728 (fit in the metric of the operator).
    """

    def __init__(self, mol: gto.Mole, omega: float, auxbasis=None, device: torch.device | str = "cpu"):
        """Args: mol; omega, bohr⁻¹; auxbasis as in `auxiliary`; device of the tensors."""
        if not (np.isfinite(omega) and omega > 0):
            raise InvalidInput(f"omega = {omega}, expected a positive range separation in bohr⁻¹")
        self.mol, self.omega, self.device = mol, float(omega), torch.device(device)
        self.auxmol = auxiliary(mol, auxbasis)
        self.naux, self.nao = self.auxmol.nao, mol.nao
        self.inverse_root, smallest = self._inverse_root()
        self.removed = self.naux - self.inverse_root.shape[1]
        self.record = {"auxbasis": f"even-tempered, ratio {RATIO}" if auxbasis is None else auxbasis,
                       "functions": self.naux, "removed": self.removed, "smallest_eigenvalue": smallest,
                       "omega": self.omega}
        if self.removed:
            lib.logger.note(mol, "Local exchange: %d of %d auxiliary functions are linearly dependent and left out",
                            self.removed, self.naux)
        self._pairs = mol + self.auxmol
        flat = gto.M(atom="ghost-H 0 0 0", basis={"ghost-H": [[0, [FLAT, 1.0]]]}, verbose=0)
        flat.cart = mol.cart
        self._points = self.auxmol + flat
        rows, columns = np.tril_indices(self.nao)
        index = np.zeros((self.nao, self.nao), dtype=np.int64)
        index[rows, columns] = index[columns, rows] = np.arange(len(rows))
        self.unpack = torch.from_numpy(index).to(self.device)
        self._kept: list[tuple[slice, Tensor]] = []

    def _inverse_root(self) -> tuple[Tensor, float]:
        """W, and the smallest eigenvalue of the metric of normalised functions."""
        with self.auxmol.with_short_range_coulomb(self.omega):
            metric = torch.from_numpy(self.auxmol.intor("int2c2e", hermi=1)).to(self.device)
        norm = metric.diagonal().rsqrt()
        values, vectors = torch.linalg.eigh(norm[:, None] * metric * norm)
        kept = values > DEPENDENT
        return norm[:, None] * vectors[:, kept] * values[kept].rsqrt(), float(values[0])

    def solve(self, x: Tensor) -> Tensor:
        """J⁺ applied to the last axis of x, shape (…, naux)."""
        return (x @ self.inverse_root) @ self.inverse_root.T

    @property
    def packed_bytes(self) -> int:
        """Memory that the three-centre integrals take, packed to μ ≥ ν; twice that unpacked."""
        return 4 * self.naux * self.nao * (self.nao + 1)

    def keep_integrals(self, budget: float) -> float:
        """Computes (P|μν) once for all where they fit; otherwise every use computes them again.

        Args:
            budget: bytes; unpacked integrals, which are faster to use, are kept where they fit.

        Returns:
            Bytes taken.
        """
        if self.packed_bytes > budget:
            return 0.0
        self._kept = []
        unpacked = 2 * self.packed_bytes <= budget
        for part, packed in self._compute():
            self._kept.append((part, packed[:, self.unpack] if unpacked else packed))
        return (1 + unpacked) * self.packed_bytes

    def _compute(self) -> Iterator[tuple[slice, Tensor]]:
        """(P|μν) packed to μ ≥ ν, by blocks of auxiliary shells of at most about 16 MB."""
        orbitals = self.mol.nbas
        for first, last, part in shell_blocks(self.auxmol, 2**21 // self.nao**2):
            with self._pairs.with_short_range_coulomb(self.omega):
                block = self._pairs.intor("int3c2e", aosym="s2ij",
                                          shls_slice=(0, orbitals, 0, orbitals, orbitals + first, orbitals + last))
            block = np.ascontiguousarray(block.reshape(-1, part.stop - part.start).T)
            yield part, torch.from_numpy(block).to(self.device)

    def half_transformed(self, orbitals: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """(P|μj) for orbitals of shape (nao, k): yields slices of P and tensors (p, nao, k)."""
        for part, block in self._kept or self._compute():
            yield part, (block if block.ndim == 3 else block[:, self.unpack]) @ orbitals

    def potentials(self, coords: np.ndarray) -> Tensor:
        """V_P(r) = ∫ χ_P(r′) erfc(ω|r−r′|)/|r−r′| dr′, shape (naux, m), at points (m, 3) in bohr.

        The integral of χ_P and one flat Gaussian with 1/|r−r′| less that with erf(ω|r−r′|)/|r−r′|.
        """
        last = self.auxmol.nbas
        shells = (0, last, last, last + 1)
        flat = (2 * FLAT / np.pi) ** 0.75  # value of the normalised Gaussian
        potentials = self._points.intor("int1e_grids", grids=coords, shls_slice=shells)
        with self._points.with_range_coulomb(self.omega):
            potentials -= self._points.intor("int1e_grids", grids=coords, shls_slice=shells)
        potentials /= flat
        return torch.from_numpy(np.ascontiguousarray(potentials[..., 0].T)).to(self.device)
