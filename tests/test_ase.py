"""The ASE calculator: forces and dipoles are derivatives of its energy, and every setting reaches PySCF."""

import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError, SCFError
from ase.io import read
from ase.io.trajectory import Trajectory
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS
from ase.units import Bohr, Hartree, fs
from pyscf import dft, gto

import mlxc
from mlxc import zoo
from mlxc.ase import MLXC
from mlxc.errors import InvalidInput, UnknownFunctional, Unsupported

#: Cheapest settings with which derivatives can be checked.
SMALL = {"basis": "sto-3g", "grid": 0, "conv_tol": 1e-11}

FUNCTIONALS = [name for name in ("mlxc_rs", "mlxc_lh") if name in zoo.names()]

#: Å: 1e-6 Ha/bohr in ASE's unit of force.
FORCE_TOLERANCE = 1e-6 * Hartree / Bohr


def hydrogen(**parameters) -> Atoms:
    return Atoms("H2", [(0, 0, 0), (0.1, 0, 0.8)], calculator=MLXC(**SMALL | parameters))


def hydroxyl(**parameters) -> Atoms:
    return Atoms("OH", [(0, 0, 0), (0.1, 0.2, 1.0)], calculator=MLXC(**SMALL | parameters))


@pytest.fixture
def runs(monkeypatch) -> list[bool]:
    """One entry for every SCF: whether it began from the density before."""
    found: list[bool] = []
    original = MLXC._run_scf

    def counted(self, restart):
        found.append(restart)
        original(self, restart)

    monkeypatch.setattr(MLXC, "_run_scf", counted)
    return found


# ------------------------------------------------------------------------------------- derivatives


@pytest.mark.parametrize("xc", FUNCTIONALS)
@pytest.mark.parametrize("make", (hydrogen, hydroxyl))
def test_forces_are_the_slope_of_the_energy(make, xc):
    """With D4, whose energy must follow the geometry when the SCF restarts."""
    atoms = make(xc=xc, grid_response=True)
    direction = np.random.default_rng(0).normal(size=(2, 3))
    forces, start, h = atoms.get_forces(), atoms.positions.copy(), 2e-3
    slope = 0.0
    for m, weight in ((-2, 1), (-1, -8), (1, 8), (2, -1)):
        atoms.positions = start + m * h * direction
        slope += weight * atoms.get_potential_energy() / (12 * h)
    assert -np.sum(forces * direction) == pytest.approx(slope, abs=5 * FORCE_TOLERANCE)


def test_without_grid_response_forces_do_not_add_up_to_zero():
    sums = [np.abs(hydroxyl(grid_response=response).get_forces().sum(axis=0)).max() for response in (False, True)]
    assert sums[0] > 1e-3 and sums[1] < 1e-6


def test_dipole_is_the_slope_of_the_energy_in_a_field():
    """-dE/dF of the nuclei and electrons, through `prepare`."""
    field, direction = 1e-3, np.array([0.1, 0.2, 1.0])

    def energy(strength: float) -> float:
        def switch_on(mf):
            force = strength * direction
            hcore = mf.get_hcore() + np.einsum("x,xij->ij", force, mf.mol.intor("int1e_r"))
            mf.get_hcore = lambda *_: hcore
            return mf

        atoms = hydroxyl(prepare=switch_on, disp=False)
        nuclei = -strength * direction @ (np.array([8, 1]) @ atoms.positions / Bohr)
        return atoms.get_potential_energy() / Hartree + nuclei

    dipole = hydroxyl(disp=False).get_dipole_moment() / Bohr
    assert dipole @ direction == pytest.approx((energy(-field) - energy(field)) / (2 * field), abs=1e-5)
    assert dipole @ direction > 0  # from O to H


def test_energy_is_that_of_pyscf_with_d4():
    atoms = hydroxyl(spin=1)
    mol = gto.M(atom=[("O", (0, 0, 0)), ("H", (0.1, 0.2, 1.0))], basis="sto-3g", spin=1, verbose=0)
    mf = dft.UKS(mol, xc="mlxc_rs")
    mf.grids.level, mf.conv_tol = 0, 1e-11
    d4 = mlxc.dispersion_energy(mol, "mlxc_rs")
    assert atoms.get_potential_energy() == pytest.approx((mf.kernel() + d4) * Hartree, abs=1e-7)
    assert atoms.calc.mf.scf_summary["dispersion"] == pytest.approx(d4, abs=1e-14)
    assert atoms.get_potential_energy(force_consistent=True) == atoms.get_potential_energy()
    without = hydroxyl(spin=1, disp=False)
    assert without.get_potential_energy() == pytest.approx(mf.e_tot * Hartree, abs=1e-7)
    assert np.abs(without.get_forces() - atoms.get_forces()).max() > 1e-6


def test_a_molecule_is_optimised():
    atoms = hydrogen(grid=1, grid_response=True)  # on level 0 the energy depends on how the molecule lies
    assert BFGS(atoms, logfile=None).run(fmax=0.005, steps=20)
    distance, energy = atoms.get_distance(0, 1), atoms.get_potential_energy()
    for change in (-0.01, 0.01):
        atoms.set_distance(0, 1, distance + change)
        assert atoms.get_potential_energy() > energy


@pytest.mark.slow
@pytest.mark.parametrize("xc", FUNCTIONALS)
def test_dynamics_keep_the_total_energy(xc):
    """Velocity Verlet's oscillation is of the second order in the time step, and nothing adds to it."""
    deviations = []
    for steps in (10, 20):
        atoms = hydrogen(xc=xc, grid_response=True)
        dynamics = VelocityVerlet(atoms, timestep=8 / steps * fs)
        totals: list[float] = []
        dynamics.attach(lambda: totals.append(atoms.get_total_energy()))  # noqa: B023 (called in this pass only)
        dynamics.run(steps)
        deviations.append(np.ptp(totals))
    assert deviations[0] / deviations[1] == pytest.approx(4, rel=0.2)
    assert deviations[1] < 0.02


# ---------------------------------------------------------------------------- what is computed, and when


def test_a_result_is_computed_once(runs):
    atoms = hydrogen()
    atoms.get_potential_energy()
    atoms.get_dipole_moment()
    assert len(runs) == 1
    assert "forces" not in atoms.calc.results
    atoms.get_forces()
    atoms.get_potential_energy()
    atoms.set_cell([9, 9, 9])
    atoms.get_forces()
    assert len(runs) == 1


def test_moved_atoms_start_from_the_density_before(runs):
    atoms = hydrogen(basis="6-31g**")
    atoms.get_potential_energy()
    fresh, mf = atoms.calc.mf.cycles, atoms.calc.mf
    atoms.positions[1, 0] += 0.01
    energy = atoms.get_potential_energy()
    assert runs == [False, True]
    assert atoms.calc.mf is mf and mf.cycles < fresh
    other = hydrogen(basis="6-31g**")
    other.positions = atoms.positions
    assert energy == pytest.approx(other.get_potential_energy(), abs=1e-7)


def test_other_changes_start_anew(runs):
    atoms = hydrogen()
    first = atoms.get_potential_energy()
    atoms.set_initial_charges([1, 0])
    assert atoms.get_potential_energy() > first + 10
    assert atoms.calc.mf.mol.charge == 1
    atoms.calc.set(charge=0)
    assert atoms.get_potential_energy() == pytest.approx(first, abs=1e-6)
    assert runs == [False, False, False]


def test_the_guess_has_the_right_number_of_electrons():
    from mlxc.ase import _carried_over

    atoms = hydroxyl(basis="6-31g", spin=3)
    atoms.get_potential_energy()
    mf = atoms.calc.mf
    moved = mf.mol.set_geom_(mf.mol.atom_coords() * 1.05, unit="Bohr", inplace=False)
    guess, overlap = _carried_over(mf, moved), moved.intor("int1e_ovlp")
    assert np.einsum("sij,ji->s", guess, overlap) == pytest.approx(mf.nelec)
    assert guess[0] @ overlap @ guess[0] == pytest.approx(guess[0], abs=1e-12)


def test_the_checkpoint_file_begins_the_next_calculation(tmp_path):
    first = hydroxyl(chkfile=tmp_path / "oh.chk")
    energy = first.get_potential_energy()
    again = hydroxyl(chkfile=tmp_path / "oh.chk", scf={"init_guess": "chkfile"})
    assert again.get_potential_energy() == pytest.approx(energy, abs=1e-7)
    assert again.calc.mf.cycles < first.calc.mf.cycles


def test_a_trajectory_holds_results_and_parameters(tmp_path):
    atoms = hydrogen(prepare=lambda mf: mf, chkfile=tmp_path / "h2.chk", scf={"level_shift": 0.1})
    atoms.get_forces()
    with Trajectory(tmp_path / "h2.traj", "w", atoms) as file:
        file.write()
    back = read(tmp_path / "h2.traj")
    assert back.get_potential_energy() == atoms.get_potential_energy()
    assert np.array_equal(back.get_forces(), atoms.get_forces())
    assert atoms.calc.todict()["scf"] == {"level_shift": 0.1}


# -------------------------------------------------------------------------------------- charge and spin


@pytest.mark.parametrize("parameters, charges, moments, expected", [
    ({}, None, None, (0, 1)),
    ({"spin": 3}, None, None, (0, 3)),
    ({"charge": -1}, None, None, (-1, 0)),
    ({"charge": np.int64(1), "spin": 2}, [0, 0], [0, 0], (1, 2)),
    ({}, [-1, 0], None, (-1, 0)),
    ({}, [0.6, 0.4], [2.5, -0.5], (1, 2)),
    ({}, None, [0, -1], (0, 1)),
    ({"charge": 0, "spin": 1}, [1, 0], [2, 0], (0, 1)),
])
def test_charge_and_spin_come_from_parameters_then_atoms_then_the_lowest(parameters, charges, moments, expected):
    atoms = hydroxyl(**parameters)
    if charges is not None:
        atoms.set_initial_charges(charges)
    if moments is not None:
        atoms.set_initial_magnetic_moments(moments)
    atoms.calc.atoms = atoms
    mol = atoms.calc._molecule()
    assert (mol.charge, mol.spin) == expected


def test_unpaired_electrons_mean_unrestricted():
    for make, charge, kind in ((hydrogen, 0, dft.rks.RKS), (hydrogen, 1, dft.uks.UKS)):
        atoms = make(charge=charge)
        atoms.get_potential_energy()
        assert isinstance(atoms.calc.mf, kind)


# ----------------------------------------------------------------------------------- settings of PySCF's


def test_settings_reach_pyscf():
    calculator = MLXC(basis="sto-3g", grid=1, conv_tol=1e-7, max_cycle=33, density_fit=True, verbose=0, scf={
        "level_shift": 0.2, "diis_space": 5, "grids.prune": None, "with_df.auxbasis": "weigend"})
    atoms = Atoms("H2", [(0, 0, 0), (0, 0, 0.74)], calculator=calculator)
    atoms.get_potential_energy()
    mf = calculator.mf
    assert (mf.conv_tol, mf.max_cycle, mf.level_shift, mf.diis_space) == (1e-7, 33, 0.2, 5)
    assert (mf.grids.level, mf.grids.prune, mf.with_df.auxbasis) == (1, None, "weigend")
    assert mf.disp == "d4" and mf.xc == "mlxc_rs"


def test_a_wrapper_is_used_for_energy_and_forces():
    plain, newton = hydroxyl(), hydroxyl(prepare=lambda mf: mf.newton())
    for atoms in (plain, newton):
        atoms.get_forces()
        atoms.positions[1, 2] += 0.01
        atoms.get_forces()
    assert type(newton.calc.mf).__name__.startswith("SecondOrder")
    assert newton.get_potential_energy() == pytest.approx(plain.get_potential_energy(), abs=1e-6)
    assert newton.get_forces() == pytest.approx(plain.get_forces(), abs=1e-4)


def test_smearing_tells_energy_from_free_energy():
    atoms = hydrogen(prepare=lambda mf: mf.smearing(sigma=0.1))
    free, energy = atoms.get_potential_energy(force_consistent=True), atoms.get_potential_energy()
    assert free == pytest.approx(atoms.calc.mf.e_free * Hartree) and free < energy


def test_a_card_by_its_path(card_path):
    atoms = hydrogen(xc=card_path)
    atoms.get_potential_energy()
    assert atoms.calc.mf.xc == "toy_rs" and atoms.calc.mf.disp == "d4"


def test_a_functional_of_pyscfs_for_comparison():
    energy = hydrogen(xc="b3lyp", disp=False, grid=3).get_potential_energy()
    mol = gto.M(atom=[("H", (0, 0, 0)), ("H", (0.1, 0, 0.8))], basis="sto-3g", verbose=0)
    assert energy == pytest.approx(dft.RKS(mol, xc="b3lyp").kernel() * Hartree, abs=1e-6)


# ------------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize("parameters, words", [
    ({"functional": "mlxc_rs"}, ("'functional'", "grid_response", "scf=")),
    ({"bassis": "sto-3g"}, ("did you mean basis?",)),
    ({"restart": "x"}, ("unknown parameter 'restart'",)),
    ({"xc": 3}, ("xc is 3", "name")),
    ({"basis": None}, ("basis is None",)),
    ({"charge": 0.5}, ("charge is 0.5", "integer")),
    ({"spin": -1}, ("spin is -1", "2S")),
    ({"disp": "d4"}, ("disp is 'd4'", "True")),
    ({"grid": 12}, ("grid is 12", "0 to 9")),
    ({"conv_tol": 0.0}, ("conv_tol is 0.0", "positive")),
    ({"max_cycle": 0}, ("max_cycle is 0", "1 or more")),
    ({"scf": {1: 2}}, ("scf is", "dictionary")),
    ({"prepare": "newton"}, ("prepare is 'newton'", "function")),
    ({"chkfile": ""}, ("chkfile is ''", "path")),
])
def test_parameters_are_checked_when_they_are_set(parameters, words):
    with pytest.raises(InvalidInput) as raised:
        MLXC(**parameters)
    assert all(word in str(raised.value) for word in words)
    with pytest.raises(InvalidInput):
        MLXC().set(**parameters)


@pytest.mark.parametrize("parameters, error, words", [
    ({"xc": "mlxc_rz"}, UnknownFunctional, ("mlxc_rz",)),
    ({"xc": "b3lyp"}, InvalidInput, ("b3lyp", "disp=False")),
    ({"basis": "sto-3h"}, InvalidInput, ("sto-3h",)),
    ({"spin": 1}, InvalidInput, ("spin 1 is not possible",)),
    ({"charge": 2}, InvalidInput, ("charge +2",)),
    ({"chkfile": "no/such/folder/x.chk"}, InvalidInput, ("no/such/folder", "make it first")),
    ({"scf": {"levelshift": 0.1}}, InvalidInput, ("levelshift", "did you mean level_shift?")),
    ({"scf": {"with_df.auxbasis": "weigend"}}, InvalidInput, ("with_df.auxbasis",)),
    ({"scf": {"xc": "pbe"}}, InvalidInput, ("parameter xc",)),
    ({"scf": {"grids.level": 5}}, InvalidInput, ("parameter grid",)),
    ({"prepare": lambda mf: None}, InvalidInput, ("NoneType", "return mf")),
])
def test_what_cannot_be_computed_is_refused(parameters, error, words):
    atoms = hydrogen(**parameters)
    with pytest.raises(error) as raised:
        atoms.get_potential_energy()
    assert all(word in str(raised.value) for word in words)
    assert not atoms.calc.results


@pytest.mark.parametrize("atoms, error, word", [
    (Atoms(), InvalidInput, "no atoms"),
    (Atoms("H2", [(0, 0, 0), (0, 0, 0.8)], cell=[5, 5, 5], pbc=(True, False, False)), Unsupported, "atoms.pbc = False"),
    (Atoms("XH", [(0, 0, 0), (0, 0, 1)]), InvalidInput, "'X'"),
    (Atoms("H2", [(0, 0, 0), (0, 0, 0)]), InvalidInput, "apart"),
    (Atoms("H2", [(0, 0, 0), (0, 0, np.nan)]), InvalidInput, "nan"),
    (Atoms("H2", [(0, 0, 0), (0, 0, 0.8)], magmoms=[1, -1]), InvalidInput, "spin=0"),
    (Atoms("H2", [(0, 0, 0), (0, 0, 0.8)], magmoms=[0.5, 0]), InvalidInput, "set spin"),
    (Atoms("H2", [(0, 0, 0), (0, 0, 0.8)], charges=[0.5, 0]), InvalidInput, "set charge"),
])
def test_atoms_that_cannot_be_computed_are_refused(atoms, error, word):
    atoms.calc = MLXC(**SMALL)
    with pytest.raises(error, match=word):
        atoms.get_potential_energy()


def test_without_convergence_there_are_no_results():
    atoms = hydroxyl(max_cycle=2)
    for _ in range(2):  # the second question finds no result either
        with pytest.raises(SCFError, match="level_shift.*newton"):
            atoms.get_potential_energy()
    assert not atoms.calc.results
    atoms.positions[1, 2] += 0.01
    with pytest.raises(SCFError):
        atoms.get_forces()
    atoms.calc.set(max_cycle=50)
    assert atoms.get_potential_energy() < -2000


def test_stress_is_not_implemented():
    with pytest.raises(PropertyNotImplementedError):
        hydrogen().get_stress()


@pytest.mark.slow
def test_the_example_runs(capsys):
    import mlxc.ase

    blocks = [textwrap.dedent(block) for block in re.findall(r"(?:^    .*\n|^\n)+", mlxc.ase.__doc__, re.MULTILINE)]
    first, settings = (block for block in blocks if block.strip())
    namespace: dict = {}
    exec(first, namespace)
    assert "eV, D4 included" in capsys.readouterr().out
    exec(settings, namespace)


def test_mlxc_needs_no_ase():
    code = """if True:
        import sys
        import mlxc
        assert "ase" not in sys.modules
        sys.modules["ase"] = None
        try:
            import mlxc.ase
        except ImportError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install 'mlxc[ase]'" in done.stdout, done.stderr
