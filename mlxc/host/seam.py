"""The seam: functionals registered by name in PySCF's libxc module, after which stock PySCF objects use them.

Every PySCF method asks the module `pyscf.dft.libxc` two kinds of question about the string in ``mf.xc``: what the
functional is (its type, its share of exact exchange), and its energy and derivatives on the grid. The first are
answered by an object in libxc's own tables of custom functionals, the second by one wrapped function, `_eval_xc`.
Names that libxc's parser does not know pass through `_get_system_xc`, where misspelled names and mixtures with
other functionals are refused. These are private functions of PySCF, verified when this module is imported.
"""

import difflib
import functools
import inspect
import math
import re
from collections.abc import Callable

from pyscf import __version__ as pyscf_version
from pyscf.dft import libxc
from pyscf.soscf import newton_ah

from mlxc.errors import IncompatibleHost, InvalidInput, UnknownFunctional, Unsupported
from mlxc.host.entry import MAX_DERIVATIVE, SEMILOCAL, VARIABLES, Registered
from mlxc.suggest import did_you_mean

#: PySCF versions that the host tests ran on.
TESTED_VERSIONS = "2.14"


# ---------------------------------------------------------------------------------------------- names

_registered: dict[str, Registered] = {}

#: Semilocal parts by their own names, which nobody asks for but mlxc.
_parts: dict[str, Registered] = {}


#: What PySCF's nr_rks and nr_uks look for in the name of a meta-GGA to refuse it.
TAKEN_FOR_LAPLACIANS = ("cc06", "cs", "br89", "mk00")


def register(functional) -> str:
    """Makes a functional usable by its name in every PySCF object; a second call with the same name replaces it.

    Args:
        functional: has name, xc_type, omega, sr_fraction, lr_fraction and ``edens(density)``.

    Returns:
        The name, for ``mf.xc``.

    Raises:
        InvalidInput: the name is not lower case letters, digits and underscores, or is one of libxc's.
    """
    return register_name(functional.name, lambda: functional)


def register_name(name: str, load: Callable) -> str:
    """As `register`, with the functional loaded by ``load()`` when it is first asked about."""
    if not re.fullmatch(r"[a-z0-9_]+", name):
        raise InvalidInput(f"{name!r} is no name for a functional: PySCF needs lower-case letters, digits and "
                           "underscores")
    if SEMILOCAL in name:
        raise InvalidInput(f"{name!r} contains {SEMILOCAL!r}, which is mlxc's own: choose another name")
    if taken := [part for part in TAKEN_FOR_LAPLACIANS if part in name]:
        raise InvalidInput(f"{name!r} contains {taken[0]!r}, which PySCF takes for functionals of ∇²n and refuses in "
                           "UKS: choose another name")
    if name not in _registered and _libxc_knows(name):
        raise InvalidInput(f"{name!r} is a name of libxc's: registering it would change what PySCF computes for it; "
                           "choose another name")
    part = name + SEMILOCAL
    _registered[name] = libxc._CUSTOM_FUNC_R[name] = libxc._CUSTOM_FUNC_U[name] = Registered(name, load)
    _parts[part] = libxc._CUSTOM_FUNC_R[part] = libxc._CUSTOM_FUNC_U[part] = Registered(part, load, semilocal_only=True)
    return name


def names() -> list[str]:
    """The names registered so far."""
    return sorted(_registered)


def find(xc: str) -> Registered:
    """The functional of a name, in upper or lower case, with or without ``-d4``.

    Raises:
        UnknownFunctional: no functional has this name; the closest one is suggested.
        Unsupported: the string combines a functional of mlxc with something else.
    """
    if not isinstance(xc, str):
        raise InvalidInput(f"the functional is {xc!r}, expected its name: one of {', '.join(names())}")
    found = asked_for(xc)
    if found is None:
        raise _unknown(xc)
    return found


def asked_for(xc) -> Registered | None:
    """As `search`, of a user's setting, which may not name a part."""
    found = search(xc)
    if found is not None and found.name in _parts:
        raise _unknown(xc)
    return found


def search(xc) -> Registered | None:
    """The functional of mlxc that an xc setting names, None for one that is libxc's business; raises as `find`."""
    if isinstance(xc, tuple | list):
        xc = ",".join(map(str, xc))
    if not isinstance(xc, str):
        return None
    name = xc.strip().lower()
    if name in _registered or name in _parts:
        return _registered.get(name) or _parts[name]
    if name.endswith(".toml"):
        raise UnknownFunctional(f"{xc!r} is the path of a model: mlxc.register(mlxc.load({xc!r})) gives PySCF its "
                                "name, and returns it")
    ours = [t for t in re.findall(r"[a-z_][a-z0-9_]*", name) if t in _registered or t.startswith("mlxc")]
    if not ours:
        return None
    for term in ours:
        if term not in _registered:
            raise _unknown(name if re.fullmatch(r"[a-z0-9_-]+", name) else term)
    term = ours[0]
    if name == f"{term}-d4":
        return _registered[term]
    if name.startswith(f"{term}-d"):
        raise Unsupported(f"xc = {xc!r}: the dispersion of {term} is D4 with the parameters of its model card; write "
                          f"xc = {term!r} with mf.disp = 'd4', or without dispersion")
    raise Unsupported(f"xc = {xc!r} combines {term} with something else; {term} is a whole exchange-correlation "
                      f"functional and has no parts to mix: write xc = {term!r}")


def local_hybrid(xc) -> Registered | None:
    """The local hybrid that an xc setting names, None for anything else."""
    found = search(xc)
    return found if found is not None and found.is_local else None


def _unknown(name: str) -> UnknownFunctional:
    return UnknownFunctional(f"mlxc has no functional {name!r}{did_you_mean(name.replace('-', '_'), names())} "
                             f"Functionals: {', '.join(names()) or 'none'}")


def _libxc_knows(name: str) -> bool:
    try:
        libxc.parse_xc(name)
    except (KeyError, ValueError, NotImplementedError):
        return False
    return True


# ------------------------------------------------------------------------------- PySCF's side of the seam

#: Functions of pyscf.dft.libxc that the seam wraps or relies on, with the parameters they must have.
_SIGNATURES = {
    "_eval_xc": ("xc_code", "rho", "spin", "deriv", "omega"),
    "eval_xc1": ("xc_code", "rho", "spin", "deriv", "omega"),
    "_get_xc": ("xc_code", "spin", "omega"),
    "_get_system_xc": ("xc_code", "spin", "omega"),
    "define_xc_": ("ni", "description", "xctype", "hyb", "rsh"),
    "test_deriv_order": ("xc_code", "deriv", "raise_error"),
    "xc_reference": ("xc_code",),
    "_libxc_to_xcfun_indices": ("xctype", "spin", "deriv"),
}


def verify_host(module=libxc):
    """Checks that PySCF's libxc module has the hooks that the seam uses.

    Raises:
        IncompatibleHost: it has not; the message names the versions that do.
    """
    for table in ("_CUSTOM_FUNC_R", "_CUSTOM_FUNC_U"):
        if not isinstance(getattr(module, table, None), dict):
            raise _incompatible(f"pyscf.dft.libxc.{table} is missing")
    for name, expected in _SIGNATURES.items():
        function = getattr(module, name, None)
        if not callable(function):
            raise _incompatible(f"pyscf.dft.libxc.{name} is missing")
        found = tuple(inspect.signature(function).parameters)
        if found != expected:
            raise _incompatible(f"pyscf.dft.libxc.{name} takes ({', '.join(found)}), expected ({', '.join(expected)})")
    order = module._libxc_to_xcfun_indices("MGGA", 1, MAX_DERIVATIVE)
    if sorted(order) != list(range(math.comb(VARIABLES["MGGA"][1] + MAX_DERIVATIVE, MAX_DERIVATIVE))):
        raise _incompatible("libxc's order of derivatives changed")


def _incompatible(what: str) -> IncompatibleHost:
    return IncompatibleHost(f"PySCF {pyscf_version} cannot take mlxc's functionals: {what}. mlxc works with PySCF "
                            f"{TESTED_VERSIONS}: pip install 'pyscf==2.14.*'")


def install():
    """Wraps libxc's functions, once; what they do for libxc's own functionals stays as it was."""
    verify_host()
    for hook in (_eval_xc, _get_system_xc, define_xc_, test_deriv_order, xc_reference):
        wrap(libxc, hook.__name__, hook)
    wrap(newton_ah._CIAH_SOSCF, "build", build_second_order)


def wrap(owner, name: str, hook: Callable):
    """Replaces ``owner.name`` by ``hook(original, ...)``; again replaces the wrapper, not what it wraps."""
    original = getattr(owner, name)
    original = getattr(original, "wrapped_by_mlxc", original)

    @functools.wraps(original)
    def wrapper(*args, **kwargs):
        return hook(original, *args, **kwargs)

    wrapper.wrapped_by_mlxc = original  # type: ignore[attr-defined]
    setattr(owner, name, wrapper)


def _eval_xc(original, xc_code, rho, spin=0, deriv=1, omega=None):
    xc = libxc._get_xc(xc_code, spin, omega)
    if isinstance(xc, Registered):
        return xc.rows(rho, spin, deriv, omega)
    return original(xc_code, rho, spin, deriv, omega)


def _get_system_xc(original, xc_code, spin, omega=None):
    """Called for names that no table of custom functionals holds: other spellings of ours, or libxc's."""
    found = search(xc_code)
    if found is not None:
        return found
    try:
        return original(xc_code, spin, omega)
    except KeyError:
        if isinstance(xc_code, str) and difflib.get_close_matches(xc_code.lower(), _registered, n=1, cutoff=0.75):
            raise _unknown(xc_code) from None
        raise


def define_xc_(original, ni, description, *args, **kwargs):
    """PySCF's way to define a functional from a string forgets its exact exchange."""
    if search(description):
        raise Unsupported(f"define_xc_ would lose the exact exchange of {description}: set mf.xc = {description!r}")
    return original(ni, description, *args, **kwargs)


def layers(mf) -> list:
    """``mf``, and the object inside it with which a second-order solver computes its energies."""
    inner = vars(mf).get("_scf")
    return [mf] if inner is None else [mf, *layers(inner)]


def build_second_order(original, mf, *args, **kwargs):
    """A second-order solver takes energies from the object inside it, which settings made later do not reach."""
    ours = any(search(getattr(layer, "xc", None)) for layer in (mf, mf._scf))
    for key, method in (("with_solvent", "PCM()"), ("with_x2c", "x2c()")):
        if ours and hasattr(mf, key) and not hasattr(mf._scf, key):
            raise Unsupported(f"{method} came after newton(), whose energies would be computed without it: call "
                              f"{method} before newton()")
    for key in ("xc", "disp"):
        outside, inside = getattr(mf, key, None), getattr(mf._scf, key, None)
        if ours and outside != inside:
            raise Unsupported(f"mf.{key} was set to {outside!r} after newton(), whose energies are still computed with "
                              f"{inside!r}: set it before newton(), or use mlxc.attach")
    return original(mf, *args, **kwargs)


def test_deriv_order(original, xc_code, deriv, raise_error=False):
    xc = libxc._get_xc(xc_code)
    if not isinstance(xc, Registered):
        return original(xc_code, deriv, raise_error)
    if raise_error:
        xc.require_derivative(deriv)
    return deriv <= xc.max_deriv_order


def xc_reference(original, xc_code):
    xc = libxc._get_xc(xc_code)
    if not isinstance(xc, Registered):
        return original(xc_code)
    said = f"{xc.card['version']}: {xc.card['description']}" if xc.card else "registered with mlxc"
    return [f"{xc.name} {said}"]
