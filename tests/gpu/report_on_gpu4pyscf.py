"""Runs GPU4PySCF's Python code with mlxc's functionals, with NumPy for CuPy; prints what came out, as JSON.

A program of its own: it replaces modules for the whole process.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np

import mlxc
from tests.gpu import numpy_as_cupy

warnings.simplefilter("ignore")
numpy_as_cupy.install(Path(sys.argv[1]))

import cupy  # noqa: E402
import gpu4pyscf  # noqa: E402
from gpu4pyscf.dft import numint as gpu_numint  # noqa: E402
from pyscf import dft, gto  # noqa: E402
from pyscf.dft import numint  # noqa: E402

numpy_as_cupy.replace_kernels()


def densities() -> np.ndarray:
    """Rows of both spins of OH, (2, 5, n)."""
    mol = gto.M(atom="O 0 0 0; H 0.3 0.4 0.8", basis="def2-svp", spin=1, verbose=0)
    mf = dft.UKS(mol, xc="pbe").set(max_cycle=3).run()
    ao = numint.eval_ao(mol, mf.grids.coords[::50], 1)
    return np.array([mf._numint.eval_rho(mol, ao, dm, xctype="MGGA", with_lapl=False) for dm in mf.make_rdm1()])


def derivatives(name: str) -> dict[str, float]:
    """Largest difference from PySCF, relative to the largest number, by spin, order asked for and order."""
    found, rho = {}, densities()
    for spin in (0, 1):
        rows = rho if spin else rho.sum(0)
        for order in range(4):
            there = gpu_numint.NumInt().eval_xc_eff(name, cupy.asarray(rows), order, xctype="MGGA", spin=spin)
            here = numint.NumInt().eval_xc_eff(name, rows, order, xctype="MGGA", spin=spin)
            for m, (x, y) in enumerate(zip(there[:order + 1], here[:order + 1], strict=True)):
                assert x.shape == y.shape and type(x) is cupy.ndarray, (spin, order, m)
                found[f"spin {spin}, order {m} of {order}"] = float(abs(np.asarray(x) - y).max() / abs(y).max())
    return found


def refusal(name: str) -> str:
    """The error for a name."""
    try:
        gpu_numint.NumInt().eval_xc_eff(name, cupy.asarray(densities()), 1, xctype="MGGA", spin=1)
    except mlxc.MlxcError as error:
        return f"{type(error).__name__}: {error}"
    return "computed"


def refusals() -> list[str]:
    """What would take a local hybrid for Hartree–Fock."""
    from gpu4pyscf.tdscf import ris
    from gpu4pyscf.tdscf import uhf as spin_flip

    mf, said = gpu4pyscf.dft.UKS(gto.M(atom="O 0 0 0; H 0 0 0.97", spin=1, verbose=0), xc="mlxc_lh"), []
    mf.mo_coeff = mf.mo_occ = mf.mo_energy = np.zeros((2, 1))
    for attempt in (lambda: ris.TDA(mf).build(), lambda: ris.TDA(mf).get_ab(),
                    lambda: spin_flip.gen_uhf_response_sf(mf, collinear="col"),
                    lambda: spin_flip.get_ab_sf(mf, collinear="col")):
        try:
            attempt()
        except mlxc.Unsupported as error:
            said.append(str(error))
    return said


def travelled(mf) -> dict[str, str]:
    """Classes and functionals after `to_gpu` and back."""
    there = mf.to_gpu()
    back = there.to_cpu()
    return {"gpu": f"{type(there).__module__}.{type(there).__name__}", "cpu": str(type(back) is type(mf)),
            "xc": there.xc, "back": back.xc, "local": str(getattr(there._numint, "_local_settings", "")),
            "local back": str(getattr(back._numint, "_local_settings", ""))}


def main():
    anion = gto.M(atom="O 0 0 0; H 0 0 0.97", basis="def2-svp", charge=-1, verbose=0)
    ni = gpu_numint.NumInt()
    objects = {"plain": mlxc.RKS(anion), "unrestricted": mlxc.UKS(anion), "fitted": mlxc.RKS(anion).density_fit(),
               "solvent": mlxc.UKS(anion).density_fit().PCM(),
               "local": mlxc.set_local_exchange(mlxc.UKS(anion, "mlxc_lh"), grid_level=2)}
    by_name = gpu4pyscf.dft.RKS(anion, xc="mlxc_rs")
    by_name.disp = "d4"
    print(json.dumps({
        "derivatives": derivatives("mlxc_rs"),
        "refused": {name: refusal(name) for name in ("mlxc_lh", "mlxc_rs + pbe", "mlxc_r")},
        "excitations": refusals(),
        "semilocal": refusal("mlxc_lh__semilocal"),
        "answers": [ni._xc_type("mlxc_rs"), *ni.rsh_and_hybrid_coeff("mlxc_rs"), ni.libxc.is_hybrid_xc("mlxc_rs"),
                    ni.libxc.is_nlc("mlxc_rs")],
        "travelled": {name: travelled(mf) for name, mf in objects.items()},
        "dispersion": [float(by_name.get_dispersion()), mlxc.dispersion_energy(anion, "mlxc_rs")],
        "attached": mlxc.attach(gpu4pyscf.dft.UKS(anion), "mlxc_rs").xc,
    }))


if __name__ == "__main__":
    main()
