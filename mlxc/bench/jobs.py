"""One species to be computed: nuclei, electrons, basis, and what is wanted of it."""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from pyscf import gto
from pyscf.data.elements import charge as nuclear_charge

from mlxc.errors import InvalidInput
from mlxc.structure import core_potentials


@dataclass(frozen=True)
class Job:
    """A species under a protocol; reactions that share it compute it once.

    Attributes:
        species: its name, part of the key.
        atoms: ((symbol, (x, y, z)), …), Å.
        charge: total charge.
        spin: number of unpaired electrons, 2S.
        basis: PySCF's name of a basis, or a basis in NWChem's format that begins with a line "name:NAME".
        electrons: (n_alpha, n_beta) where they are fractions, in place of charge and spin.
        restricted: closed shells restricted; False for a broken-symmetry solution, started from a spin-polarised guess.
        grid_level: other than the protocol's.
        polarizability: whether the static polarisability is wanted too.
        excitations: whether the lowest excitation energies are wanted too.
        density_fit: False where the protocol's auxiliary basis does not fit.
    """

    species: str
    atoms: tuple
    charge: int
    spin: int
    basis: str
    electrons: tuple[float, float] | None = None
    restricted: bool = True
    grid_level: int | None = None
    polarizability: bool = False
    density_fit: bool = True
    excitations: bool = False

    @property
    def key(self) -> str:
        """A file name for the job's result, the same for the same job; species and basis can be read in it."""
        told = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        content = json.dumps(told | {"species": ""}, sort_keys=True)
        name = self.species.replace("/", "__").replace(" ", "_")
        return f"{name}__{self.basis_name}__{hashlib.sha256(content.encode()).hexdigest()[:8]}"

    @property
    def basis_name(self) -> str:
        """What a table calls the basis."""
        first = self.basis.splitlines()[0]
        return first.removeprefix("name:") if "\n" in self.basis else self.basis

    @property
    def is_restricted(self) -> bool:
        """Whether both spins share their orbitals."""
        return self.spin == 0 and self.restricted and self.electrons is None

    @property
    def is_open(self) -> bool:
        """Whether both spins have orbitals of their own, of whole electrons that are more than one."""
        return not self.is_restricted and self.electrons is None and self.n_electrons > 1

    @property
    def is_checked(self) -> bool:
        """Whether its solution is checked for stability."""
        return self.is_open or self.excitations

    @property
    def n_electrons(self) -> float:
        """Number of electrons."""
        if self.electrons is not None:
            return sum(self.electrons)
        return sum(nuclear_charge(a[0]) for a in self.atoms) - self.charge

    def mol(self) -> gto.Mole:
        """The PySCF molecule, with the effective core potentials of a basis that PySCF knows.

        One with fractional electrons has the charge of the nearest whole numbers, and all electrons.

        Raises:
            InvalidInput: fractional electrons, and a basis with effective cores.
        """
        basis, symbols = self.basis, sorted({a[0] for a in self.atoms})
        cores: dict[str, Any] = {}
        functions: Any = basis
        if "\n" in basis:
            text = basis.split("\n", 1)[1]
            functions = {symbol: gto.basis.parse(text, symb=symbol) for symbol in symbols}
        else:
            cores = core_potentials(basis, symbols)
        if self.electrons and cores:
            raise InvalidInput(f"{self.species}: {basis} has no electrons in the core of {', '.join(cores)}, so that "
                               "fractions of them cannot be counted: choose another basis or element")
        mol = gto.M(atom=list(self.atoms), unit="Angstrom", charge=self.charge, basis=functions, ecp=cores, verbose=0,
                    spin=None if self.electrons else self.spin)
        if self.electrons:
            mol.spin = mol.nelectron % 2
        return mol

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> "Job":
        """The job of `to_dict`, which JSON made lists of tuples in."""
        atoms = tuple((symbol, tuple(position)) for symbol, position in found["atoms"])
        electrons = found["electrons"] and tuple(found["electrons"])
        return cls(**found | {"atoms": atoms, "electrons": electrons})
