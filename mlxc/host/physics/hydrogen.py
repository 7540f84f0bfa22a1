"""The hydrogen atom's laws: exact orbitals of any nuclear charge, and a straight line in the electron number."""

import numpy as np
from pyscf import gto
from pyscf.data.elements import ELEMENTS

from mlxc.host.physics.scf import energy, kohn_sham, molecule, worst
from mlxc.xc.constraints import Constraint

#: Nuclear charges of the measure; the tests take all up to 36.
CHARGES = (1, 2, 10, 36)

#: Exponents Z² · FIRST · RATIO^k, k = 0 … COUNT − 1, bohr⁻²: 1s, 2p and 3d to 4e-4 of their energies.
FIRST, RATIO, COUNT = 0.005, 2.5, 11

#: Electrons in the fractional atom.
FRACTIONS = (0.25, 0.5, 0.75)


def hydrogenic(charge: int, momentum: int) -> gto.Mole:
    """A nucleus with one electron in a basis of one angular momentum: its ground state is 1s, 2p or 3d."""
    shells = [[momentum, [charge**2 * FIRST * RATIO**k, 1.0]] for k in range(COUNT)]
    return molecule([(ELEMENTS[charge], (0, 0, 0))], charge - 1, spin=1, basis={ELEMENTS[charge]: shells})


def hydrogenic_error(functional, charge: int, momentum: int) -> float:
    """Self-consistent energy minus Hartree–Fock's, or that on Hartree–Fock's density if it is larger, Ha."""
    mol = hydrogenic(charge, momentum)
    hf = mol.UHF().run()
    mf = kohn_sham("UKS", mol, functional, level=0).set(conv_tol=1e-12)
    first = float(mf.energy_tot(dm=hf.make_rdm1()) - hf.e_tot)
    if abs(first) > 1e-6:  # no need to see where the cycles end
        return first
    return worst((first, energy(mf, hf.make_rdm1()) - float(hf.e_tot)))


def hydrogenic_violation(functional, charges=CHARGES) -> float:
    """Largest error of 1s, 2p and 3d, Ha."""
    return worst(hydrogenic_error(functional, charge, momentum) for charge in charges for momentum in (0, 1, 2))


def fractional_errors(functional) -> np.ndarray:
    """E(N) − N E_HF(1) of the hydrogen atom with N of FRACTIONS and 1 electrons, Ha."""
    mol = molecule("H 0 0 0", spin=1)
    hf = mol.UHF().run()
    errors = []
    for number in (*FRACTIONS, 1.0):
        mf = kohn_sham("UKS", mol, functional).set(conv_tol=1e-12)
        mf.get_occ = lambda levels=None, orbitals=None, number=number: _lowest(levels, number)
        errors.append(energy(mf, number * np.asarray(hf.make_rdm1())) - number * float(hf.e_tot))
    return np.array(errors)


def _lowest(levels: np.ndarray, number: float) -> np.ndarray:
    """Occupations of both spins with ``number`` electrons in the lowest level of spin a."""
    occupations = np.zeros_like(levels)
    occupations[0, np.argmin(levels[0])] = number
    return occupations


def fractional_violation(functional) -> float:
    """Largest deviation from the straight line between no electron and one, Ha."""
    return worst(fractional_errors(functional))


_GATE = "constraints.one_electron in functional.LocalHybrid.replacement_terms"

CONSTRAINTS = (
    Constraint("hydrogenic_ions", "1s, 2p, 3d of Z = 1, 2, 10, 36, SCF:  E = E_HF, Ha", _GATE,
               "doi:10.1103/PhysRevB.23.5048", hydrogenic_violation, 1e-9),
    Constraint("fractional_hydrogen", "H with N ≤ 1 electrons:  E(N) = N E(1), Ha", _GATE,
               "doi:10.1103/PhysRevLett.49.1691", fractional_violation, 1e-9),
)
