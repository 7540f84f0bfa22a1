"""What a column of a table is computed with: functional, dispersion, version.

    name            functional                                       dispersion after the SCF
    hf              Hartree–Fock                                     none
    mlxc_lh, …      a shipped model, or the path of a card           D4 with the parameters of its card
    wb97m_v, …      a functional of PySCF's with VV10                VV10 at the converged density
    pbe, r2scan, …  any other functional of PySCF's                  D4 where dftd4 has parameters for it, else none
    skala, dm21, …  a rival that is installed (`mlxc.bench.rivals`)  what belongs to it
"""

import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyscf
from pyscf import dft, gto, scf
from pyscf.dft import libxc

import mlxc
from mlxc import zoo
from mlxc.bench import rivals
from mlxc.bench.protocol import Protocol
from mlxc.bench.rivals.watched import d3_energy
from mlxc.calculation import choose_functional
from mlxc.errors import InvalidInput, Unsupported

#: PySCF's functionals that dftd4 knows by another name; its own "wb97x" is the form that ωB97X-V is made of.
D4_NAMES = {"wb97x": "wb97x-2008"}


@dataclass(frozen=True)
class Method:
    """One functional with its dispersion.

    Attributes:
        name: of its column and folder.
        xc: PySCF's or mlxc's name; "hf", or a rival's name.
        dispersion: "card" (D4 of a model), "d4", "vv10", "d3" (a rival's) or "".
        version: of what computes it; results of two versions never mix.
        model: the functional itself, of mlxc's alone; it travels to other processes with the method.
    """

    name: str
    xc: str
    dispersion: str
    version: str
    model: Any = field(default=None, compare=False, repr=False)

    def mean_field(self, mol: gto.Mole, restricted: bool):
        """The Kohn–Sham (or Hartree–Fock) object, not run yet and without dispersion in its energy."""
        if self.xc in rivals.ADAPTERS:
            return rivals.ADAPTERS[self.xc].mean_field(mol, restricted)
        if self.xc == "hf":
            return scf.hf.RHF(mol) if restricted else scf.uhf.UHF(mol)  # mol.UHF() is another class for one electron
        if self.model is not None and self.xc not in zoo.names():
            mlxc.register(self.model)
        kohn_sham = mlxc if self.model is not None else dft
        mf = (kohn_sham.RKS if restricted else kohn_sham.UKS)(mol, xc=self.xc)
        mf.nlc, mf.disp = 0, None
        return mf

    @property
    def responds(self) -> bool:
        """Whether it has second derivatives, for stability analysis and polarisabilities."""
        return self.xc not in rivals.ADAPTERS or rivals.ADAPTERS[self.xc].RESPONSE

    @property
    def is_unchecked(self) -> bool:
        """Whether it is a model whose training set was not compared with the test, as its card says."""
        leakage = {} if self.model is None else self.model.card["training"].get("leakage", {})
        return leakage.get("compared") == ""

    @property
    def identity(self) -> dict[str, Any]:
        """What results must agree in to stand in one column; of models also whether they were trained on the test, and
        the factor of their spread."""
        card = {} if self.model is None else self.model.card
        return {"xc": self.xc, "dispersion": self.dispersion, "version": self.version,
                "train_on_test": bool(card and card["training"].get("train_on_test", False)),
                "spread_scale": card["uncertainty"].get("scale", 1.0) if card else 1.0}

    def dispersion_energy(self, mf, protocol: Protocol) -> float:
        """D4 of the molecule, or VV10 of the converged density, Ha."""
        if self.dispersion == "card":
            return mlxc.dispersion_energy(mf.mol, self.xc)
        if self.dispersion == "d4":
            return _d4(mf.mol, self.xc)
        if self.dispersion == "d3":
            return d3_energy(mf.mol, rivals.ADAPTERS[self.xc].d3())
        if self.dispersion == "vv10":
            grids = dft.gen_grid.Grids(mf.mol)
            grids.level = protocol.nlc_grid_level
            grids.build()
            dm = np.asarray(mf.make_rdm1())
            total = dm if dm.ndim == 2 else dm.sum(axis=0)
            return float(mf._numint.nr_nlc_vxc(mf.mol, grids, self.xc, total)[1])
        return 0.0


def method(name: str) -> Method:
    """The method of a name.

    Raises:
        UnknownFunctional: neither mlxc nor PySCF nor an adapter knows it.
        Unsupported: a rival that is not installed.
        InvalidInput, InvalidModel: see `mlxc.calculation.choose_functional`.
    """
    lower, host = name.lower(), _host()
    if lower in rivals.ADAPTERS:
        adapter = rivals.ADAPTERS[lower]
        if missing := adapter.missing():
            raise Unsupported(f"{name} cannot be computed here: {missing}")
        return Method(lower, lower, "d3" if adapter.d3() else "", f"{adapter.version()}, {host}")
    if lower == "hf":
        return Method("hf", "hf", "", host)
    chosen = choose_functional(name)
    if (card := chosen.card) is not None:
        return Method(chosen.name, chosen.name, "card" if card["dispersion"] else "", version(card), zoo.load(name))
    if libxc.is_nlc(chosen.name):
        return Method(lower, chosen.name, "vv10", host)
    return Method(lower, chosen.name, "d4" if _has_d4(chosen.name) else "", host)


def version(card: Mapping[str, Any]) -> str:
    """Of a model and of what computes it: all of the card that energies depend on."""
    damping = " ".join(f"{key}={value:g}" for key, value in sorted(card["dispersion"].items())) or "none"
    return (f"{card['version']}, weights {card['weights']['sha256'][:12]}, damping {damping}, mlxc {mlxc.__version__}, "
            f"{_host()}")


def _host() -> str:
    return f"PySCF {pyscf.__version__}, libxc {libxc.__version__}, pyscf-dispersion {_version('pyscf-dispersion')}"


def methods(names: str, say: Callable[[str], object] = print) -> list[Method]:
    """Those of a list with commas; rivals that are not installed are left out, with a line.

    Raises:
        InvalidInput: one name twice, or nothing is left.
    """
    found: list[Method] = []
    for name in (name.strip() for name in names.split(",") if name.strip()):
        try:
            found.append(method(name))
        except Unsupported as error:
            say(f"left out: {error}")
    given = [m.name for m in found]
    if twice := [name for name in given if given.count(name) > 1]:
        raise InvalidInput(f"--xc names {twice[0]} twice: give every functional once")
    if not found:
        raise InvalidInput(f"--xc {names!r} leaves nothing to compute: name functionals, separated by commas")
    return found


def versions() -> dict[str, str]:
    """Packages that results depend on, for their records."""
    return {name: importlib.metadata.version(name) for name in ("mlxc", "pyscf", "torch", "numpy")}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _has_d4(xc: str) -> bool:
    try:
        _d4(gto.M(atom="He", verbose=0), xc)
    except RuntimeError as error:
        if "not known" in str(error):
            return False
        raise
    return True


def _d4(mol: gto.Mole, xc: str) -> float:
    try:
        from pyscf.dispersion import dftd4
    except ImportError as error:
        raise InvalidInput("D4 needs the package pyscf-dispersion: pip install 'mlxc[bench]'") from error
    return float(dftd4.DFTD4Dispersion(mol, xc=D4_NAMES.get(xc.lower(), xc)).get_dispersion()["energy"])
