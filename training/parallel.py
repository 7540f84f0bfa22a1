"""Several processes that share the species of a fit: `torchrun --nproc-per-node 2 -m training.train CONFIG …`.

Every process computes the energies and slopes of its own species; their sums over the processes are the same
everywhere, so that all processes take the same step. One process without torchrun is the case of size 1.
"""

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import torch
from torch import distributed

#: A process may wait this long for one that computes densities.
PATIENCE = timedelta(days=7)


@contextmanager
def processes() -> Iterator[None]:
    """Joins the processes that torchrun started; does nothing where it started none."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield
        return
    distributed.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield
    finally:
        distributed.destroy_process_group()


def rank() -> int:
    """Number of this process, from 0; it is number 0 that prints and writes files."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def size() -> int:
    """Number of processes."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def mine(key: str) -> bool:
    """Whether this process computes a species: the hash of its key says so, the same in every process and run."""
    return zlib.crc32(key.encode()) % size() == rank()


def total(array: np.ndarray) -> np.ndarray:
    """Sum of an array over the processes. Where each element is nonzero in one process only, the sum is exact."""
    if size() == 1:
        return array
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    distributed.all_reduce(tensor)
    return tensor.numpy()


def gathered(value: Any) -> list[Any]:
    """What every process gives, in the order of their numbers."""
    if size() == 1:
        return [value]
    found: list[Any] = [None] * size()
    distributed.all_gather_object(found, value)
    return found


def wait() -> None:
    """Until every process is here."""
    if size() > 1:
        distributed.barrier()
