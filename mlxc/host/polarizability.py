"""Static dipole polarisability of any Kohn–Sham object by the coupled-perturbed equations."""

from contextlib import nullcontext

import numpy as np
from pyscf import lib
from pyscf.scf import hf, rohf, uhf

from mlxc.errors import InvalidInput, Unsupported
from mlxc.host.ks import require_result

#: Residual of the linear equations.
TOLERANCE = 1e-10


def polarizability(mf) -> np.ndarray:
    """α = −∂²E/∂F∂F for the field F: with h_ai = r_ai, (ε_a − ε_i) U_ai + V¹[U]_ai = −h_ai and α = −2 Σ n h U.

    A solvent (PCM and its like) follows the field; what it does to the field itself is not part of α.

    Args:
        mf: converged RKS or UKS object with any functional (or a Hartree–Fock object).

    Returns:
        (3, 3), bohr³.

    Raises:
        InvalidInput: the calculation has not converged, was of another functional or geometry, or is no molecule's.
        Unsupported: restricted open shells, fractional occupations, complex orbitals.
    """
    if not isinstance(mf, hf.RHF | uhf.UHF | rohf.ROHF):
        raise InvalidInput(f"mf is a {type(mf).__name__}, expected an RKS or UKS object of a molecule, on the "
                           "CPU (mf.to_cpu())")
    if isinstance(mf, rohf.ROHF):
        raise Unsupported("the polarizability of a restricted open shell: use mf.to_uks()")
    require_result(mf, "the polarizability")
    restricted = not isinstance(mf, uhf.UHF)
    coeff, occ, levels = ([np.asarray(x)] if restricted else list(x) for x in (mf.mo_coeff, mf.mo_occ, mf.mo_energy))
    full = 2.0 if restricted else 1.0
    if np.iscomplexobj(coeff[0]) or any(((n != 0) & (n != full)).any() for n in occ):
        raise Unsupported("the polarizability with complex orbitals or fractional occupations: use real orbitals and "
                          "no smearing")
    filled = [c[:, n > 0] for c, n in zip(coeff, occ, strict=True)]
    empty = [c[:, n == 0] for c, n in zip(coeff, occ, strict=True)]
    gap = np.concatenate([(e[n == 0][:, None] - e[n > 0]).ravel() for e, n in zip(levels, occ, strict=True)])
    starts = np.cumsum([v.shape[1] * o.shape[1] for v, o in zip(empty, filled, strict=True)])[:-1]

    def pairs(matrices) -> np.ndarray:
        """Virtual–occupied elements of AO matrices (spins, sets, nao, nao): (sets, pairs of all spins)."""
        return np.concatenate([(v.T @ m @ o).reshape(len(m), -1)
                               for v, m, o in zip(empty, matrices, filled, strict=True)], 1)

    def coupled(u) -> np.ndarray:
        """V¹ of changed orbitals, over the gap."""
        half = np.array([full * v @ p.reshape(len(u), v.shape[1], o.shape[1]) @ o.T
                         for v, p, o in zip(empty, np.split(u, starts, 1), filled, strict=True)])
        dm1 = half + half.swapaxes(-1, -2)
        return pairs(respond(dm1[0])[None] if restricted else respond(dm1)) / gap

    h = pairs([mf.mol.intor_symmetric("int1e_r", comp=3)] * len(filled))
    if not gap.size:
        return np.zeros((3, 3))
    solvent = getattr(mf, "with_solvent", None)  # whose response PySCF leaves out unless it is asked for
    with lib.temporary_env(solvent, equilibrium_solvation=True) if solvent else nullcontext():
        respond = mf.gen_response(hermi=1)
        u = lib.krylov(coupled, -h / gap, tol=TOLERANCE, max_cycle=50, verbose=mf.verbose)
    return -2 * full * h @ u.T
