"""Everything between the density matrix and the Fock matrix on another device than the host's.

The device is a stand-in (`virtual_device`): it tells tensors of two devices apart, and computes with the CPU's kernels.
"""

import sys
import types
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from pyscf import dft, gto, lib

import mlxc
from mlxc.host import arrays, local, numint, seam
from mlxc.host.local_gradient import local_gradient
from mlxc.xc.derivatives import chunk, xc_rows
from tests.gpu.virtual_device import NAME, OnDevice, VirtualDevice

DEVICE = torch.device(NAME)


@pytest.fixture
def device():
    with VirtualDevice():
        yield DEVICE


@pytest.fixture(scope="module", params=[-1, 0], ids=["closed", "open"])
def oh(request):
    """OH⁻ and OH: the molecule and a density matrix with orbitals."""
    mol = gto.M(atom="O 0 0 0; H 0.3 0.4 0.8", basis="def2-svp", charge=request.param, spin=request.param + 1,
                verbose=0)
    mf = (dft.RKS if request.param else dft.UKS)(mol, xc="pbe").set(max_cycle=3).run()
    return mol, mf.make_rdm1()


def test_the_stand_in_tells_devices_apart(device):
    host = torch.ones(3, dtype=torch.float64)
    there = host.to(device)
    assert isinstance(there, OnDevice) and there.device == device
    with pytest.raises(RuntimeError, match="two devices"):
        there + host
    with pytest.raises(RuntimeError):
        there.numpy()
    assert (there + 1).sum().item() == 6.0 and (there * 2).cpu().tolist() == [2.0] * 3


@pytest.mark.parametrize("name", ["mlxc_rs", "mlxc_lh__semilocal"])
@pytest.mark.parametrize("count", [3, 7])
def test_derivatives_on_the_device_are_the_hosts(device, name, count):
    entry = seam.search(name)
    x = tuple(torch.rand(count, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.1)
    found = entry.derivatives(tuple(v.to(device) for v in x), 2)
    assert isinstance(found, OnDevice)
    torch.testing.assert_close(found.held, entry.derivatives(x, 2), rtol=1e-14, atol=0)


def test_points_are_taken_in_larger_pieces():
    assert chunk(DEVICE) > chunk(torch.device("cpu"))


def test_local_part_on_the_device_is_the_hosts(device, oh):
    mol, dm = oh
    entry, settings = seam.find("mlxc_lh"), local.Settings(grid_level=0)
    here = local.LocalPart(entry.functional, mol, settings, 1000.0)
    there = local.LocalPart(entry.on(device), mol, settings, 1000.0, device)
    for (energy, potential), (expected, matrix) in zip(
            (there.energy_and_potential(dm, occupied) for occupied in (False, True)),
            (here.energy_and_potential(dm, occupied) for occupied in (False, True)), strict=True):
        assert energy == pytest.approx(expected, abs=1e-12)
        np.testing.assert_allclose(potential, matrix, rtol=0, atol=1e-12)
    tensors = (there.weights, there.exchange.overlap, *there.exchange.grid._kept.values())
    assert all(isinstance(t, OnDevice) for t in tensors)


def test_forces_on_the_device_are_the_hosts(device, oh):
    mol, dm = oh
    entry, settings = seam.find("mlxc_lh"), local.Settings(grid_level=0)
    expected = local_gradient(local.LocalPart(entry.functional, mol, settings, 1000.0), dm, grid_response=True)
    found = local_gradient(local.LocalPart(entry.on(device), mol, settings, 1000.0, device), dm, grid_response=True)
    np.testing.assert_allclose(found.cpu().numpy(), expected.numpy(), rtol=0, atol=1e-12)


def test_every_device_has_one_copy_of_the_functional(device):
    entry = seam.find("mlxc_rs")
    with ThreadPoolExecutor(4) as threads:
        copies = list(threads.map(lambda _: _copy(entry), range(8)))
    assert len({id(c) for c in copies}) == 1 and copies[0] is not entry.functional
    assert all(isinstance(p.data, OnDevice) for p in copies[0].parameters())
    assert not any(isinstance(p.data, OnDevice) for p in entry.functional.parameters())
    assert entry.on(torch.device("cpu")) is entry.functional


def _copy(entry):
    with VirtualDevice():
        return entry.on(DEVICE)


def test_a_functional_without_parameters_is_the_same_everywhere(device):
    class Simple:
        name, xc_type, omega, sr_fraction, lr_fraction = "simple", "LDA", 0.0, 0.0, 0.0

        def edens(self, density):
            return -density.n ** (4 / 3)

    mlxc.register(Simple())
    entry = seam.find("simple")
    assert entry.on(device) is entry.functional
    x = torch.rand(3, 5, dtype=torch.float64)
    assert isinstance(xc_rows(entry.on(device), tuple(x.to(device)), 1), OnDevice)


def test_the_local_part_is_made_again_for_another_device(device, oh):
    mol, _ = oh
    ni, entry = dft.numint.NumInt(), seam.find("mlxc_lh")
    ni._local_settings = local.Settings(grid_level=0)
    here = local.part(ni, mol, entry.functional, 1000.0)
    there = local.part(ni, mol, entry.on(device), 1000.0, device)
    assert there is not here and there is local.part(ni, mol, entry.on(device), 1000.0, device)


def test_a_density_matrix_of_numpys_follows_the_others(device, oh):
    """GPU4PySCF takes it, and gives matrices of the device."""
    mol, dm = oh
    def semilocal(ni, mol, grids, xc_code, dms, *args):
        return 9, 0.0, torch.zeros(dm.shape, dtype=torch.float64, device=device)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numint, "from_torch", lambda tensor, like: tensor)
        patch.setattr(local, "from_torch", lambda tensor, like: tensor)
        patch.setattr(numint.semilocal, "integrates", lambda *args: False)  # GPU4PySCF has an integration of its own
        found = [numint.xc_matrix(semilocal, _coarse(), mol, None, "mlxc_lh", x)
                 for x in (dm, torch.from_numpy(np.array(dm)).to(device))]
    assert isinstance(found[0][2], OnDevice)
    torch.testing.assert_close(found[0][2].held, found[1][2].held, rtol=0, atol=1e-13)


def _coarse():
    ni = dft.numint.NumInt()
    ni._local_settings = local.Settings(grid_level=0)
    return ni


def test_several_density_matrices_are_refused_there(device):
    dms = torch.zeros(2, 3, 3, dtype=torch.float64).to(device)
    with pytest.raises(mlxc.Unsupported, match=r"mlxc_lh with density matrices of shape \(2, 3, 3\): .* on a GPU"):
        numint.closed_shell(None, dft.numint.NumInt(), None, None, "mlxc_lh", dms)


def test_memory_that_counts_is_the_devices(monkeypatch):
    free = [1_000_000_000]
    pool = types.SimpleNamespace(free_all_blocks=lambda: free.append(3_000_000_000))
    monkeypatch.setitem(sys.modules, "cupy", types.SimpleNamespace(get_default_memory_pool=lambda: pool))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free[-1], 4_000_000_000))
    assert arrays.free_memory(torch.device("cuda", 0), 10.0) == 3000.0
    assert arrays.free_memory(torch.device("cpu"), 10.0) == 10.0


def test_threads_are_the_hosts_only(oh):
    with lib.with_omp_threads(2):
        assert arrays.over_blocks(torch.device("cpu")) is arrays.parallel_map
        assert arrays.over_blocks(DEVICE) is map
