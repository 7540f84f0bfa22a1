"""ASE calculator: energies, forces and dipoles of molecules with the functionals of mlxc.

    from ase.build import molecule
    from ase.optimize import BFGS
    from mlxc.ase import MLXC

    atoms = molecule("OH", calculator=MLXC(xc="mlxc_rs", basis="def2-svp", spin=1))
    BFGS(atoms).run(fmax=0.01)
    print(atoms.get_potential_energy(), "eV, D4 included;", atoms.get_dipole_moment(), "e Å")

Everything else is PySCF's: settings go into ``scf``, wrappers into ``prepare``, and the object lies in ``calc.mf``:

    MLXC(basis="def2-svp", density_fit=True, scf={"level_shift": 0.2, "with_df.auxbasis": "def2-universal-jkfit"})
    MLXC(basis="def2-svp", prepare=lambda mf: mf.PCM().newton())
"""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pyscf import gto
from pyscf.data.nist import BOHR

try:
    from ase.calculators.calculator import Calculator, SCFError, all_changes
    from ase.units import Hartree
except ImportError as error:
    raise ImportError("mlxc.ase needs ASE, which is not installed: pip install 'mlxc[ase]'") from error

from mlxc import calculation
from mlxc.errors import InvalidInput, Unsupported
from mlxc.host import dispersion, seam
from mlxc.structure import molecule, parse_atoms
from mlxc.suggest import did_you_mean

#: Settings of PySCF's that are parameters of their own here, so that two values cannot contradict each other.
OWN = {"xc": "xc", "mol": "basis, charge and spin", "disp": "disp", "conv_tol": "conv_tol", "max_cycle": "max_cycle",
       "verbose": "verbose", "chkfile": "chkfile", "grids.level": "grid"}

#: Types of integers; charges often come out of numpy's sums.
INTEGERS = (int, np.integer)


class MLXC(Calculator):
    """Kohn–Sham calculator of molecules: RKS for closed shells, UKS where electrons are unpaired.

    Parameters, all by keyword:
        xc: a functional of mlxc, the path of a model card, or, with ``disp=False``, any functional of PySCF's.
        basis: PySCF's name of a basis, or the path of a file in NWChem's format.
        charge: total charge, e; None for the sum of the atoms' initial charges.
        spin: number of unpaired electrons, 2S; None for the sum of the atoms' initial magnetic moments, and the lowest
            possible where they are all zero.
        density_fit: density fitting of J and K.
        disp: adds D4 with the parameters of the functional's card, to energy and forces. It stands apart in
            ``calc.mf.scf_summary["dispersion"]`` (Ha); False leaves it out.
        grid: PySCF's grid level, 0 to 9; None for the card's.
        grid_response: forces include the grid's motion with the atoms, which makes them the exact derivative.
        conv_tol: SCF convergence, Ha.
        max_cycle: SCF cycles.
        scf: further attributes of the PySCF object, by name, dots allowed.
        prepare: called with the PySCF object when it is made, returns the one to use: for wrappers.
        verbose: PySCF's level of printing.
        chkfile: PySCF's checkpoint file; with ``scf={"init_guess": "chkfile"}`` a calculation begins from it.

    Energies are in eV, forces in eV/Å, dipoles in e Å (of a charged molecule about the origin). When only positions
    change, the SCF starts from the density before. ``free_energy`` differs from ``energy`` with smearing alone.

    Raises:
        InvalidInput, UnknownFunctional, Unsupported: an input that cannot be computed, see `mlxc.errors`.
        ase.calculators.calculator.SCFError: no convergence; there are no results then.
    """

    implemented_properties = ["energy", "free_energy", "forces", "dipole"]
    default_parameters: dict[str, Any] = {
        "xc": "mlxc_rs", "basis": "def2-tzvpd", "charge": None, "spin": None, "density_fit": False, "disp": True,
        "grid": None, "grid_response": False, "conv_tol": 1e-9, "max_cycle": 50, "scf": {}, "prepare": None,
        "verbose": 0, "chkfile": None}
    ignored_changes = {"cell"}  # nothing is periodic

    def __init__(self, *, atoms=None, **parameters):
        _check(parameters)  # the base class knows further ones, which mean nothing here
        self.mf: Any = None
        super().__init__(atoms=atoms, **parameters)

    def set(self, **parameters):
        """Changes parameters; returns those that differ. The next calculation then starts anew."""
        _check(parameters)
        changed = super().set(**parameters)
        if changed:
            self.reset()
            self.mf = None
        return changed

    def todict(self, skip_default=True) -> dict[str, Any]:
        """The parameters as text and numbers, for trajectory files."""
        return _plain(super().todict(skip_default))

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        """Computes what is missing of the properties; called by ASE."""
        super().calculate(atoms, properties, system_changes)
        if system_changes or "energy" not in self.results:
            self.results = {}
            self._run_scf(restart=set(system_changes) <= {"positions"})
        if "forces" in properties and "forces" not in self.results:
            self.results["forces"] = self._forces()

    def _run_scf(self, restart: bool):
        mol, guess = self._molecule(), None
        if restart and getattr(self.mf, "converged", False):
            guess = _carried_over(self.mf, mol)
            self.mf.reset(mol)
            self.mf.mo_coeff = None
        else:
            self.mf = self._mean_field(mol)
        try:
            self.mf.kernel(dm0=guess)
        except np.linalg.LinAlgError:  # a diverged density: its Fock matrix has no eigenvectors
            self.mf.converged = False
        if not self.mf.converged:
            raise SCFError(f"the SCF of {self.atoms.get_chemical_formula()} did not converge in {self.mf.max_cycle} "
                           "cycles: raise max_cycle, separate the levels with scf={'level_shift': 0.3}, or use the "
                           "second-order solver with prepare=lambda mf: mf.newton()")
        free = getattr(self.mf, "e_free", None)
        self.results = {
            "energy": float(self.mf.e_tot) * Hartree,
            "free_energy": float(self.mf.e_tot if free is None else free) * Hartree,
            "dipole": np.array(self.mf.dip_moment(unit="AU", verbose=0)) * BOHR,
        }

    def _forces(self) -> np.ndarray:
        gradient = self.mf.nuc_grad_method()
        gradient.verbose = self.parameters["verbose"]
        if self.parameters["grid_response"]:
            gradient.grid_response = True
        return -gradient.kernel() * (Hartree / BOHR)

    def _molecule(self) -> gto.Mole:
        atoms = self.atoms
        if atoms.pbc.any():
            raise Unsupported(f"the atoms are periodic (pbc = {atoms.pbc.tolist()}), mlxc.ase computes molecules: set "
                              "atoms.pbc = False")
        if not len(atoms):
            raise InvalidInput("there are no atoms, expected at least one")
        text = "; ".join(f"{s} {x!r} {y!r} {z!r}" for s, (x, y, z) in
                         zip(atoms.symbols, atoms.positions.tolist(), strict=True))
        charge, spin = self.parameters["charge"], self.parameters["spin"]
        if charge is None:
            charge = _whole(atoms.get_initial_charges().sum(), "the sum of the initial charges", "charge")
        moments = atoms.get_initial_magnetic_moments()
        if spin is None and moments.any():
            spin = abs(_whole(moments.sum(), "the sum of the initial magnetic moments", "spin"))
            if spin == 0:
                raise InvalidInput("the initial magnetic moments cancel, which says closed shell or broken symmetry: "
                                   "set spin=0 for the first, and prepare=lambda mf: mf.to_uks() with a guess for the "
                                   "second")
        mol = molecule(parse_atoms(text), self.parameters["basis"], charge, spin)
        mol.verbose = self.parameters["verbose"]
        return mol

    def _mean_field(self, mol: gto.Mole):
        p = self.parameters
        name = calculation.choose_functional(os.fspath(p["xc"])).name
        entry = seam.search(name)
        settings = calculation.Settings(density_fit=p["density_fit"], grid=p["grid"], max_cycle=p["max_cycle"])
        mf = calculation.mean_field(mol, calculation.Method(name, entry.card if entry else None), settings)
        mf.conv_tol, mf.verbose = p["conv_tol"], p["verbose"]
        if p["disp"]:
            if entry is None:
                raise InvalidInput(f"{name} has no card with D4 parameters: use disp=False")
            dispersion.require(name)
            mf.disp = "d4"
        if p["chkfile"] is not None:
            mf.chkfile = _checkpoint(p["chkfile"])
        for key, value in p["scf"].items():
            _set_attribute(mf, key, value)
        if p["prepare"] is not None:
            mf = p["prepare"](mf)
            if not hasattr(mf, "nuc_grad_method"):
                raise InvalidInput(f"prepare returned {type(mf).__name__}, expected a PySCF object: end it with "
                                   "`return mf`")
        return mf


def _carried_over(mf, mol: gto.Mole) -> np.ndarray:
    """The density of the occupied orbitals, made orthonormal again in the overlap matrix at the new positions.

    A cycle less than with the old density matrix, whose number of electrons is not right in the new overlap.
    """
    overlap, orbitals = mf.get_ovlp(mol), np.array(mf.mo_coeff)
    size = orbitals.shape[-2:]
    for c, occupation in zip(orbitals.reshape(-1, *size), np.reshape(mf.mo_occ, (-1, size[1])), strict=True):
        occupied = c[:, occupation > 0]
        values, vectors = np.linalg.eigh(occupied.T @ overlap @ occupied)
        c[:, occupation > 0] = occupied @ (vectors / np.sqrt(values)) @ vectors.T
    return np.asarray(mf.make_rdm1(orbitals, mf.mo_occ))


def _check(parameters: dict[str, Any]):
    """Refuses unknown parameters, and values of a wrong type before anything is computed."""
    accepted = MLXC.default_parameters
    for key, value in parameters.items():
        if key not in accepted:
            raise InvalidInput(f"unknown parameter {key!r}{did_you_mean(key, accepted)} Accepted are "
                               f"{', '.join(accepted)}; other settings of PySCF's go into scf={{'name': value}}")
        expected, fits = CHECKS[key]
        if not fits(value):
            raise InvalidInput(f"{key} is {value!r}, expected {expected}")


def _integer(lowest: float = -math.inf, highest: float = math.inf, optional: bool = False):
    def fits(value) -> bool:
        if value is None:
            return optional
        return bool(isinstance(value, INTEGERS) and not isinstance(value, bool) and lowest <= value <= highest)

    return fits


def _boolean(value) -> bool:
    return isinstance(value, bool)


def _path(value) -> bool:
    return isinstance(value, str | Path) and bool(os.fspath(value).strip())


#: What is accepted, and whether a value is.
CHECKS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "xc": ("a functional's name or the path of a model card", _path),
    "basis": ("the name of a basis or the path of its file", lambda value: isinstance(value, str)),
    "charge": ("an integer or None", _integer(optional=True)),
    "spin": ("a number of unpaired electrons (2S), 0 or more, or None", _integer(0, optional=True)),
    "density_fit": ("True or False", _boolean),
    "disp": ("True (D4 with the card's parameters) or False", _boolean),
    "grid": ("a level from 0 to 9, or None", _integer(0, 9, optional=True)),
    "grid_response": ("True or False", _boolean),
    "conv_tol": ("a positive number (Ha)", lambda value: isinstance(value, float) and 0 < value < math.inf),
    "max_cycle": ("an integer, 1 or more", _integer(1)),
    "scf": ("a dictionary of attributes of the PySCF object",
            lambda value: isinstance(value, dict) and all(isinstance(key, str) for key in value)),
    "prepare": ("a function that takes and returns a PySCF object, or None",
                lambda value: value is None or callable(value)),
    "verbose": ("a level from 0 to 9", _integer(0, 9)),
    "chkfile": ("the path of a file, or None", lambda value: value is None or _path(value)),
}


def _whole(value: float, what: str, parameter: str) -> int:
    if not math.isclose(value, round(value), abs_tol=1e-6):
        raise InvalidInput(f"{what} is {value:g}, expected an integer: set {parameter} in the calculator")
    return round(value)


def _checkpoint(path: str | Path) -> str:
    if not Path(path).parent.is_dir():
        raise InvalidInput(f"chkfile {path}: the folder {Path(path).parent} does not exist; make it first")
    return os.fspath(path)


def _set_attribute(mf, key: str, value):
    """``mf.key = value``, with dots for the objects inside."""
    if key in OWN:
        raise InvalidInput(f"scf sets {key!r}: use the calculator's parameter {OWN[key]}")
    *path, last = key.split(".")
    owner = mf
    for part in path:
        owner = getattr(owner, part, None)
    if not hasattr(owner, last):
        known = [name for name in dir(mf) if not name.startswith("_")]
        raise InvalidInput(f"scf sets {key!r}, which a {type(mf).__name__} of PySCF's has not"
                           f"{did_you_mean(key, known)}")
    setattr(owner, last, value)


def _plain(value):
    """What a trajectory file can hold: paths as text, functions by their name."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if callable(value):
        return getattr(value, "__qualname__", repr(value))
    return os.fspath(value) if isinstance(value, Path) else value
