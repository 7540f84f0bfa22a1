import sys
import types
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from pyscf import lib

from mlxc.errors import OutOfMemory
from mlxc.host import arrays
from mlxc.host.arrays import device_of, from_torch, host_threads, in_order_with, parallel_map, to_torch


def test_float64_arrays_are_not_copied():
    array = np.arange(6.0).reshape(2, 3)
    assert to_torch(array).numpy().__array_interface__["data"] == array.__array_interface__["data"]


@pytest.mark.parametrize("array", [
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.arange(6, dtype=np.int64).reshape(2, 3),
    np.arange(12.0).reshape(2, 6)[:, ::2],
    np.arange(6.0).reshape(2, 3)[:, ::-1],
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.broadcast_to(np.arange(3.0), (2, 3)),
])
def test_any_real_array_keeps_its_values(array):
    assert to_torch(array).dtype == torch.float64
    np.testing.assert_array_equal(to_torch(array).numpy(), array)


def test_a_tuple_of_two_spins_is_stacked():
    a, b = np.ones((5, 4)), np.zeros((5, 4))
    assert to_torch((a, b)).shape == (2, 5, 4)


def test_the_way_back_is_writable_numpy():
    array = from_torch(torch.ones(3, dtype=torch.float64, requires_grad=True), like=np.zeros(3))
    array *= 0.5
    assert array.tolist() == [0.5] * 3


def test_torch_gets_the_hosts_threads_and_its_own_back():
    before = torch.get_num_threads()
    with lib.with_omp_threads(before + 1), host_threads():
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_threads_come_back_after_an_error():
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), lib.with_omp_threads(before + 1), host_threads():
        raise ZeroDivisionError
    assert torch.get_num_threads() == before


def test_parallel_map_keeps_the_order_and_each_worker_has_one_thread():
    before = torch.get_num_threads()
    with lib.with_omp_threads(2):
        assert list(parallel_map(lambda i: (i, torch.get_num_threads()), range(20))) == [(i, 1) for i in range(20)]
    assert torch.get_num_threads() == before


def test_parallel_map_passes_errors_on():
    with pytest.raises(ZeroDivisionError):
        list(parallel_map(lambda i: 1 / i, [1, 0]))


class Stand(np.ndarray):
    """NumPy's array with the class name and the device of CuPy's."""

    def __dlpack_device__(self):
        return 2, 3


class Tagged(Stand):
    """As GPU4PySCF's arrays with orbitals."""


def test_complex_arrays_of_cupy_are_refused(monkeypatch):
    monkeypatch.setattr(Stand, "__module__", "cupy._core.core")
    with pytest.raises(TypeError, match="complex"):
        to_torch(np.zeros(2, dtype=complex).view(Stand))


def test_cupys_arrays_are_told_by_their_classes(monkeypatch):
    monkeypatch.setattr(Stand, "__module__", "cupy._core.core")
    assert arrays._is_cupy(np.zeros(2).view(Stand)) and arrays._is_cupy(np.zeros(2).view(Tagged))
    assert not arrays._is_cupy(np.zeros(2)) and not arrays._is_cupy(torch.zeros(2))


@pytest.mark.parametrize("array, device", [
    (np.zeros(2), "cpu"), (torch.zeros(2), "cpu"), (3.0, "cpu"), ([np.zeros(2)] * 2, "cpu"),
    (np.zeros(2).view(Stand), "cuda:3"), ((np.zeros(2).view(Tagged),) * 2, "cuda:3"),
])
def test_the_device_is_the_arrays(array, device):
    assert device_of(array) == torch.device(device)


@pytest.fixture
def cuda(monkeypatch):
    """torch.cuda and CuPy that note which device and stream are in use."""
    used = []

    @contextmanager
    def using(what):
        used.append(what)
        yield
        used.remove(what)

    monkeypatch.setattr(torch.cuda, "ExternalStream", lambda pointer, device: f"stream {pointer} of {device}")
    monkeypatch.setattr(torch.cuda, "default_stream", lambda device: f"default stream of {device}")
    monkeypatch.setattr(torch.cuda, "device", using)
    monkeypatch.setattr(torch.cuda, "stream", using)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (5_000_000, 10_000_000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 3 * arrays.IDLE)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 3 * arrays.IDLE)
    pool = types.SimpleNamespace(free_all_blocks=lambda: None)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setitem(sys.modules, "cupy", types.SimpleNamespace(
        get_default_memory_pool=lambda: pool,
        cuda=types.SimpleNamespace(get_current_stream=lambda: types.SimpleNamespace(ptr=77))))
    return used


@pytest.mark.parametrize("pointer, stream", [(77, "stream 77 of cuda:3"), (0, "default stream of cuda:3")])
def test_torch_works_on_cupys_device_and_stream(cuda, pointer, stream):
    sys.modules["cupy"].cuda.get_current_stream = lambda: types.SimpleNamespace(ptr=pointer)
    with in_order_with(np.zeros(2).view(Stand)):
        assert cuda == [torch.device("cuda:3"), stream]
    assert cuda == []


@pytest.mark.parametrize("used, given_back", [(1.9, True), (2.1, False)])
def test_torch_gives_back_what_it_does_not_use(cuda, monkeypatch, used, given_back):
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: used * arrays.IDLE)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: cuda.append("emptied"))
    with in_order_with(np.zeros(2).view(Stand)):
        pass
    assert (cuda == ["emptied"]) == given_back


def test_a_device_without_memory_says_what_to_do(cuda):
    with pytest.raises(OutOfMemory, match="cuda:3 has no memory left for the functional .5 MB are free.: use"):
        with in_order_with(np.zeros(2).view(Stand)):
            raise torch.OutOfMemoryError("CUDA out of memory")


def test_on_the_host_the_order_is_that_of_threads(cuda):
    with lib.with_omp_threads(2), in_order_with(np.zeros(2)):
        assert torch.get_num_threads() == 2 and cuda == []
