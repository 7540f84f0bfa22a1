"""Arrays of the host program (numpy, cupy) as torch tensors and back, and the threads they are worked on with."""

import functools
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch
from pyscf import lib
from torch import Tensor


def to_torch(array) -> Tensor:
    """The array as a float64 tensor on the array's own device.

    Args:
        array: numpy or cupy array of any real type, a tensor, or a sequence of equally shaped arrays, which is
            stacked along a new first axis (PySCF passes the two spin densities so).

    Returns:
        Tensor that shares the array's memory where that is float64 and writable, a copy otherwise; never write
        into it.

    Raises:
        TypeError, ValueError, RuntimeError: complex numbers, none at all, or a sequence of different shapes.
    """
    if isinstance(array, Tensor):
        return array.detach().to(torch.float64)
    if isinstance(array, tuple | list):
        return torch.stack([to_torch(a) for a in array])
    if _is_cupy(array):
        return torch.from_dlpack(array.astype(np.float64, copy=False))
    if np.iscomplexobj(array):
        raise TypeError("the numbers are complex")
    array = np.asarray(array, dtype=np.float64)
    if not array.flags.writeable or min(array.strides, default=0) < 0:
        array = array.copy()  # torch has neither read-only memory nor negative strides
    return torch.from_numpy(array)


def from_torch(tensor: Tensor, like):
    """The tensor as an array of the kind of ``like``: cupy for cupy, numpy otherwise; shares the tensor's memory."""
    tensor = tensor.detach()
    first = like[0] if isinstance(like, tuple | list) else like
    return sys.modules["cupy"].from_dlpack(tensor) if _is_cupy(first) else tensor.cpu().numpy()


def _is_cupy(array) -> bool:
    return type(array).__module__.partition(".")[0] == "cupy"


@contextmanager
def host_threads() -> Iterator[None]:
    """Gives torch as many threads as PySCF uses, and its own number back afterwards.

    The two never compute at the same time, so that equal numbers fill the machine without oversubscribing it.
    """
    before, wanted = torch.get_num_threads(), lib.num_threads()
    if before == wanted:
        yield
        return
    torch.set_num_threads(wanted)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def parallel_map(function: Callable, items: Iterable) -> Iterator:
    """`map` on as many threads as PySCF uses, in order; each works with one torch thread of its own.

    For many small operations on blocks of points: torch's own threads would meet after each of them, and wait for one
    another where the machine is busy.
    """
    return _workers(lib.num_threads()).map(function, items)


@functools.cache
def _workers(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, "mlxc", initializer=torch.set_num_threads, initargs=(1,))


os.register_at_fork(after_in_child=_workers.cache_clear)  # threads do not survive a fork
