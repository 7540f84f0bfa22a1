"""The functionals in PySCF's self-consistent field: every Kohn–Sham object gets its XC matrix from NumInt.

PySCF computes the exact exchange. What depends on the density alone comes from `mlxc.host.semilocal`, a local hybrid's
under the name of that part, and from PySCF where it does not apply; `mlxc.host.local` adds the local hybrid's rest.
While PySCF iterates, the Fock matrix is built without its block between virtual orbitals where nothing needs it, which
is faster and has the same solutions; at the end the virtual orbitals are made from the whole matrix, and the iterations
go on with it where they would then be filled.
"""

import numpy as np
from pyscf import lib, scf
from pyscf.dft import numint, numint2c, rks, uks
from pyscf.scf import hf

from mlxc.errors import Unsupported
from mlxc.host import local, seam, semilocal
from mlxc.host.arrays import CPU, device_of, from_torch, in_order_with, to_torch
from mlxc.host.entry import where_local
from mlxc.solution import LowestFirst

#: Electrons that may change their place when the virtual block comes in; a level that is filled instead moves one.
SETTLED = 0.1


def install():
    """Wraps what PySCF's objects call, once."""
    seam.wrap(numint.NumInt, "nr_rks", closed_shell)
    seam.wrap(numint.NumInt, "nr_uks", both_spins)
    seam.wrap(numint.NumInt, "nr_rks_fxc", change_of_matrix)
    seam.wrap(numint.NumInt, "nr_uks_fxc", change_of_matrix)
    seam.wrap(numint.NumInt, "to_gpu", same_settings)
    for name in ("nr_vxc", "get_vxc", "nr_gks_vxc"):
        seam.wrap(numint2c.NumInt2C, name, _refuse_two_components)
    seam.wrap(hf, "kernel", _kernel)


def closed_shell(original, ni, mol, grids, xc_code, dms, *args, **kwargs):
    """As `xc_matrix`; two density matrices are two closed shells here, not two spins."""
    if np.ndim(dms) == 2:
        return xc_matrix(original, ni, mol, grids, xc_code, dms, *args, **kwargs)
    entry = seam.local_hybrid(xc_code)
    if entry is None:
        return original(ni, mol, grids, xc_code, dms, *args, **kwargs)
    if device_of(dms) != CPU or np.ndim(dms) != 3:
        raise Unsupported(f"{entry.name} with density matrices of shape {tuple(np.shape(dms))}: expected one, "
                          f"(nao, nao), or on the CPU several, (n, nao, nao); {where_local(device_of(dms))}")
    found = [xc_matrix(original, ni, mol, grids, xc_code, dm, *args, **kwargs) for dm in dms]
    return tuple(np.array(x) for x in zip(*found, strict=True))


def both_spins(original, ni, mol, grids, xc_code, dms, *args, **kwargs):
    """As `xc_matrix`; one density matrix is a closed shell's here, and has results for both spins all the same.

    Several are (2, n, nao, nao), as are their matrices; electrons are (2, n) and energies (n,).
    """
    if np.ndim(dms) == 4 and seam.local_hybrid(xc_code) and device_of(dms) == CPU:
        found = [xc_matrix(original, ni, mol, grids, xc_code, dm, *args, **kwargs) for dm in np.swapaxes(dms, 0, 1)]
        electrons, energies, matrices = zip(*found, strict=True)
        return np.stack(electrons, 1), np.array(energies), np.stack(matrices, 1)
    if isinstance(dms, np.ndarray) and dms.ndim == 2 and seam.search(xc_code):
        dms = np.stack((dms, dms)) / 2
    return xc_matrix(original, ni, mol, grids, xc_code, dms, *args, **kwargs)


def xc_matrix(original, ni, mol, grids, xc_code, dms, relativity=0, hermi=1, max_memory=2000, verbose=None):
    """(electrons, E_xc without exact exchange, its Fock matrix) of one density matrix."""
    entry = seam.search(xc_code)
    if entry is None:
        return original(ni, mol, grids, xc_code, dms, relativity, hermi, max_memory, verbose)
    if entry.is_local:
        if hasattr(mol, "lattice_vectors"):
            raise Unsupported(f"{entry.name} in a periodic system: {where_local()}")
        entry.require_omega(ni.omega)
        xc_code = entry.semilocal
    occupied_only = getattr(ni, "_occupied_only", False)
    if hermi == 1 and np.ndim(dms) < 4 and semilocal.integrates(ni, mol, entry, dms, occupied_only):
        found = semilocal.xc_matrix(ni, mol, grids, xc_code, dms, max_memory, occupied_only)
    else:
        found = original(ni, mol, grids, xc_code, dms, relativity, hermi, max_memory, verbose)
    if not entry.is_local:
        return found
    electrons, energy, matrix = found
    device = device_of(matrix)
    with in_order_with(matrix):
        if device_of(dms) != device:  # GPU4PySCF takes NumPy's arrays too
            dms = from_torch(to_torch(dms).to(device), matrix)
        part = local.part(ni, mol, entry.on(device), max_memory, device)
        added, potential = part.energy_and_potential(dms, occupied_only)
    return electrons, energy + added, matrix + potential


def change_of_matrix(original, ni, mol, grids, xc_code, dm0, dms, relativity=0, hermi=0, rho0=None, vxc=None, fxc=None,
                     max_memory=2000, verbose=None):
    """Change of the density part's Fock matrix with the density matrix, to first order."""
    entry = seam.search(xc_code)
    if entry is None or entry.is_local or fxc is None or not semilocal.integrates(ni, mol, entry, dms):
        return original(ni, mol, grids, xc_code, dm0, dms, relativity, hermi, rho0, vxc, fxc, max_memory, verbose)
    if np.ndim(fxc) == 5 and np.ndim(dms) == 2:
        dms = np.stack((dms, dms)) / 2
    return semilocal.change_of_matrix(ni, mol, grids, dms, fxc, max_memory)


def same_settings(original, ni):
    """`to_gpu` and `to_cpu` make another object, which computes in the same way, or refuses the same ω set by hand."""
    other = original(ni)
    other.omega = ni.omega
    if hasattr(ni, "_local_settings"):
        other._local_settings = ni._local_settings
    return other


def _refuse_two_components(original, ni, mol, grids, xc_code, *args, **kwargs):
    if entry := seam.local_hybrid(xc_code):
        raise Unsupported(f"{entry.name} with two-component orbitals (GKS): {where_local()}")
    return original(ni, mol, grids, xc_code, *args, **kwargs)


def _kernel(original, mf, *args, **kwargs):
    """PySCF's SCF cycles."""
    if not _virtuals_can_wait(mf):
        return original(mf, *args, **kwargs)
    lib.logger.info(mf, "local exchange: levels and gaps of virtual orbitals are provisional until the last cycle")
    mf._numint._occupied_only = True
    try:
        converged, energy, levels, orbitals, occupations = original(
            mf, *args, **kwargs | {"callback": _with_whole_matrices(mf._numint, kwargs.get("callback"))})
    finally:
        mf._numint._occupied_only = False
    if not converged:
        lib.logger.note(mf, "local exchange: not converged; again with the whole Fock matrix")
        return original(mf, *args, **kwargs)
    dm, overlap = mf.make_rdm1(orbitals, occupations), mf.get_ovlp()
    levels, orbitals = mf.eig(mf.get_fock(dm=dm), overlap)
    occupations = mf.get_occ(levels, orbitals)
    if _moved(dm, mf.make_rdm1(orbitals, occupations), overlap) > SETTLED:
        lib.logger.note(mf, "local exchange: the filling of the levels is not settled; on with the whole Fock matrix")
        return original(mf, *args, **kwargs | {"dm0": dm})
    if mf.chkfile and kwargs.get("dump_chk", True):
        mf.dump_chk({"e_tot": energy, "mo_energy": levels, "mo_coeff": orbitals, "mo_occ": occupations})
    return converged, energy, levels, orbitals, occupations


def _moved(one, other, overlap: np.ndarray) -> float:
    """½ Σ_σ tr (D_σS − D′_σS)²: with whole occupations the electrons that are in no occupied orbital of the other."""
    change = np.reshape(np.subtract(one, other), (-1, *overlap.shape)) @ overlap
    return float(np.einsum("sij,sji->", change, change)) / (4 if np.ndim(one) == 2 else 2)


def _with_whole_matrices(ni, callback):
    """The user's function for each cycle, which sees whole Fock matrices where it asks for them."""
    def guarded(variables):
        ni._occupied_only = False
        callback(variables)
        ni._occupied_only = True

    return guarded if callable(callback) else callback


def _virtuals_can_wait(mf) -> bool:
    """Whether this is a calculation that nothing but PySCF looks into, and whose course needs no virtual levels."""
    plain = isinstance(mf, rks.RKS | uks.UKS) and not isinstance(mf, scf.rohf.ROHF)
    own = vars(mf).get("get_occ")
    lowest_first = isinstance(own, LowestFirst) or own is None and type(mf).get_occ.__module__.startswith("pyscf.")
    settings = not mf.level_shift and not getattr(mf, "sigma", None) and lowest_first and "get_fock" not in vars(mf)
    entry = seam.local_hybrid(getattr(mf, "xc", None))
    return plain and settings and mf.max_cycle > 0 and entry is not None and entry.xc_type == "MGGA"
