"""The same numbers on a GPU as on the CPU: XC on identical densities, then whole calculations.

What a whole calculation may differ by is what r2SCAN's differs by in the same run (its kernels are GPU4PySCF's), or
less than the SCF leaves open.
"""

import json

import numpy as np
import pytest
from pyscf import dft, gto
from pyscf.dft import numint

import mlxc
from mlxc.cli import main
from mlxc.host import gpu

#: GPU4PySCF warns when it is imported, of what it could be faster with.
pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("default")]

WATER = "O 0 0 0.1; H 0 0.77 -0.48; H 0 -0.75 -0.5"

#: With one lowest solution: in OH the grid decides how the hole lies.
RADICAL = "N 0 0 0.1; H 0 0.80 -0.5; H 0.05 -0.78 -0.52"

#: What differences of energies, forces and second derivatives may be in any case, atomic units.
ENERGY, FORCE, HESSIAN, LEVEL = 2e-9, 1e-7, 2e-6, 2e-7


@pytest.fixture(scope="module", autouse=True)
def device():
    """A GPU; these tests fail without one."""
    gpu.require()


def molecule(spin: int) -> gto.Mole:
    return gto.M(atom=RADICAL if spin else WATER, basis="def2-svp", spin=spin, verbose=0)


def objects(xc: str, spin: int, fitted: bool = True, solvent: bool = False):
    """The same calculation, made on the CPU and sent to the GPU, not run yet."""
    mf = (dft.UKS if spin else dft.RKS)(molecule(spin), xc=xc).set(conv_tol=1e-11)
    mf.grids.level = 1
    mf = mf.density_fit() if fitted else mf
    mf = mf.PCM() if solvent else mf
    return mf, mf.to_gpu()


@pytest.mark.parametrize("name", ["mlxc_rs", "mlxc_lh__semilocal"])
@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("spin", [0, 1])
def test_derivatives_on_identical_densities(name, order, spin):
    import cupy
    from gpu4pyscf.dft import numint as gpu_numint

    mf = dft.UKS(molecule(1), xc="pbe").set(max_cycle=3).run()
    ao = numint.eval_ao(mf.mol, mf.grids.coords, 1)
    rho = np.array([mf._numint.eval_rho(mf.mol, ao, dm, xctype="MGGA", with_lapl=False) for dm in mf.make_rdm1()])
    rho = rho if spin else rho.sum(0)
    here = numint.NumInt().eval_xc_eff(name, rho, order, xctype="MGGA", spin=spin)
    there = gpu_numint.NumInt().eval_xc_eff(name, cupy.asarray(rho), order, xctype="MGGA", spin=spin)
    for x, y in zip(here[:order + 1], there[:order + 1], strict=True):
        assert abs(y.get() - x).max() <= 1e-11 * abs(x).max()
    weights = mf.grids.weights * (rho[:, 0].sum(0) if spin else rho[0])
    assert weights @ there[0].get() == pytest.approx(weights @ here[0], rel=1e-11)


@pytest.mark.parametrize("spin", [0, 1])
@pytest.mark.parametrize("fitted, solvent", [(False, False), (True, False), (True, True)])
def test_scf_energies(spin, fitted, solvent):
    def difference(xc):
        here, there = objects(xc, spin, fitted, solvent)
        energies = here.kernel(), there.kernel()
        assert here.converged and there.converged and there.xc == xc
        assert there.to_cpu().xc == xc
        return abs(energies[1] - energies[0])

    assert difference("mlxc_rs") <= max(difference("r2scan"), ENERGY)


@pytest.mark.parametrize("spin", [0, 1])
def test_local_hybrids_energies(spin):
    (here, there), reference = objects("mlxc_lh", spin), [mf.kernel() for mf in objects("r2scan", spin)]
    slack = max(abs(reference[1] - reference[0]), ENERGY)
    assert there.kernel() == pytest.approx(here.kernel(), abs=slack) and there.converged
    assert mlxc.local_exchange_record(there)["functions"] == mlxc.local_exchange_record(here)["functions"]


@pytest.mark.parametrize("name", ["mlxc_rs", "mlxc_lh"])
@pytest.mark.parametrize("response", [False, True])
@pytest.mark.parametrize("spin", [0, 1])
def test_forces(name, response, spin):
    def difference(xc):
        forces = []
        for mf in objects(xc, spin):
            mf.kernel()
            gradients = mf.nuc_grad_method()
            gradients.grid_response = response
            forces.append(np.asarray(gradients.kernel()))
        return abs(forces[1] - forces[0]).max()

    assert difference(name) <= max(difference("r2scan"), FORCE)


@pytest.mark.parametrize("spin", [0, 1])
def test_second_derivatives(spin):
    def difference(xc):
        found = [np.asarray(mf.run().Hessian().kernel()) for mf in objects(xc, spin)]
        return abs(found[1] - found[0]).max()

    assert difference("mlxc_rs") <= max(difference("r2scan"), HESSIAN)


@pytest.mark.parametrize("spin", [0, 1])
def test_excitation_energies(spin):
    def difference(xc):
        found = []
        for mf in objects(xc, spin):
            td = mf.run().TDA()
            td.nstates, td.conv_tol = 3, 1e-9
            td.kernel()
            found.append(np.asarray(td.e))
        return abs(found[1] - found[0]).max()

    assert difference("mlxc_rs") <= max(difference("r2scan"), LEVEL)


def test_what_lacks_the_local_exchange_refuses():
    _, there = objects("mlxc_lh", 0)
    there.kernel()
    with pytest.raises(mlxc.Unsupported):
        there.Hessian().kernel()
    for excitations in (there.TDA(), there.TDDFT()):
        with pytest.raises(mlxc.Unsupported):
            excitations.kernel()
    from gpu4pyscf.tdscf import ris

    with pytest.raises(mlxc.Unsupported):
        ris.TDA(there).kernel()


def test_gradients_of_excited_states_refuse_dispersion():
    _, there = objects("mlxc_rs", 0)
    there.disp = "d4"
    td = there.run().TDA().run(nstates=1)
    with pytest.raises(mlxc.Unsupported, match="leave the dispersion out"):
        td.nuc_grad_method().kernel()


def test_by_name():
    from gpu4pyscf import dft as gpu_dft

    mf = gpu_dft.UKS(molecule(1), xc="mlxc_rs").set(conv_tol=1e-11)
    mf.grids.level = 1
    assert mf.kernel() == pytest.approx(objects("mlxc_rs", 1, fitted=False)[1].kernel(), abs=ENERGY)


def test_uncertainty_after_the_way_back():
    here, there = objects("mlxc_lh", 0)
    here.kernel(), there.kernel()
    assert there.to_cpu().xc_uncertainty().std == pytest.approx(here.xc_uncertainty().std, rel=1e-5)


def test_the_command_line(capsys):
    command, energies = ["run", "--atom", "He 0 0 0", "--basis", "def2-svp", "--json"], []
    for more in ([], ["--gpu"]):
        assert main([*command, *more]) == 0
        energies.append(json.loads(capsys.readouterr().out)["energy_total_ha"])
    assert energies[1] == pytest.approx(energies[0], abs=1e-7)
