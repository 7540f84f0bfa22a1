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

from mlxc.errors import OutOfMemory

#: Where everything is unless something else is said, and where else it can be.
CPU, GPU = torch.device("cpu"), torch.device("cuda")

#: Memory of a GPU that torch may hold without using it, bytes.
IDLE = 2**31

#: CUDA's pointers to the stream that work goes to where no other is chosen.
DEFAULT_STREAM = (0, 1)

#: DLPack's numbers for memory of a GPU, and for memory that it shares with the host.
CUDA = (2, 13)


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
    if np.iscomplexobj(array):
        raise TypeError("the numbers are complex")
    if _is_cupy(array):
        return torch.from_dlpack(array.astype(np.float64, copy=False))
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
    """Whether it is CuPy's array, or one of a class made of it, as GPU4PySCF's with orbitals tagged."""
    return any(kind.__module__.partition(".")[0] == "cupy" for kind in type(array).__mro__)


def device_of(array) -> torch.device:
    """The device on which an array, or a sequence of arrays, is."""
    first = array[0] if isinstance(array, tuple | list) else array
    if isinstance(first, Tensor):
        return first.device
    kind, number = first.__dlpack_device__() if hasattr(first, "__dlpack_device__") else (0, 0)
    return torch.device("cuda", number) if kind in CUDA else CPU


@contextmanager
def in_order_with(array) -> Iterator[None]:
    """torch works where the host program does: on the array's device and CuPy's stream, or on the host's threads.

    On one stream nothing is read before it is written, and no memory is used again too early. Of the memory that torch
    holds for later it keeps IDLE at most, so that CuPy finds the rest.

    Raises:
        OutOfMemory: the device's memory does not do.
    """
    device = device_of(array)
    if device.type != "cuda":
        with host_threads():
            yield
        return
    pointer = sys.modules["cupy"].cuda.get_current_stream().ptr
    own = pointer in DEFAULT_STREAM  # of these torch would make a stream of its own
    stream = torch.cuda.default_stream(device) if own else torch.cuda.ExternalStream(pointer, device)
    try:
        with torch.cuda.device(device), torch.cuda.stream(stream):
            yield
            if torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device) > IDLE:
                torch.cuda.empty_cache()
    except torch.OutOfMemoryError as error:
        free = free_memory(device, 0.0)
        raise OutOfMemory(f"{device} has no memory left for the functional ({free:.0f} MB are free): use a smaller "
                          "basis or grid, a device with more memory, or the CPU (mf.to_cpu())") from error


def without_gpu() -> str:
    """Why torch cannot compute on a GPU, and what to do; nothing where it can."""
    if torch.cuda.is_available():
        return ""
    if torch.version.cuda is None:
        return (f"torch {torch.__version__} was built without CUDA: install it for the CUDA of this machine "
                "(https://pytorch.org/get-started)")
    return (f"torch {torch.__version__} finds no NVIDIA GPU: check that nvidia-smi lists one, that "
            f"CUDA_VISIBLE_DEVICES does not hide it, and that its driver is new enough for CUDA {torch.version.cuda}")


def free_memory(device: torch.device, host: float) -> float:
    """Memory that is left, MB: ``host`` on the CPU; on a GPU what is free once CuPy and torch keep nothing unused."""
    if device.type != "cuda":
        return host
    torch.cuda.empty_cache()
    sys.modules["cupy"].get_default_memory_pool().free_all_blocks()
    return torch.cuda.mem_get_info(device)[0] / 1e6


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


def over_blocks(device: torch.device) -> Callable:
    """How a function is applied to blocks of points: by threads on the CPU, one after another on other devices."""
    return parallel_map if device.type == "cpu" else map


os.register_at_fork(after_in_child=_workers.cache_clear)  # threads do not survive a fork
