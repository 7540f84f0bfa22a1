"""Self-consistent fields of a local hybrid: stock objects, every wrapper, one energy; what cannot work refuses."""

import io

import numpy as np
import pytest
import torch
from pyscf import dft, gto, scf
from pyscf.pbc import gto as pbc_gto
from scipy.linalg import expm

import mlxc
from mlxc.errors import InvalidDensity, InvalidInput, MemoryWarning, Unsupported
from mlxc.host import local, numint, seam
from mlxc.host.local import LocalPart, Settings
from mlxc.solution import occupy
from mlxc.xc.density import Density, variables_from_rows
from tests.functionals import random_local_hybrid
from tests.host.support import WATER, converged, derivative, direction

XC = "toy_lh"


@pytest.fixture(scope="module", autouse=True)
def functional():
    found = random_local_hybrid(0.3, name=XC)
    seam.register(found)
    return found


def ion():
    return gto.M(atom="H 0 0 0; He 0 0.2 0.8", basis="6-31g", charge=1, verbose=0)


def radical():
    """H₂O⁺, whose ground state is not degenerate."""
    return gto.M(atom=WATER, basis="sto-3g", charge=1, spin=1, verbose=0)


KINDS = {
    "RKS": lambda: dft.RKS(ion(), xc=XC),
    "UKS": lambda: dft.UKS(radical(), xc=XC),
    "ROKS": lambda: dft.ROKS(radical(), xc=XC),
    "density fitting": lambda: dft.UKS(radical(), xc=XC).density_fit(auxbasis="weigend"),
    "PCM": lambda: dft.RKS(ion(), xc=XC).PCM(),
    "x2c": lambda: dft.UKS(radical(), xc=XC).sfx2c1e(),
    "newton": lambda: dft.RKS(ion(), xc=XC).newton(),
    "VV10": lambda: dft.RKS(ion(), xc=XC).set(nlc="vv10"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_fock_matrix_is_the_derivative_of_the_energy(kind):
    mf = KINDS[kind]()
    mf.grids.level = mf.nlcgrids.level = 0
    dm = np.asarray(mf.get_init_guess())
    x = direction(*dm.shape[-2:])

    def energy(t):
        u = expm(t * x)
        return mf.energy_tot(dm=u @ dm @ u.T)

    fock = np.asarray(mf.get_fock(dm=dm))
    if kind == "ROKS":
        fock = mf.get_hcore() + mf.get_veff(dm=dm)
    slope = np.einsum("...ij,...ji", fock, x @ dm + dm @ x.T).sum()
    assert slope == pytest.approx(derivative(energy, 2e-3), abs=1e-7)


def part_of(mol, functional, **settings) -> LocalPart:
    return LocalPart(functional, mol, Settings(**settings), 2000)


@pytest.mark.parametrize("make", (ion, radical))
def test_the_energy_is_the_functionals_at_pyscfs_density(make, functional):
    """Σ w replacement(ρ, e_x) with PySCF's own density and the exact AO-pair integrals."""
    mol = make()
    part = part_of(mol, functional, grid_level=0, auxbasis=None)
    dm = (mol.RHF() if mol.spin == 0 else mol.UHF()).run().make_rdm1()
    ao = dft.numint.eval_ao(mol, part.grids.coords, 1)
    spins = [dm / 2, dm / 2] if dm.ndim == 2 else dm
    rho = np.array([dft.numint.eval_rho(mol, ao, np.asarray(d), xctype="MGGA", with_lapl=False) for d in spins])
    kernel = mol.intor("int1e_grids", grids=part.grids.coords)
    with mol.with_range_coulomb(functional.local_omega):
        kernel -= mol.intor("int1e_grids", grids=part.grids.coords)
    exact = [-0.5 * np.einsum("gi,ij,gjk,kl,gl->g", ao[0], d, kernel, d, ao[0], optimize=True) for d in spins]
    density = Density.from_variables(variables_from_rows(torch.from_numpy(rho)))
    expected = part.weights @ functional.replacement(density, torch.tensor(np.array(exact)))
    assert abs(expected) > 0.005
    assert part.energy_and_potential(dm)[0] == pytest.approx(float(expected), abs=1e-4)


@pytest.mark.parametrize("make", (ion, radical))
@pytest.mark.parametrize("tagged", (False, True))
def test_the_potential_is_the_derivative_for_any_density_matrix(make, tagged, functional):
    mol = make()
    part = part_of(mol, functional, grid_level=0)
    dm = (mol.RHF() if mol.spin == 0 else mol.UHF()).run().make_rdm1()
    dm = dm if tagged else np.asarray(dm)
    x = direction(*dm.shape[-2:])

    def energy(t):
        u = expm(t * x)
        return part.energy_and_potential(u @ np.asarray(dm) @ u.T)[0]

    slope = np.vdot(part.energy_and_potential(dm)[1], x @ dm + dm @ x.T)
    assert slope == pytest.approx(derivative(energy, 1e-3), abs=3e-8)


def test_a_closed_shell_has_the_energy_of_two_spins(functional):
    mol = ion()
    part, dm = part_of(mol, functional, grid_level=0), np.asarray(mol.RHF().run().make_rdm1())
    energy, potential = part.energy_and_potential(dm)
    other, potentials = part.energy_and_potential(np.array([dm, dm]) / 2)
    assert energy == pytest.approx(other, abs=1e-12)
    np.testing.assert_allclose(potentials, [potential] * 2, rtol=0, atol=1e-11)


def filled(n_alpha: float, n_beta: float):
    mf = dft.UKS(radical(), xc=XC)
    occupy(mf, n_alpha, n_beta)
    return mf


@pytest.mark.parametrize("make", (lambda: dft.RKS(ion(), xc=XC), lambda: dft.UKS(radical(), xc=XC),
                                  lambda: filled(5, 4), lambda: filled(5, 4.4)),
                         ids=("RKS", "UKS", "whole electrons", "fractions"))
def test_occupied_columns_lead_to_the_same_solution_and_levels(make, monkeypatch):
    """What the fast Fock matrix leaves out changes neither the energy nor a level at the end."""
    fast = converged(make())
    monkeypatch.setattr(numint, "_virtuals_can_wait", lambda mf: False)
    whole = converged(make())
    assert fast.e_tot == pytest.approx(whole.e_tot, abs=1e-10)
    np.testing.assert_allclose(fast.mo_energy, whole.mo_energy, rtol=0, atol=1e-6)
    overlap = fast.get_ovlp()
    coeff = np.asarray(fast.mo_coeff)
    unit = np.eye(coeff.shape[-1])
    np.testing.assert_allclose(coeff.swapaxes(-1, -2) @ overlap @ coeff, np.broadcast_to(unit, coeff.shape), atol=1e-9)


@pytest.fixture
def builds(monkeypatch):
    """Whether each Fock matrix of the local part was built without the block between virtual orbitals."""
    seen: list[bool] = []
    original = LocalPart.energy_and_potential

    def counted(self, dm, occupied_only=False):
        seen.append(occupied_only)
        return original(self, dm, occupied_only)

    monkeypatch.setattr(LocalPart, "energy_and_potential", counted)
    return seen


@pytest.mark.parametrize("make", (lambda: dft.UKS(radical(), xc=XC), lambda: filled(5, 4), lambda: filled(5, 4.4)),
                         ids=("PySCF's filling", "whole electrons", "fractions"))
def test_plain_cycles_build_occupied_columns_and_one_whole_matrix_at_the_end(make, builds):
    converged(make())
    assert builds == [True] * (len(builds) - 1) + [False]


@pytest.mark.parametrize("make", (
    lambda: dft.UKS(radical(), xc=XC).set(level_shift=0.1),
    lambda: dft.ROKS(radical(), xc=XC),
    lambda: dft.UKS(radical(), xc=XC).newton(),
    lambda: scf.addons.smearing(dft.UKS(radical(), xc=XC), sigma=0.01, method="fermi"),
    lambda: scf.addons.frac_occ(dft.UKS(radical(), xc=XC)),
    lambda: scf.addons.dynamic_level_shift_(dft.UKS(radical(), xc=XC)),
), ids=("level shift", "ROKS", "Newton", "smearing", "fractional occupations", "dynamic level shift"))
def test_what_needs_virtual_levels_builds_whole_matrices(make, builds):
    mf = make()
    mf.grids.level = 0
    mf.kernel()
    assert mf.converged and not any(builds)


def test_an_interrupted_calculation_keeps_no_trace():
    mf = dft.UKS(radical(), xc=XC)

    def stop(cycle):
        raise KeyboardInterrupt

    mf.callback = stop
    with pytest.raises(KeyboardInterrupt):
        mf.kernel()
    assert not mf._numint._occupied_only


@pytest.mark.parametrize("wrap", (
    lambda mf: mf, lambda mf: mf.set(level_shift=0.2),
    lambda mf: scf.addons.smearing(mf, sigma=1e-4, method="fermi", fix_spin=True),
    lambda mf: mf.to_uks(), lambda mf: mlxc.attach(dft.UKS(mf.mol, xc="pbe"), XC),
), ids=("again", "level shift", "smearing", "to_uks", "attach"))
def test_all_roads_lead_to_one_energy(wrap):
    expected = converged(mlxc.UKS(radical(), xc=XC)).e_tot
    assert converged(wrap(dft.UKS(radical(), xc=XC))).e_tot == pytest.approx(expected, abs=1e-8)


def test_density_fitting_changes_little_and_keeps_the_local_part(builds):
    exact = converged(dft.RKS(ion(), xc=XC)).e_tot
    count = len(builds)
    for auxbasis in ("weigend", "def2-universal-jkfit"):
        mf = mlxc.RKS(ion(), xc=XC).density_fit(auxbasis=auxbasis)
        assert converged(mf).e_tot == pytest.approx(exact, abs=1e-4)
    assert len(builds) > 2 * count


def test_restart_from_the_checkpoint_file(tmp_path, builds):
    whole = converged(dft.UKS(radical(), xc=XC)).e_tot
    mf = dft.UKS(radical(), xc=XC)
    mf.grids.level, mf.chkfile, mf.max_cycle = 0, str(tmp_path / "half.chk"), 3
    mf.kernel()
    assert not mf.converged
    again = dft.UKS(radical(), xc=XC)
    again.chkfile, again.init_guess = mf.chkfile, "chkfile"
    assert converged(again).e_tot == pytest.approx(whole, abs=1e-9)
    assert np.allclose(scf.chkfile.load(mf.chkfile, "scf/mo_energy"), again.mo_energy)


@pytest.mark.parametrize("first, second", [(dft.UKS, dft.RKS), (dft.RKS, dft.UKS)])
def test_a_guess_from_another_basis_and_class(first, second, tmp_path):
    mf, small = first(ion(), xc=XC), gto.M(atom="H 0 0 0; He 0 0.2 0.8", basis="sto-3g", charge=1, verbose=0)
    mf.chkfile = str(tmp_path / "one.chk")
    converged(mf)
    again = second(small, xc=XC)
    again.grids.level = 0
    assert again.kernel(again.from_chk(mf.chkfile)) == pytest.approx(converged(second(small, xc=XC)).e_tot, abs=1e-8)


def test_another_geometry_is_another_local_part():
    mf = converged(dft.RKS(ion(), xc=XC))
    first, part = mf.e_tot, mf._numint._local_part
    mf.kernel()
    assert mf._numint._local_part is part
    mol = ion()
    longer = mol.set_geom_(np.array([[0, 0, 0], [0, 0.2, 1.3]]), inplace=False)
    expected = converged(dft.RKS(longer, xc=XC)).e_tot
    assert converged(mf.reset(longer)).e_tot == pytest.approx(expected, abs=1e-9) != first


def test_new_settings_ask_for_a_new_calculation():
    mf = converged(dft.RKS(ion(), xc=XC))
    mlxc.set_local_exchange(mf, grid_level=2)
    with pytest.raises(InvalidInput, match="no converged energy: run mf.kernel"):
        mlxc.polarizability(mf)


def test_settings_reach_the_calculation_and_its_record():
    default = converged(dft.RKS(ion(), xc=XC))
    record = mlxc.local_exchange_record(default)
    assert record["grid_level"] == 1 and record["auxbasis"].startswith("even-tempered") and not record["removed"]
    mf = mlxc.set_local_exchange(dft.RKS(ion(), xc=XC), grid_level=3, auxbasis="def2-universal-jkfit")
    other = converged(mf)
    record = mlxc.local_exchange_record(other)
    assert (record["grid_level"], record["auxbasis"]) == (3, "def2-universal-jkfit")
    assert record["points"] > 2 * mlxc.local_exchange_record(default)["points"]
    assert 0 < abs(other.e_tot - default.e_tot) < 1e-4
    assert mlxc.local_exchange_record(dft.RKS(ion(), xc="pbe")) == mlxc.local_exchange_record(scf.RHF(ion())) == {}


@pytest.mark.parametrize("settings, reason", [
    ({"grid_level": 10}, "grid level is 10, expected 0 to 9"),
    ({"grid_level": "fine"}, "grid level is 'fine'"),
    ({"grid_level": 2.0}, "grid level is 2.0"),
    ({"grid_level": True}, "grid level is True"),
    ({"auxbasis": "heavy-aug"}, "auxiliary basis 'heavy-aug' has no functions for H"),
    ({"auxbasis": 5}, "auxiliary basis given has no functions for H"),
    ({"auxbasis": ["weigend"]}, "auxiliary basis given has no functions for H"),
])
def test_wrong_settings_are_refused(settings, reason):
    with pytest.raises(InvalidInput, match=reason):
        mlxc.set_local_exchange(dft.RKS(ion(), xc=XC), **settings)


def test_settings_of_other_functionals_are_refused():
    with pytest.raises(InvalidInput, match="xc = 'pbe' has no local exchange"):
        mlxc.set_local_exchange(dft.RKS(ion(), xc="pbe"))


def _cell():
    return pbc_gto.M(atom="H 0 0 0; H 0 0 0.74", basis="gth-szv", pseudo="gth-pade", a=np.eye(3) * 3, mesh=[9] * 3,
                     verbose=0)


@pytest.mark.parametrize("run", (
    lambda: mlxc.GKS(radical(), xc=XC),
    lambda: dft.GKS(radical(), xc=XC).kernel(),
    lambda: dft.UKS(radical(), xc=XC).to_gks().kernel(),
    lambda: mlxc.attach(dft.GKS(radical()), XC),
    lambda: mlxc.RKS(_cell(), xc=XC),
    lambda: _cell().RKS(xc=XC).kernel(),
    lambda: _cell().KRKS(xc=XC, kpts=_cell().make_kpts([2, 1, 1])).kernel(),
    lambda: dft.RKS(ion(), xc=XC).run().Hessian().kernel(),
    lambda: dft.RKS(ion(), xc=XC).run().TDA().run(nstates=1).nuc_grad_method().kernel(),
    lambda: dft.libxc.eval_xc(XC, np.ones((5, 2))),
), ids=("GKS", "stock GKS", "to_gks", "attach", "PBC", "stock PBC", "k-points", "Hessian", "TD gradient", "eval_xc"))
def test_what_cannot_work_refuses(run):
    with pytest.raises(Unsupported, match=f"{XC}.*energies, forces, linear response"):
        run()


def test_a_damaged_density_matrix_is_caught():
    mf = dft.RKS(ion(), xc=XC)
    dm = np.asarray(mf.get_init_guess())
    dm[0, 0] = np.nan
    with pytest.raises(InvalidDensity, match="NaN"):
        mf.kernel(dm)


def test_a_small_memory_is_said_and_enough():
    expected = converged(dft.RKS(ion(), xc=XC)).e_tot
    part = part_of(ion(), seam.find(XC).functional)
    needed = part.exchange.grid.needed_mb
    with pytest.warns(MemoryWarning, match=f"needs {needed:.0f} MB"):
        small = local.LocalPart(seam.find(XC).functional, ion(), Settings(), 0.995 * needed)
    mf = dft.RKS(ion(), xc=XC)
    mf._numint._local_part = small
    mf._numint._local_key = local._key(small.functional, small.settings, mf.mol)
    assert converged(mf).e_tot == pytest.approx(expected, abs=1e-10)


def test_the_local_part_is_told_in_the_output():
    mol = gto.M(atom="H 0 0 0; H 0 0 0.8", basis="sto-3g", verbose=4)
    mol.stdout = io.StringIO()
    mf = dft.RKS(mol, xc=XC)
    mf.kernel()
    assert "local exchange: grid level 1, auxiliary basis even-tempered" in mol.stdout.getvalue()


def test_a_list_of_closed_shells_is_not_taken_for_two_spins():
    mf = converged(dft.RKS(ion(), xc=XC))
    first, second = mf.make_rdm1(), np.asarray(mf.get_init_guess())
    single = [mf._numint.nr_rks(mf.mol, mf.grids, XC, dm) for dm in (first, second)]
    for k, both in enumerate(mf._numint.nr_rks(mf.mol, mf.grids, XC, np.array([first, second]))):
        np.testing.assert_allclose(both, [single[0][k], single[1][k]], rtol=0, atol=1e-10)


def test_several_densities_of_both_spins_are_taken_one_by_one(functional):
    mol = gto.M(atom="H 0 0 0; H 0 0 0.9", charge=1, spin=1, basis="sto-3g", verbose=0)
    mf = dft.UKS(mol, xc=functional.name)
    dms = np.array([[0.5 * np.eye(2), 0.3 * np.eye(2)], [0.2 * np.eye(2), 0.1 * np.eye(2)]])
    several = mf.get_veff(mol, dms)
    for i in range(2):
        np.testing.assert_allclose(np.asarray(several)[:, i], mf.get_veff(mol, dms[:, i]), rtol=0, atol=1e-12)


def test_a_function_called_in_each_cycle_sees_whole_matrices():
    mf, seen = dft.UKS(radical(), xc=XC), []
    mf.callback = lambda variables: seen.append((variables["dm"], variables["mf"].get_fock(dm=variables["dm"])))
    converged(mf)
    np.testing.assert_allclose(seen[-1][1], mf.get_fock(dm=seen[-1][0]), rtol=0, atol=1e-9)


def test_where_the_filling_is_not_settled_the_iterations_go_on_with_whole_matrices(builds):
    plain = converged(dft.UKS(radical(), xc=XC))
    builds.clear()
    upside_down = []

    class Turned(dft.uks.UKS):
        def get_fock(self, *args, **kwargs):
            fock = super().get_fock(*args, **kwargs)
            if args or upside_down:
                return fock
            upside_down.append(True)  # what is asked for at the end
            return -fock

    mf = Turned(radical(), xc=XC)
    mf.callback = lambda variables: None  # a function called in each cycle does not bring the fast matrices back
    assert converged(mf).e_tot == pytest.approx(plain.e_tot, abs=1e-9)
    first = builds.index(False)
    assert first > 3 and not any(builds[first:]) and len(builds) > first + 2


def test_where_the_fast_matrices_do_not_converge_all_begins_again_with_whole_ones(builds):
    mf = dft.UKS(radical(), xc=XC).set(max_cycle=3)
    mf.grids.level = 0
    mf.kernel()
    first = builds.index(False)
    assert not mf.converged and first == len(builds) / 2 > mf.max_cycle and not any(builds[first:])


def test_settings_of_a_copy_are_its_own():
    mf = dft.RKS(ion(), xc=XC)
    other = mlxc.set_local_exchange(mf.copy(), grid_level=3)
    assert converged(mf).e_tot != converged(other).e_tot
    assert [mlxc.local_exchange_record(x)["grid_level"] for x in (mf, other)] == [1, 3]


def test_the_name_of_the_semilocal_part_is_no_functional():
    with pytest.raises(mlxc.UnknownFunctional):
        mlxc.RKS(ion(), xc=seam.find(XC).semilocal)
    with pytest.raises(InvalidInput, match="which is mlxc's own"):
        seam.register(random_local_hybrid(name="x__semilocal"))


def test_a_range_separation_set_by_hand_is_refused_by_name():
    mf = dft.RKS(ion(), xc=XC)
    mf.omega = 0.3
    with pytest.raises(InvalidInput, match=f"but {XC} is defined with omega = 0.0"):
        mf.kernel()


def test_memory_in_use_does_not_stop_a_small_molecule():
    mf = dft.RKS(ion(), xc=XC)
    mf.max_memory = 10
    assert converged(mf).e_tot == pytest.approx(converged(dft.RKS(ion(), xc=XC)).e_tot, abs=1e-10)


def test_no_checkpoint_is_written_where_none_is_wanted(tmp_path):
    mf = dft.RKS(ion(), xc=XC)
    mf.chkfile = str(tmp_path / "none.chk")
    mf.kernel(dump_chk=False)
    assert not (tmp_path / "none.chk").exists()
