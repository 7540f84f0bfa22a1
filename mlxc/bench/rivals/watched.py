"""Mean-field objects of rivals: each potential must have come from the rival's own functional.

A rival hooks into methods of PySCF's that may lose their callers in another version. PySCF then evaluates what stands
in `mf.xc`, often the LDA, and converges to a number that is nobody's.
"""

from collections.abc import Callable
from typing import Any

from pyscf import gto, lib

from mlxc.errors import Unsupported

#: What a grid is made of; taken over where a rival needs grids of its own kind.
GRID_SETTINGS = ("atom_grid", "atomic_radii", "radii_adjust", "radi_method", "becke_scheme", "prune", "level")


class Evaluations:
    """Counts calls of what a rival evaluates its functional with."""

    def __init__(self) -> None:
        self.count = 0

    def watch(self, owner: Any, name: str) -> None:
        """Counts the calls of a method of this one object from now on."""
        method: Callable = getattr(owner, name)

        def counted(*args, **kwargs):
            self.count += 1
            return method(*args, **kwargs)

        setattr(owner, name, counted)


class Watched:
    """Goes before the class of a Kohn–Sham object; see `watched`."""

    __name_mixin__ = "Watched"

    def get_veff(self, *args, **kwargs):
        before = self._evaluations.count
        potential = super().get_veff(*args, **kwargs)
        if self._evaluations.count == before:
            raise Unsupported(
                f"{self._rival} was bypassed: the SCF never called its functional, so the energy would be that of "
                f"PySCF's {self.xc!r}; use a version of {self._rival} that is made for the installed PySCF")
        return potential

    def gen_response(self, *args, **kwargs):
        if not self._response:
            raise Unsupported(f"{self._rival} has no second derivatives: compute without stability analysis and "
                              "polarisabilities")
        return super().gen_response(*args, **kwargs)

    @property
    def grids(self):
        return self.__dict__["grids"]

    @grids.setter
    def grids(self, given):
        own = self.__dict__["grids"]
        if isinstance(given, type(own)):
            self.__dict__["grids"] = given
            return
        for name in GRID_SETTINGS:
            setattr(own, name, getattr(given, name))
        own.reset()


def watched(mf, rival: str, evaluations: Evaluations, *, response: bool = False):
    """The same object, with an error wherever the rival's functional had no part in a potential.

    Args:
        mf: the rival's Kohn–Sham object, not run yet, without dispersion. Where its grids are of a kind of their own,
            grids that are given to it later hand over their settings only.
        rival: its name in errors.
        evaluations: what counts the evaluations.
        response: whether the rival's ``gen_response`` is right; elsewhere calling it raises.

    Raises:
        Unsupported: from ``mf.kernel()``, if the functional is not evaluated.
    """
    mf._rival, mf._evaluations, mf._response = rival, evaluations, response
    return lib.set_class(mf, (Watched, mf.__class__))


def d3_energy(mol: gto.Mole, xc: str) -> float:
    """D3(BJ) with a functional's parameters, without three-body terms, Ha; 0 for one electron.

    Source: doi:10.1002/jcc.21759.
    """
    if mol.nelectron == 1:
        return 0.0
    try:
        from pyscf.dispersion import dftd3
    except ImportError as error:
        raise Unsupported("D3 needs the package pyscf-dispersion: pip install 'mlxc[bench]'") from error
    return float(dftd3.DFTD3Dispersion(mol, xc, version="d3bj").get_dispersion()["energy"])
