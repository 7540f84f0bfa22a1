"""Kohn–Sham objects with a functional of mlxc: PySCF's own, checked before anything is computed.

They are stock PySCF objects on purpose: every wrapper (density fitting, Newton, solvents, X2C, GPUs) then meets the
class it knows, and nothing of the functional can be lost on the way.
"""

import warnings

from pyscf import df, dft, gto
from pyscf.dft import libxc

from mlxc.errors import DomainWarning, InvalidInput, Unsupported
from mlxc.host import dispersion, seam
from mlxc.host.entry import where_local
from mlxc.structure import elements
from mlxc.zoo import outside_domain

#: The functional that is meant where none is named.
DEFAULT = "mlxc_rs"

#: What `pyscf.dft.libxc.define_xc_` sets in an integrator.
DEFINED = {"eval_xc", "eval_xc1", "eval_xc_eff", "hybrid_coeff", "rsh_coeff", "nlc_coeff", "_xc_type"}


def RKS(mol, xc: str = DEFAULT):
    """Restricted Kohn–Sham; restricted open-shell where ``mol.spin`` is not 0, as `pyscf.dft.RKS`."""
    return _create("RKS", mol, xc)


def UKS(mol, xc: str = DEFAULT):
    """Unrestricted Kohn–Sham."""
    return _create("UKS", mol, xc)


def ROKS(mol, xc: str = DEFAULT):
    """Restricted open-shell Kohn–Sham."""
    return _create("ROKS", mol, xc)


def GKS(mol, xc: str = DEFAULT):
    """Generalised (two-component, collinear) Kohn–Sham."""
    return _create("GKS", mol, xc)


def _create(kind: str, mol, xc: str):
    entry = seam.find(xc)
    _require_molecule(entry, kind == "GKS" or hasattr(mol, "lattice_vectors"))
    if isinstance(mol, gto.Mole):
        mf = getattr(dft, kind)(mol, xc=entry.name)
    elif hasattr(mol, "lattice_vectors"):
        from pyscf.pbc import dft as pbc_dft

        mf = getattr(pbc_dft, kind)(mol, xc=entry.name)
    else:
        raise InvalidInput(f"mol is a {type(mol).__name__}, expected a molecule: make one with pyscf.gto.M(...)")
    if _names_d4(xc):
        dispersion.require(entry.name)
        mf.disp = "d4"
    return mf


def _names_d4(xc: str) -> bool:
    """Whether D4 is asked for by the name, as in mlxc_rs-d4."""
    return xc.lower().strip().endswith("-d4")


def _require_molecule(entry, otherwise: bool):
    """Refuses two-component and periodic calculations with a local hybrid."""
    if otherwise and entry.is_local:
        raise Unsupported(f"{entry.name} with two-component orbitals or in a periodic system: {where_local()}")


def attach(mf, name: str, disp: bool = False):
    """Gives a Kohn–Sham object a functional of mlxc.

    Args:
        mf: any Kohn–Sham object of PySCF, before its calculation or after (it then has to run again).
        name: a functional of mlxc.
        disp: adds D4 with the parameters of the functional's card, as a name that ends in -d4 does; False leaves
            ``mf.disp`` as it is.

    Returns:
        ``mf`` itself. Density fitting in the basis that PySCF chose for a functional without exact exchange, which is
        for J alone, goes on in the one that it chooses for J and K.

    Raises:
        UnknownFunctional: no such functional.
        InvalidInput: ``mf`` is no Kohn–Sham object, evaluates its functional with another library or with one that
            ``define_xc_`` gave it, or has ``omega`` set.
        Unsupported: dispersion that cannot be computed.
    """
    entry = seam.find(name)
    if not isinstance(mf, dft.KohnShamDFT):
        raise InvalidInput(f"mf is a {type(mf).__name__}, expected a Kohn–Sham object: convert it with mf.to_ks()")
    library = getattr(mf._numint, "libxc", None)
    if library is not libxc and getattr(library, "__name__", None) != "gpu4pyscf.dft.libxc":
        raise InvalidInput(f"mf evaluates functionals with {getattr(library, '__name__', library)}, expected "
                           "pyscf.dft.libxc, or GPU4PySCF's: use a fresh mf")
    entry.require_omega(mf.omega)
    _require_own_integrator(mf)
    disp = disp or _names_d4(name)
    _require_molecule(entry, isinstance(mf, dft.gks.GKS) or hasattr(mf.mol, "lattice_vectors"))
    if disp:
        if hasattr(mf.mol, "lattice_vectors"):
            raise Unsupported("D4 of periodic systems: PySCF leaves it out of their gradients; use disp=False")
        dispersion.require(entry.name)
    for layer in seam.layers(mf):
        _fit_exchange_too(layer, entry.name)
        layer.xc = entry.name
        layer.converged = False
        layer.scf_summary = {}  # PySCF would take the dispersion energy from it
        if disp:
            layer.disp = "d4"
    return mf


def _require_own_integrator(mf):
    """Refuses an object whose integrator has a functional of its own, which it would use whatever ``mf.xc`` is."""
    if own := sorted(DEFINED & vars(mf._numint).keys()):
        raise InvalidInput(f"mf._numint.{own[0]} is not PySCF's own: define_xc_ gave mf a functional that it would "
                           f"compute in place of mf.xc = {mf.xc!r}; use a fresh mf")


def _fit_exchange_too(mf, xc: str):
    """Density fitting in PySCF's basis for the functional so far goes on in its basis for the new one."""
    fitting = getattr(mf, "with_df", None)
    if not isinstance(fitting, df.DF):
        return
    before, now = (df.addons.predefined_auxbasis(mf.mol, mf.mol.basis, name) for name in (mf.xc, xc))
    if before != now and fitting.auxbasis == before:
        mf.with_df = fitting.copy()
        mf.with_df.auxbasis = now
        mf.with_df.reset()


def install():
    """Wraps what every Kohn–Sham object of PySCF's does first when it starts."""
    seam.wrap(dft.KohnShamDFT, "dump_flags", start)


def start(original, mf, *args, **kwargs):
    """Warns of elements, charges and spins that the functional was not trained on; ghost atoms do not count.

    An earlier calculation's dispersion is forgotten, and what this one is of is noted. Integrals and grids of a
    molecule that was changed in place are PySCF's to forget: `mf.reset()`.
    """
    entry = seam.asked_for(mf.xc)
    if entry is not None:
        _require_own_integrator(mf)
    if entry is not None and entry.card is not None:
        for sentence in outside_domain(entry.card, elements(mf.mol), mf.mol.charge, mf.mol.spin):
            warnings.warn(sentence, DomainWarning, stacklevel=2)
    for layer in seam.layers(mf):
        getattr(layer, "scf_summary", {}).pop("dispersion", None)  # PySCF would go on with it
    mf._of = _of(mf)
    return original(mf, *args, **kwargs)


def require_result(mf, what: str):
    """Refuses an object without a converged calculation of its functional and molecule.

    Args:
        mf: a mean-field object.
        what: what needs the calculation.

    Raises:
        InvalidInput: it never ran, did not converge, or ``mf.xc`` or the molecule was changed since.
    """
    if mf.mo_coeff is None or not mf.converged:
        raise InvalidInput(f"{what}: mf has no converged energy: run mf.kernel() first, with more cycles "
                           "(mf.max_cycle) if it did not converge")
    ran = getattr(mf, "_of", None)
    if ran is None:  # Hartree–Fock, or orbitals from a file
        return
    (xc, system, places), (xc_now, system_now, places_now) = ran, _of(mf)
    if xc != xc_now:
        raise InvalidInput(f"{what}: mf was calculated with xc = {xc!r}, and mf.xc is {xc_now!r} now: run mf.kernel() "
                           "again")
    if system != system_now:
        raise InvalidInput(f"{what}: elements, basis, charge or spin of mf.mol are not those of the calculation: run "
                           "mf.kernel() again")
    if places != places_now:
        raise InvalidInput(f"{what}: the atoms are not where they were in the calculation: run mf.kernel() again")


def _of(mf) -> tuple[str, str, bytes]:
    """What a calculation is of: the functional's name, the molecule, and where its atoms are."""
    mol = mf.mol
    system = repr((mol.elements, mol.charge, mol.spin, mol._basis))
    return str(mf.xc).strip().lower(), system, mol.atom_coords().tobytes()
