"""D4 dispersion with the parameters of the model card, through pyscf-dispersion.

PySCF makes every dispersion energy, gradient and Hessian from one class, looked up by the functional's name. A
subclass in its place knows the names of mlxc's functionals, so that ``mf.disp = "d4"`` means the card's parameters in
every PySCF object and under every wrapper, and never those of another functional. For all other names it is the
class it replaces.
"""

import numpy as np
from pyscf import gto

from mlxc.errors import Unsupported
from mlxc.host import seam
from mlxc.host.entry import Registered

try:
    from pyscf.dispersion import dftd3, dftd4
except (ImportError, OSError):  # absent, or its library does not load
    dftd3 = dftd4 = None

#: The damping parameter of D4 that a card may leave out, E. Caldeweyher et al., doi:10.1063/1.5090222.
DEFAULTS = {"s9": 1.0}


def dispersion_energy(mol: gto.Mole, name: str) -> float:
    """The D4 dispersion energy of a molecule with the parameters of the functional's card.

    Args:
        mol: the molecule; ghost atoms do not count, its charge enters the atomic charges of D4.
        name: a functional of mlxc.

    Returns:
        Energy in Ha.

    Raises:
        UnknownFunctional: no such functional.
        Unsupported: pyscf-dispersion is not installed, the card has no parameters, or the system is periodic.
    """
    require(name)
    return float(dftd4.DFTD4Dispersion(mol, xc=seam.find(name).name).get_dispersion()["energy"])


def require(name: str):
    """Raises Unsupported unless D4 can be computed for this functional."""
    parameters(seam.find(name))
    if dftd4 is None:
        raise Unsupported("D4 needs pyscf-dispersion, which is not installed: pip install 'mlxc[disp]'")


def parameters(xc: Registered) -> dict[str, float]:
    """Damping parameters s6, s8, s9, a1, a2 from the model card."""
    if xc.card is None or not xc.card["dispersion"]:
        raise Unsupported(f"{xc.name} has no dispersion parameters in its model card: leave mf.disp unset")
    return {key: float((DEFAULTS | xc.card["dispersion"])[key]) for key in ("s6", "s8", "s9", "a1", "a2")}


def install():
    """Puts the class that knows the cards in the place of PySCF's, and refuses gradients that would leave D4 out."""
    if dftd4 is not None:
        know_the_cards(dftd4)
        seam.wrap(dftd3.DFTD3Dispersion, "__init__", _no_d3)
    from pyscf.grad import tdrhf

    seam.wrap(tdrhf.Gradients, "kernel", excited_state_gradient)


def know_the_cards(module):
    """Puts the class that knows the cards into a module that has PySCF's: its own, or GPU4PySCF's copy."""
    original = module.DFTD4Dispersion
    module.DFTD4Dispersion = _card_d4(getattr(original, "wrapped_by_mlxc", original))


def _no_d3(original, model, mol, xc, *args, **kwargs):
    if (entry := seam.search(xc)) is not None:
        model._disp = model._mol = model._param = None  # for __del__
        raise Unsupported(f"D3 has no parameters for {entry.name}: write mf.disp = 'd4', with those of its card")
    original(model, mol, xc, *args, **kwargs)


def excited_state_gradient(original, td_grad, *args, **kwargs):
    """PySCF adds the dispersion to excited states' energies, but not to their gradients."""
    mf = td_grad.base._scf
    if seam.search(getattr(mf, "xc", None)) and mf.do_disp():
        raise Unsupported("gradients of excited states leave the dispersion out: set mf.disp = None, and add the "
                          "gradient of D4 in the ground state, which is the same")
    return original(td_grad, *args, **kwargs)


def _card_d4(base: type) -> type:
    class DFTD4Dispersion(base):
        wrapped_by_mlxc = base
        _param = _mol = _disp = None  # for __del__, where __init__ does not get far

        def __init__(self, mol, xc, *args, atm=True, **kwargs):
            entry = seam.search(xc)
            self._real_atoms = None
            if entry is None:
                super().__init__(mol, xc, *args, atm=atm, **kwargs)
                return
            if not isinstance(mol, gto.Mole):
                raise Unsupported("D4 of periodic systems: PySCF leaves it out of their gradients; set mf.disp = None")
            damping = parameters(entry)
            self._real_atoms, self._all_atoms = _real_atoms(mol), mol.natm
            super().__init__(_without_ghosts(mol, self._real_atoms), "pbe", *args, atm=atm, **kwargs)
            self.set_param(**(damping if atm else damping | {"s9": 0.0}))

        def get_dispersion(self, grad=False):
            result = super().get_dispersion(grad)
            if grad and self._real_atoms is not None:
                gradient = np.zeros((self._all_atoms, 3))
                gradient[self._real_atoms] = result["gradient"]
                result["gradient"] = gradient
            return result

    return DFTD4Dispersion


def _real_atoms(mol: gto.Mole) -> list[int]:
    return [i for i in range(mol.natm) if not gto.is_ghost_atom(mol.atom_symbol(i))]


def _without_ghosts(mol: gto.Mole, real: list[int]) -> gto.Mole:
    """D4 takes a ghost for an atom of number 0 and answers NaN."""
    if len(real) == mol.natm:
        return mol
    part = mol.copy(deep=False)
    part._atm = mol._atm[real]
    part._atom = [mol._atom[i] for i in real]
    return part
