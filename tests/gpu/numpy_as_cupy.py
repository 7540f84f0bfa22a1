"""NumPy in the place of CuPy, and nothing in the place of CUDA's libraries, so that GPU4PySCF's Python code runs.

What it does between kernels is then real: its classes, its dispatch by names, its transformations of derivatives.
Everything that launches a kernel (integrals, orbitals on the grid, Fock matrices) gives nothing of use.
"""

import ctypes
import importlib.abc
import importlib.machinery
import sys
import types
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np


class Array(np.ndarray):
    """What `cupy.ndarray` is to GPU4PySCF."""

    __module__ = "cupy"

    def get(self) -> np.ndarray:
        """The copy in the host's memory."""
        return np.array(self)


def as_array(found):
    """Results of NumPy's as this module's arrays."""
    return found.view(Array) if isinstance(found, np.ndarray) else found


class Module(types.ModuleType):
    """`cupy`, or one of its modules: NumPy's functions and types by their names, mocks for what NumPy lacks."""

    __version__ = "14"
    ndarray, newaxis, double = Array, None, np.float64

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        own = getattr(np, name, None)
        if own is None:
            own = MagicMock(name=f"cupy.{name}")
        elif not isinstance(own, type):
            function = own

            def own(*args, **kwargs):
                return as_array(function(*args, **kwargs))

        setattr(self, name, own)
        return own

    @staticmethod
    def asnumpy(array):
        return np.asarray(array)

    @staticmethod
    def fuse(*_, **__):
        return lambda function: function


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds `cupy` and what comes with it."""

    def find_spec(self, fullname, path=None, target=None):
        found = fullname.partition(".")[0] in ("cupy", "cupyx", "cupy_backends")
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True) if found else None

    def create_module(self, spec):
        module = Module(spec.name)
        module.__path__ = []
        return module

    def exec_module(self, module):
        pass


def install(folder: Path):
    """Puts everything in its place.

    Args:
        folder: an empty one, where GPU4PySCF looks for libraries of CUDA.
    """
    import pyscf.dft
    import pyscf.pbc.dft  # with their own libraries, before all others are mocks

    libxc = ctypes.CDLL(str(Path(pyscf.lib.__file__).parent / "deps" / "lib" / "libxc.so"))
    np.ctypeslib.load_library = lambda name, path: libxc if name == "libxc" else MagicMock(name=str(name))
    load = ctypes.CDLL
    ctypes.CDLL = lambda name, *args, **kwargs: (  # type: ignore[misc,assignment]
        MagicMock(name=str(name)) if "libcu" in str(name) else load(name, *args, **kwargs))
    for place in ("nvidia/cusolver/lib", "gpu4pyscf/lib/deps/lib"):
        (folder / place).mkdir(parents=True)
    sys.path.append(str(folder))
    sys.meta_path.insert(0, Finder())
    import cupy

    cupy.cuda = sys.modules["cupy.cuda"] = MagicMock()
    runtime = cupy.cuda.runtime
    runtime.getDeviceCount.return_value = 1
    runtime.getDeviceProperties.return_value = {"totalGlobalMem": 2**36, "sharedMemPerBlockOptin": 2**17,
                                                "sharedMemPerBlock": 2**15, "multiProcessorCount": 100}
    runtime.memGetInfo.return_value = (2**35, 2**36)


def replace_kernels():
    """NumPy for the kernels between a density and its functional's derivatives."""
    from gpu4pyscf.dft import numint, xc_deriv

    for module in (numint, xc_deriv):
        module.ndarray = _array_in
    numint.batched_vec_norm2 = lambda a, out=None: as_array(np.einsum("gx,gx->g", a, a))
    numint.batched_vec_dot = lambda a, b, out=None: as_array(np.einsum("gx,gx->g", a, b))


def _array_in(shape, dtype=np.float64, buffer=None):
    """An array in another one's memory, as GPU4PySCF's `ndarray`."""
    if buffer is None:
        return as_array(np.empty(shape))
    count = int(np.prod(shape))
    assert buffer.nbytes >= 8 * count
    return as_array(np.ctypeslib.as_array((ctypes.c_double * count).from_address(buffer.ctypes.data)).reshape(shape))
