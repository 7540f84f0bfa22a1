import numpy as np
import pytest
import torch
from pyscf import lib

from mlxc.host.arrays import from_torch, host_threads, parallel_map, to_torch


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
