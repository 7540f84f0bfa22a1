"""One calculation as the command line runs it: everything is checked, then computed."""

import importlib
import os
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pyscf import dft, gto
from pyscf.dft import libxc
from pyscf.scf.dispersion import parse_dft

import mlxc
from mlxc import zoo
from mlxc.errors import DomainWarning, InvalidInput, MlxcError, OutOfMemory, UnknownFunctional
from mlxc.host import gpu, seam
from mlxc.structure import Atom, elements, molecule
from mlxc.suggest import did_you_mean
from mlxc.summary import summarise

#: First bytes of an HDF5 file, the format of PySCF's checkpoint files.
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class Settings:
    """What to compute a molecule with.

    Attributes:
        xc: an mlxc model, the path of a model card, or any functional of PySCF's.
        basis: PySCF's name of a basis.
        charge: total charge, e.
        spin: number of unpaired electrons, 2S; None for the lowest possible.
        density_fit: resolution of the identity for J and K.
        dispersion: add D4; None for what the functional's card says (nothing without a card).
        grid: PySCF's grid level, 0 to 9; None for the card's, 3 without one.
        max_cycle: SCF cycles.
        save: PySCF's checkpoint file.
        gpu: SCF with GPU4PySCF, or nothing at all; what is made of its orbitals comes from the CPU.
    """

    xc: str = "mlxc_rs"
    basis: str = "def2-tzvpd"
    charge: int = 0
    spin: int | None = None
    density_fit: bool = False
    dispersion: bool | None = None
    grid: int | None = None
    max_cycle: int = 50
    save: Path | None = None
    gpu: bool = False


@dataclass(frozen=True)
class Method:
    """A functional by the name PySCF knows it under, with its card where it is a model."""

    name: str
    card: zoo.Card | None = None


def calculate(atoms: list[Atom], settings: Settings, report: Callable[[str], None]) -> dict[str, Any]:
    """Checks all input, then runs the SCF.

    Args:
        atoms: symbols and positions, Å.
        settings: functional, basis and the rest.
        report: called with a line per SCF cycle.

    Returns:
        The result, see `mlxc.summary`.

    Raises:
        MlxcError: an input that cannot be computed; nothing was computed or written then.
    """
    start = time.perf_counter()
    if settings.gpu:
        gpu.require()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        method = choose_functional(settings.xc)
        mol = molecule(atoms, settings.basis, settings.charge, settings.spin)
        check_save(settings.save)
        mf = mean_field(mol, method, settings)
        dispersion = dispersion_energy(mf, method, settings.dispersion)
        mf.callback = lambda cycle: report(cycle_line(cycle, time.perf_counter() - start))
        if settings.save is not None:
            mf.chkfile = os.fspath(settings.save)
        try:
            mf.kernel()
        except np.linalg.LinAlgError as error:  # a diverged density: its Fock matrix has no eigenvectors
            report(f"SCF broke down: {error}")
            mf.converged = False
        except MemoryError as error:  # NumPy's or CuPy's
            if isinstance(error, MlxcError):
                raise
            raise OutOfMemory(f"there is not enough memory for this calculation ({error}): use a smaller basis, "
                              f"--df{', or the CPU' if settings.gpu else ''}, or a machine with more memory") from error
    notes = [str(warning.message) for warning in caught if not issubclass(warning.category, DomainWarning)]
    if method.card is not None:
        notes += zoo.outside_domain(method.card, elements(mol), mol.charge, mol.spin)
    result = summarise(mf.to_cpu() if settings.gpu else mf, method.card, dispersion, list(dict.fromkeys(notes)))
    if settings.gpu:
        result |= {"gpu": torch.cuda.get_device_name(), "local_exchange": mlxc.local_exchange_record(mf) or None}
        result["versions"] |= gpu.versions()
    return result | {"basis": settings.basis, "seconds": round(time.perf_counter() - start, 2)}


def choose_functional(xc: str) -> Method:
    """The functional of a name or path, its files verified.

    Raises:
        UnknownFunctional: neither mlxc nor PySCF knows the name; the closest one is suggested.
        InvalidModel: a damaged model file.
        InvalidInput: a name that includes a dispersion correction, or hides a shipped model's.
    """
    xc = xc.strip()
    if zoo.is_path(xc):
        functional = zoo.load(xc)
        if functional.name in zoo.names():
            raise InvalidInput(f"{xc} is named {functional.name}, which is a model that comes with mlxc: save it "
                               "under another name")
        return Method(seam.register(functional), functional.card)
    if xc.lower() in zoo.names():
        return Method(xc.lower(), zoo.load(xc).card)
    seam.asked_for(xc)  # which refuses the names of parts
    try:
        if parse_dft(xc)[2] is not None:
            raise InvalidInput(f"functional {xc!r}: give a functional's name alone, and --disp for D4")
        if libxc.xc_type(xc) == "HF" and not libxc.is_hybrid_xc(xc):
            raise InvalidInput(f"functional {xc!r} names no functional: give for example mlxc_rs or pbe")
    except MlxcError:
        raise
    except (KeyError, ValueError, IndexError, NotImplementedError) as error:
        known = [*zoo.names(), "hf", *libxc.XC_ALIAS, *libxc.XC_CODES]
        raise UnknownFunctional(f"unknown functional {xc!r}{did_you_mean(xc, known)} Accepted are the models of "
                                f"`mlxc list`, the path of a model card, and PySCF's names ({error})") from error
    return Method(xc)


def mean_field(mol: gto.Mole, method: Method, settings: Settings) -> dft.rks.KohnShamDFT:
    """The mean-field object, closed-shell or unrestricted, not run yet."""
    mf = (dft.UKS if mol.spin else dft.RKS)(mol, xc=method.name)
    if settings.density_fit:
        mf = mf.density_fit()
    advised = (method.card or {}).get("grid", {}).get("level", mf.grids.level)
    mf.grids.level = advised if settings.grid is None else settings.grid
    mf.max_cycle = settings.max_cycle
    return mf.to_gpu() if settings.gpu else mf


def dispersion_energy(mf: dft.rks.KohnShamDFT, method: Method, wanted: bool | None) -> float | None:
    """D4's energy in Ha: by default for a model whose card has parameters, else when asked for; None without.

    Raises:
        InvalidInput: D4 has no parameters for the functional or an element, or is not installed.
    """
    parameters = bool(method.card and method.card["dispersion"])
    if not (parameters if wanted is None else wanted):
        return None
    if method.card is not None and not parameters:
        raise InvalidInput(f"the card of {method.name} has no D4 parameters: use --no-disp")
    if libxc.is_nlc(method.name):
        raise InvalidInput(f"{method.name} has dispersion of its own (VV10): use --no-disp")
    try:
        importlib.import_module("pyscf.dispersion.dftd4")
    except ImportError as error:
        raise InvalidInput("D4 dispersion needs the package pyscf-dispersion: pip install 'mlxc[disp]', or compute "
                           "without it: --no-disp") from error
    if method.card is not None:
        return mlxc.dispersion_energy(mf.mol, method.name)
    if any(gto.is_ghost_atom(symbol) for symbol in mf.mol.elements):  # PySCF's D4 takes a ghost for an element
        raise InvalidInput("D4 for PySCF's own functionals has no ghost atoms: use --no-disp")
    try:
        return float(mf.get_dispersion(disp="d4"))
    except RuntimeError as error:
        raise InvalidInput(f"D4 has no energy for {method.name} and this molecule ({error}): use --no-disp") from error


def check_save(path: Path | None) -> None:
    """Refuses a checkpoint file that cannot be written or would overwrite something else.

    Raises:
        InvalidInput: no such folder, no permission, or a file there that is no checkpoint file.
    """
    if path is None:
        return
    if not path.parent.is_dir():
        raise InvalidInput(f"--save {path}: the folder {path.parent} does not exist; make it first")
    if path.exists():
        if not path.is_file():
            raise InvalidInput(f"--save {path} is not a file: give a file's name")
        with path.open("rb") as file:
            if file.read(len(HDF5_SIGNATURE)) != HDF5_SIGNATURE:
                raise InvalidInput(f"--save {path} would overwrite a file that is no checkpoint file: "
                                   "give another name")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InvalidInput(f"--save {path} cannot be written: choose a folder that can")


def cycle_line(cycle: dict[str, Any], seconds: float) -> str:
    """What is said of an SCF cycle: its number, energy (Ha), change, norm of the gradient, time so far."""
    energy = cycle["e_tot"]
    return (f"cycle {cycle['cycle'] + 1:3d}   E = {energy:18.10f}   dE = {energy - cycle['last_hf_e']:9.1e}"
            f"   |g| = {float(cycle['norm_gorb']):8.1e}   {seconds:6.1f} s")


def print_to_stderr(line: str) -> None:
    """A line that is seen at once, and does not mix with the result."""
    print(line, file=sys.stderr, flush=True)
