"""libxc's answers: from pylibxc where it can be imported, otherwise from the libxc that PySCF carries."""

from itertools import combinations_with_replacement, product

import numpy as np

try:
    import pylibxc
except ImportError:
    pylibxc = None

_FAMILIES = {"lda": 1, "gga": 2, "mgga": 3}


def derivatives(components: tuple[str, ...], rho: np.ndarray, deriv: int) -> dict[tuple[int, ...], np.ndarray]:
    """Energy per electron, at (), and derivatives of the energy per volume of a sum of libxc functionals.

    Args:
        components: libxc's names, such as ("gga_x_pbe", "gga_c_pbe").
        rho: (5, n) or (2, 5, n): n, ∇n, τ.
        deriv: highest order, 0 to 3.

    Returns:
        For each non-decreasing tuple of variable numbers, in (n, σ, τ) or (n_a, n_b, σ_aa, σ_ab, σ_bb, τ_a, τ_b),
        an array of shape (n,). Variables that no component depends on are left out.
    """
    evaluate = _from_pyscf if pylibxc is None else _from_pylibxc
    total: dict[tuple[int, ...], np.ndarray] = {}
    for component in components:
        for index, values in evaluate(component, rho, deriv).items():
            total[index] = total.get(index, 0) + values
    return total


def _family(component: str) -> int:
    """How many of density, gradient and τ a functional takes."""
    return _FAMILIES[component.removeprefix("hyb_").split("_")[0]]


def _from_pyscf(component: str, rho: np.ndarray, deriv: int) -> dict:
    from pyscf.dft import libxc

    family, spin = _family(component), rho.ndim - 2
    rho = (rho[..., 0, :], rho[..., :4, :], rho)[family - 1]
    rows = libxc.eval_xc1(component, rho, spin, deriv)
    nvar = ((1, 2, 3), (2, 5, 7))[spin][family - 1]
    orders = (combinations_with_replacement(range(nvar), order) for order in range(deriv + 1))
    return dict(zip((index for order in orders for index in order), rows, strict=True))


def _from_pylibxc(component: str, rho: np.ndarray, deriv: int) -> dict:
    channels = rho[None] if rho.ndim == 2 else rho
    spin = len(channels)
    pairs = list(combinations_with_replacement(range(spin), 2))
    sigma = np.stack([(channels[i, 1:4] * channels[j, 1:4]).sum(0) for i, j in pairs], axis=-1)
    inputs = {"rho": channels[:, 0].T.copy(), "sigma": sigma, "tau": channels[:, 4].T.copy()}
    needed = tuple(inputs)[:_family(component)]
    orders = {f"do_{x}xc": order <= deriv for order, x in enumerate("evfk")}
    out = pylibxc.LibXCFunctional(component, spin).compute({k: inputs[k] for k in needed}, **orders)

    result = {(): out["zk"].ravel()}
    starts, sizes = (0, spin, spin + len(pairs)), (spin, len(pairs), spin)
    for order in range(1, deriv + 1):
        for kinds in combinations_with_replacement(range(len(needed)), order):
            powers = [(kind, kinds.count(kind)) for kind in sorted(set(kinds))]
            label = f"v{order if order > 1 else ''}" + "".join(needed[k] + (str(p) if p > 1 else "") for k, p in powers)
            blocks = (combinations_with_replacement(range(starts[k], starts[k] + sizes[k]), p) for k, p in powers)
            for column, parts in enumerate(product(*blocks)):
                result[sum(parts, ())] = out[label].reshape(rho.shape[-1], -1)[:, column]
    return result
