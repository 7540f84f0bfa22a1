"""Nuclear gradients of local hybrids in PySCF's own gradient objects.

PySCF computes all but the local part: its functions for the semilocal part get the hidden name, and to the electronic
gradient of every class the local part's is added. Other users of these functions would leave the local part out, so
that outside of an electronic gradient they meet the public name, which the stock path refuses.
"""

from contextvars import ContextVar

from pyscf.grad import rhf, rks, rohf, roks, uhf, uks

from mlxc.errors import Unsupported
from mlxc.host import local, seam
from mlxc.host.arrays import device_of, in_order_with
from mlxc.host.local_gradient import local_gradient, with_elements

#: What PySCF's wrappers leave in a mean-field object.
WRAPPERS = ("with_df", "with_solvent", "with_x2c")

_inside: ContextVar[bool] = ContextVar("inside an electronic gradient", default=False)


def install():
    """Wraps PySCF's functions for the gradient of the XC energy, and the electronic gradients of its classes."""
    for module in (rks, uks):
        seam.wrap(module, "get_vxc", semilocal_part)
        seam.wrap(module, "get_vxc_full_response", with_response)
    for methods in (rhf, uhf, rohf, roks):
        seam.wrap(methods.Gradients, "grad_elec", with_local_part)


def semilocal_part(original, ni, mol, grids, xc_code, *args, **kwargs):
    entry = seam.local_hybrid(xc_code)
    if entry is not None and _inside.get():
        xc_code = entry.semilocal
    return original(ni, mol, grids, xc_code, *args, **kwargs)


def with_response(original, ni, mol, grids, xc_code, *args, **kwargs):
    if seam.search(xc_code) is not None:
        grids = with_elements(grids)
    return semilocal_part(original, ni, mol, grids, xc_code, *args, **kwargs)


def with_local_part(original, gradients, mo_energy=None, mo_coeff=None, mo_occ=None, atmlst=None):
    mf = gradients.base
    entry = seam.search(getattr(mf, "xc", None))
    if entry is not None:
        _require_one_energy(mf)
    if entry is None or not entry.is_local:
        return original(gradients, mo_energy, mo_coeff, mo_occ, atmlst)
    token = _inside.set(True)
    try:
        total = original(gradients, mo_energy, mo_coeff, mo_occ, atmlst)
    finally:
        _inside.reset(token)
    dm = mf.make_rdm1(mo_coeff, mo_occ)
    device = device_of(dm)
    with in_order_with(dm):
        part = local.part(mf._numint, gradients.mol, entry.on(device), gradients.max_memory, device)
        found = local_gradient(part, dm, gradients.grid_response).cpu().numpy()
    all_atoms = atmlst is None or device.type == "cuda"  # which is what GPU4PySCF gives, whatever atmlst says
    return total + (found if all_atoms else found[atmlst])


def _require_one_energy(mf):
    """A second-order solver takes energies from the object inside it, which wrappers around the solver do not reach."""
    inner = vars(mf).get("_scf")
    for key in WRAPPERS:
        if inner is not None and hasattr(mf, key) != hasattr(inner, key):
            raise Unsupported(f"mf.{key} was added after newton(), which computes energies without it, while forces "
                              "would be with it: call density_fit(), PCM() or x2c() before newton()")
