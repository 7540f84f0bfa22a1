"""GPU4PySCF's side of the seam: the same functionals by the same names, on the arrays' device.

What a functional is, GPU4PySCF asks PySCF's libxc module, where `seam` answers. Energies and derivatives on the grid
come from objects that its function `_init_xcfuns` makes of a name; for names of mlxc's it makes a `GridFunctional`
here. The local part of a local hybrid is added as on the CPU, by the functions of `numint` and `grad`. What knows
nothing of it (response, Hessians, periodic systems) meets the public name, which `GridFunctional` refuses; what never
evaluates a functional, and would take a local hybrid for Hartree–Fock, is refused by name.

Nothing here imports GPU4PySCF or CuPy: its modules are wrapped when somebody else imports them.
"""

import importlib
import importlib.abc
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib.machinery import ModuleSpec
from itertools import chain, combinations_with_replacement, groupby
from types import ModuleType

from torch import Tensor

from mlxc.errors import IncompatibleHost, Unsupported
from mlxc.host import dispersion, grad, ks, numint, seam
from mlxc.host.arrays import GPU, from_torch, in_order_with, to_torch, without_gpu
from mlxc.host.entry import VARIABLES, Registered, where_local
from mlxc.xc.density import require_finite, require_not_negative

#: GPU4PySCF versions that the hooks were made for.
VERSIONS = "1.9"

#: What a user without it should do.
INSTALL = ("install GPU4PySCF for the CUDA of this machine, for example pip install 'mlxc[gpu]', and torch for the "
           "same CUDA")


# ------------------------------------------------------------------------------------ functionals on the grid

#: libxc's kinds of variables, and how many of each there are, closed shell and spin-resolved.
COMPONENTS = {"rho": (1, 2), "sigma": (1, 3), "lapl": (1, 2), "tau": (1, 2)}


class GridFunctional:
    """What GPU4PySCF's `XCfun` is to a functional of libxc's: derivatives in libxc's variables, by libxc's labels."""

    on_gpu = True

    def __init__(self, entry: Registered, omega: float | None):
        """Args: entry; omega, GPU4PySCF's setting of the range separation, None where it was left alone."""
        self._entry, self._omega = entry, omega

    def compute(self, inp, output=None, do_exc=True, do_vxc=True, do_fxc=False, do_kxc=False, do_lxc=False) -> dict:
        """Energy per electron and derivatives of the energy per volume.

        Args:
            inp: arrays (n,) or (n, components) "rho", and "sigma" and "tau" where the type of functional has them.
            output, do_exc, do_lxc: as in GPU4PySCF, and without meaning here.
            do_vxc, do_fxc, do_kxc: first, second, third derivatives.

        Returns:
            Arrays (n,) "zk", and (n, components) "vrho", "v2rhosigma", …; None for derivatives in the Laplacian.
        """
        order = 3 if do_kxc else 2 if do_fxc else 1 if do_vxc else 0
        rho = inp["rho"]
        spin = int(rho.ndim == 2 and rho.shape[1] == 2)
        with in_order_with(rho):
            rows = self._entry.derivatives(_variables(inp, spin), order, self._omega)
            found = {label: None if places is None else from_torch(rows[places].T, rho)
                     for label, places in labels(self._entry.xc_type, spin, order).items()}
            return found | {"zk": from_torch(rows[0], rho)}


def _variables(inp, spin: int) -> tuple[Tensor, ...]:
    """The variables of a meta-GGA, checked as on the CPU; zero where the type of functional has none."""
    rho = to_torch(inp["rho"])
    require_not_negative(rho)
    columns = []
    for kind, components in COMPONENTS.items():
        if kind != "lapl":
            shape = (len(rho), components[spin])
            column = to_torch(inp[kind]).reshape(shape) if kind in inp else rho.new_zeros(shape)
            require_finite(column)
            columns += list(column.T)
    return tuple(columns)


def labels(xc_type: str, spin: int, order: int) -> dict[str, list[int] | None]:
    """libxc's labels, and the rows of `mlxc.xc.derivatives.xc_rows` that are their components.

    Args:
        xc_type: LDA, GGA or MGGA.
        spin: 0 closed shell, 1 spin-resolved.
        order: highest order.

    Returns:
        None in place of rows for derivatives in the Laplacian, which GPU4PySCF expects to find and does not read.
    """
    kinds = [kind for kind, components in COMPONENTS.items() if kind != "lapl" for _ in range(components[spin])]
    names = list(COMPONENTS)[: {"LDA": 1, "GGA": 2, "MGGA": 4}[xc_type]]
    found: dict[str, list[int] | None] = {}
    for chosen in _multisets(names, order):
        found[_label(chosen)] = None if "lapl" in chosen else []
    for row, index in enumerate(_multisets(range(len(kinds)), order)):
        if max(index, default=0) < VARIABLES[xc_type][spin]:
            found[_label([kinds[i] for i in index])].append(row)  # type: ignore[union-attr]
    return found


def _multisets(items: Iterable, order: int) -> Iterator[tuple]:
    """Those of up to ``order`` items, in the order of the rows of `mlxc.xc.derivatives.xc_rows`."""
    return chain.from_iterable(combinations_with_replacement(items, m) for m in range(order + 1))


def _label(kinds) -> str:
    """zk, vrho, v2rhosigma, v3sigma2tau, …"""
    powers = "".join(kind + (str(n) if (n := len(list(same))) > 1 else "") for kind, same in groupby(kinds))
    return f"v{len(kinds) if len(kinds) > 1 else ''}{powers}" if powers else "zk"


# --------------------------------------------------------------------------------------------- wrapping

_INTEGRATE = ("ni", "mol", "grids", "xc_code", "dms", "relativity", "hermi", "max_memory", "verbose")


def _init_xcfuns(original, xc_code, spin, omega=None):
    """[(functional, factor)] of a name."""
    entry = seam.search(xc_code)
    return original(xc_code, spin, omega) if entry is None else [(GridFunctional(entry, omega), 1.0)]


def _refuse(original, owner, *args, **kwargs):
    """Excitations by exact exchange alone: the fraction is all they ask a functional for."""
    if entry := seam.local_hybrid(getattr(getattr(owner, "_scf", owner), "xc", None)):
        raise Unsupported(f"{entry.name} in {original.__qualname__}, which leaves its local exchange out: "
                          f"{where_local(GPU)}")
    return original(owner, *args, **kwargs)


#: Functions that are wrapped: what by, and the parameters they must have first.
HOOKS: dict[str, tuple[Callable, tuple[str, ...]]] = {
    "dft.numint._init_xcfuns": (_init_xcfuns, ("xc_code", "spin", "omega")),
    "dft.numint.NumInt.nr_rks": (numint.closed_shell, _INTEGRATE),
    "dft.numint.NumInt.nr_uks": (numint.xc_matrix, _INTEGRATE),
    "dft.numint.NumInt.to_cpu": (numint.same_settings, ("self",)),
    "dft.rks.KohnShamDFT.dump_flags": (ks.start, ("self",)),
    "grad.rks.get_exc": (grad.semilocal_part, _INTEGRATE[:5]),
    "grad.rks.get_exc_full_response": (grad.semilocal_part, _INTEGRATE[:5]),
    "grad.uks.get_exc": (grad.semilocal_part, _INTEGRATE[:5]),
    "grad.uks.get_exc_full_response": (grad.semilocal_part, _INTEGRATE[:5]),
    "grad.rhf.Gradients.grad_elec": (grad.with_local_part, ("mf_grad", "mo_energy", "mo_coeff", "mo_occ", "atmlst")),
    "grad.uhf.Gradients.grad_elec": (grad.with_local_part, ("mf_grad", "mo_energy", "mo_coeff", "mo_occ", "atmlst")),
    "grad.tdrhf.Gradients.kernel": (dispersion.excited_state_gradient, ("self",)),
    "grad.tduhf.Gradients.kernel": (dispersion.excited_state_gradient, ("self",)),
    "grad.tdrks_ris.Gradients.kernel": (dispersion.excited_state_gradient, ("self",)),
    "tdscf.ris.RisBase.build": (_refuse, ("self",)),
    "tdscf.ris.RisBase.get_ab": (_refuse, ("self",)),
    "tdscf.uhf.gen_uhf_response_sf": (_refuse, ("mf",)),
    "tdscf.uhf.get_ab_sf": (_refuse, ("mf",)),
}


def install():
    """Wraps GPU4PySCF's functions when it is imported, or now if it already is."""
    when_imported("gpu4pyscf", wrap_all)
    when_imported("gpu4pyscf.dispersion.dftd4", dispersion.know_the_cards)
    when_imported("gpu4pyscf.scf.soscf", lambda soscf: seam.wrap(soscf._CIAH_SOSCF, "build", seam.build_second_order))


def wrap_all(package: ModuleType):
    """Wraps the functions of the imported package.

    Raises:
        IncompatibleHost: one of them is missing or takes other parameters.
    """
    for path, (_, expected) in HOOKS.items():
        owner, name = _owner(package, path)
        found = tuple(inspect.signature(getattr(owner, name)).parameters)
        if found[: len(expected)] != expected:
            raise _incompatible(package, f"{path} takes ({', '.join(found)}), expected ({', '.join(expected)})")
    for path, (hook, _) in HOOKS.items():
        seam.wrap(*_owner(package, path), hook)


def _owner(package: ModuleType, path: str) -> tuple[object, str]:
    *parts, name = path.split(".")
    owner: object = package
    for part in parts:
        owner = getattr(owner, part, None)
    if not callable(getattr(owner, name, None)):
        raise _incompatible(package, f"{path} is missing")
    return owner, name


def _incompatible(package: ModuleType, what: str) -> IncompatibleHost:
    version = getattr(package, "__version__", "of an unknown version")
    return IncompatibleHost(f"GPU4PySCF {version} cannot take mlxc's functionals: {what}. mlxc is made for GPU4PySCF "
                            f"{VERSIONS}: pip install 'mlxc[gpu]', or import gpu4pyscf without mlxc")


def when_imported(name: str, act: Callable[[ModuleType], object]):
    """Calls a function with a module once it is imported: now, or after whoever imports it."""
    if name in sys.modules:
        act(sys.modules[name])
    elif not any(isinstance(finder, _Waiting) and finder.name == name for finder in sys.meta_path):
        sys.meta_path.insert(0, _Waiting(name, act))


class _Waiting(importlib.abc.MetaPathFinder):
    """Finds nothing itself, but lets a function follow the import of one module."""

    def __init__(self, name: str, act: Callable[[ModuleType], object]):
        self.name, self._act = name, act

    def find_spec(self, fullname, path=None, target=None) -> ModuleSpec | None:
        if fullname != self.name:
            return None
        others = (finder.find_spec(fullname, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((found for found in others if found is not None), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType):
                execute(module)
                self._act(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


# -------------------------------------------------------------------------------------------- a GPU at hand?

def require():
    """Makes sure that calculations on a GPU can be made.

    Raises:
        Unsupported: GPU4PySCF or CuPy is missing or does not load, there is no GPU, or torch cannot use it.
    """
    try:
        cupy = importlib.import_module("cupy")
    except ImportError as error:
        raise Unsupported(f"no calculation on a GPU without CuPy ({error}): {INSTALL}") from error
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # CuPy's own, of many kinds
        raise Unsupported(f"CuPy {cupy.__version__} reaches no GPU ({error}): is there one (nvidia-smi), is its driver "
                          "new enough for CuPy's CUDA, and does CUDA_VISIBLE_DEVICES leave one?") from error
    if not count:
        raise Unsupported("there is no GPU: nvidia-smi lists them, and CUDA_VISIBLE_DEVICES may hide them")
    try:
        importlib.import_module("gpu4pyscf")
    except IncompatibleHost:
        raise
    except Exception as error:  # a missing package, or a library for another CUDA
        raise Unsupported(f"GPU4PySCF cannot be imported ({type(error).__name__}: {error}): {INSTALL}") from error
    if reason := without_gpu():
        raise Unsupported(f"no calculation on a GPU: {reason}")


def versions() -> dict[str, str]:
    """Of what computes on a GPU, once it is imported."""
    return {name: sys.modules[name].__version__ for name in ("gpu4pyscf", "cupy")}
