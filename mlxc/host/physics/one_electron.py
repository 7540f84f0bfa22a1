"""One electron does not interact with itself: its energy and levels are Hartree–Fock's, which is exact for it.

Empty levels count as well: the Fock matrices of both spins are compared, and how they respond where the orbital turns,
which enters into excitation energies. Exact exchange and Coulomb repulsion come from one builder in both calculations,
so that the functional's own terms are all that can differ.
"""

import numpy as np
from pyscf import gto, lib
from scipy.linalg import eigh

from mlxc.host import seam
from mlxc.host.physics.scf import energy, kohn_sham, molecule, run, worst
from mlxc.units import KCAL
from mlxc.xc.constraints import Constraint

#: Atoms (Å) and charge.
MOLECULES = {
    "H": ("H 0 0 0", 0),
    "He+": ("He 0 0 0", 1),
    "H2+ 1 Å": ("H 0 0 0; H 0 0 1", 1),
    "H2+ 2 Å": ("H 0 0 0; H 0 0 2", 1),
    "H2+ 5 Å": ("H 0 0 0; H 0 0 5", 1),
    "HeH2+": ("He 0 0 0; H 0 0 1", 2),
    "H3(2+)": ("H 0 0 0; H 0 0 1; H 0 0.8 0.5", 2),
}

#: Those whose response and lowest excitation are computed.
EXCITED = ("H", "H2+ 1 Å")

#: Near their minima, where a semilocal form can come close to Hartree–Fock.
NEAR_EQUILIBRIUM = {"H": MOLECULES["H"], "He+": MOLECULES["He+"], "H2+ 0.8 Å": ("H 0 0 0; H 0 0 0.8", 1),
                    "H2+ 1 Å": MOLECULES["H2+ 1 Å"]}
NEAR_EQUILIBRIUM_BASIS = "aug-cc-pvtz"


def on_hartree_fock_density(functional, mol: gto.Mole) -> tuple[float, float]:
    """Deviations of the energy and of the Fock matrix that belong to Hartree–Fock's density matrix.

    Returns:
        (E[D] − E_HF, largest element of |F[D] − F_HF| in both spins), Ha.
    """
    hf = mol.UHF().run()
    dm = hf.make_rdm1()
    mf = kohn_sham("UKS", mol, functional)
    fock = np.abs(mf.get_fock(dm=dm) - hf.get_fock(dm=dm)).max()
    return float(mf.energy_tot(dm=dm) - hf.e_tot), float(fock)


def self_consistent(functional, mol: gto.Mole) -> float:
    """Self-consistent energy, started from Hartree–Fock's density matrix, minus Hartree–Fock's, Ha."""
    hf = mol.UHF().run()
    return energy(kohn_sham("UKS", mol, functional).set(conv_tol=1e-12), hf.make_rdm1()) - float(hf.e_tot)


def response(functional, mol: gto.Mole) -> tuple[float, float]:
    """Deviations of the lowest excitation energy (TDDFT), and of the Fock matrix's change with the density matrix.

    Hartree–Fock's excitation energy is that of the one-electron Hamiltonian h, ε_1 − ε_0 with its eigenvalues, and its
    Fock matrix is linear in the density matrix. Its change is looked at where the orbital turns and, without the local
    part, which responds to nothing else, for a symmetric change of both spins; both random and of norm 1.

    Returns:
        (ω − ω_HF, largest element of |F¹ − F¹_HF|, of the first change on the orbital), Ha; NaN without convergence.
    """
    hf = mol.UHF().run()
    exact = eigh(mol.intor("int1e_kin") + mol.intor("int1e_nuc"), mol.intor("int1e_ovlp"), eigvals_only=True)
    mf = run(kohn_sham("UKS", mol, functional, level=0), hf.make_rdm1())
    excited = mf.TDDFT().set(nstates=1, conv_tol=1e-10)
    excited.kernel()
    if not (mf.converged and all(excited.converged)):
        return np.nan, np.nan

    def error(xc: str, change: np.ndarray) -> np.ndarray:
        change = change + change.swapaxes(1, 2)
        change /= np.linalg.norm(change)
        with lib.temporary_env(mf, xc=xc):
            return mf.gen_response(hermi=1)(change) - hf.get_veff(dm=change)

    entry = seam.local_hybrid(mf.xc)
    random = np.random.default_rng(0).normal(size=(2, mol.nao, mol.nao))
    turned = error(mf.xc, random @ np.asarray(mf.make_rdm1()))[0] @ mf.mo_coeff[0][:, mf.mo_occ[0] > 0]
    fock = max(np.abs(turned).max(), np.abs(error(mf.xc if entry is None else entry.semilocal, random)).max())
    return float(excited.e[0] - (exact[1] - exact[0])), float(fock)


def near_equilibrium(functional) -> dict[str, float]:
    """Self-consistent energies minus Hartree–Fock's, kcal/mol, of NEAR_EQUILIBRIUM."""
    return {label: KCAL * self_consistent(functional, molecule(atoms, charge, 1, NEAR_EQUILIBRIUM_BASIS))
            for label, (atoms, charge) in NEAR_EQUILIBRIUM.items()}


def fock_violation(functional, labels=tuple(MOLECULES)) -> float:
    """Largest deviation on Hartree–Fock's density, Ha."""
    return worst(error for label in labels for error in on_hartree_fock_density(functional, doublet(label)))


def scf_violation(functional, labels=tuple(MOLECULES)) -> float:
    """Largest error of a self-consistent energy, Ha."""
    return worst(self_consistent(functional, doublet(label)) for label in labels)


def response_violation(functional, labels=EXCITED) -> float:
    """Largest deviation of a lowest excitation energy or of the Fock matrix's response, Ha."""
    return worst(error for label in labels for error in response(functional, doublet(label)))


def near_equilibrium_violation(functional) -> float:
    """Largest error near equilibrium, kcal/mol."""
    return worst(near_equilibrium(functional).values())


def doublet(label: str) -> gto.Mole:
    """One of MOLECULES, with its one electron."""
    atoms, charge = MOLECULES[label]
    return molecule(atoms, charge, spin=1)


_SOURCE, _GATE = "doi:10.1103/PhysRevB.23.5048", "constraints.one_electron in functional.LocalHybrid.replacement_terms"

CONSTRAINTS = (
    Constraint("one_electron_fock", "H to H3(2+), HF density:  E = E_HF, F = F_HF for both spins, Ha", _GATE, _SOURCE,
               fock_violation, 1e-10),
    Constraint("one_electron_scf", "H, He⁺, H₂⁺ to 5 Å, HeH²⁺, H₃²⁺, SCF:  E = E_HF, Ha", _GATE, _SOURCE,
               scf_violation, 1e-9),
    Constraint("one_electron_response", "H, H₂⁺:  response and lowest excitation as in HF, Ha", _GATE, _SOURCE,
               response_violation, 1e-8),
    Constraint("one_electron_energy", "H, He⁺, H₂⁺ up to 1 Å:  E = E_HF, kcal/mol", "the training data", _SOURCE,
               near_equilibrium_violation, 3.0, hard=False),
)
