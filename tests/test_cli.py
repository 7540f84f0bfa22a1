"""The command line: results, and one sentence with the right exit code for every kind of bad input."""

import json
import os
import subprocess
import sys

import pytest
from pyscf import dft, gto, scf

from mlxc import checking, cli, zoo
from mlxc.errors import Unsupported
from mlxc.xc.constraints import Constraint, Measured
from mlxc.xc.ensemble import combine
from mlxc.zoo import store
from tests.functionals import random_functional

#: A radical whose state is not degenerate: its energy on a coarse grid does not depend on which one is found.
RADICAL = ["--atom", "O 0 0 0; H 0 0.76 0.59; H 0 -0.76 0.59", "--charge", "1", "--basis", "sto-3g", "--grid", "0"]
OH = ["--atom", "O 0 0 0; H 0 0 0.97", "--basis", "sto-3g", "--grid", "0"]
H2 = ["--atom", "H 0 0 0; H 0 0 0.74", "--basis", "sto-3g", "--grid", "0"]


@pytest.fixture
def mlxc_run(capsys, tmp_path, monkeypatch):
    """Runs a command in an empty folder; gives its exit code, stdout and stderr."""
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")

    def run(*arguments):
        code = cli.main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return run


def result_of(mlxc_run, *arguments):
    code, out, _ = mlxc_run("run", *arguments, "--json")
    assert code == cli.OK
    return json.loads(out)


def stock(xc):
    """RADICAL by PySCF alone."""
    mol = gto.M(atom=RADICAL[1], basis="sto-3g", charge=1, spin=1, verbose=0)
    mf = dft.UKS(mol, xc=xc)
    mf.grids.level = 0
    mf.kernel()
    return mf


def test_a_radical_has_the_energy_and_properties_of_pyscf(mlxc_run):
    result, mf = result_of(mlxc_run, *RADICAL, "--xc", "b3lyp"), stock("b3lyp")
    assert result["energy_scf_ha"] == pytest.approx(mf.e_tot, abs=1e-9)
    assert result["energy_dispersion_ha"] is None and result["energy_total_ha"] == result["energy_scf_ha"]
    assert result["s2"] == pytest.approx(mf.spin_square()[0]) and result["s2_of_pure_spin"] == 0.75
    homo = max(mf.mo_energy[0][4], mf.mo_energy[1][3])
    assert result["ionisation_energy_ev"] == -result["homo_ev"] == pytest.approx(-27.211386 * homo, rel=1e-5)
    assert sum(result["spin_populations"]) == pytest.approx(1)
    assert result["spin_populations"][0] > 0.9


def test_the_text_shows_what_the_dictionary_holds(mlxc_run):
    result = result_of(mlxc_run, *RADICAL, "--xc", "pbe")
    code, out, err = mlxc_run("run", *RADICAL, "--xc", "pbe")
    assert code == cli.OK
    for shown in ("H2O, charge +1, unpaired electrons: 1", f"{result['energy_scf_ha']:.8f} Ha", "<S2>", "HOMO", "LUMO",
                  "no dispersion correction added", "(-HOMO)", "1 O", "2 H", f"{result['spin_populations'][0]:.3f}"):
        assert shown in out
    assert err.count("cycle") == result["cycles"]


def test_dispersion_stands_apart(mlxc_run):
    result = result_of(mlxc_run, *RADICAL, "--xc", "pbe", "--disp")
    expected = float(stock("pbe").get_dispersion(disp="d4"))
    assert result["energy_dispersion_ha"] == pytest.approx(expected)
    assert result["energy_total_ha"] == pytest.approx(result["energy_scf_ha"] + expected, abs=1e-12)
    assert "D4 dispersion" in mlxc_run("run", *RADICAL, "--xc", "pbe", "--disp")[1]


def test_dipole_of_an_ion_does_not_depend_on_its_place(mlxc_run):
    here = result_of(mlxc_run, *OH, "--xc", "pbe", "--charge", "-1")
    moved = result_of(mlxc_run, "--atom", "O 5 0 0; H 5 0 0.97", *OH[2:], "--xc", "pbe", "--charge", "-1")
    assert moved["dipole_debye"] == pytest.approx(here["dipole_debye"], abs=1e-6)


def test_an_electron_that_is_not_bound_is_said(mlxc_run):
    _, out, _ = mlxc_run("run", *OH, "--xc", "pbe", "--charge", "-1")
    assert "warning: the highest occupied level lies at" in out and "is not bound" in out


def test_an_xyz_file_is_run(mlxc_run, tmp_path):
    path = tmp_path / "h2.xyz"
    path.write_text("2\n\nH 0 0 0\nH 0 0 0.74\n")
    from_file = result_of(mlxc_run, path, *H2[2:], "--xc", "pbe")
    assert from_file["energy_scf_ha"] == pytest.approx(result_of(mlxc_run, *H2, "--xc", "pbe")["energy_scf_ha"])


def test_density_fitting_is_used(mlxc_run):
    fitted, exact = (result_of(mlxc_run, *H2, "--xc", "pbe", *flag) for flag in (["--df"], []))
    assert fitted["density_fit"] and not exact["density_fit"]
    assert 1e-9 < abs(fitted["energy_scf_ha"] - exact["energy_scf_ha"]) < 1e-2


def test_atoms_without_virtual_levels_are_printed(mlxc_run):
    code, out, _ = mlxc_run("run", "--atom", "He 0 0 0", *H2[2:], "--xc", "pbe")
    assert code == cli.OK and "LUMO                                     none eV" in out


def test_a_saved_calculation_can_be_taken_up(mlxc_run, tmp_path):
    path = tmp_path / "oh.chk"
    result = result_of(mlxc_run, *RADICAL, "--xc", "pbe", "--save", path)
    mol, data = scf.chkfile.load_scf(str(path))
    assert data["e_tot"] == pytest.approx(result["energy_scf_ha"], abs=1e-10) and mol.spin == 1
    assert mlxc_run("run", *OH, "--xc", "pbe", "--save", path)[0] == cli.OK


def test_without_convergence_the_energy_is_called_so(mlxc_run):
    code, out, _ = mlxc_run("run", *OH, "--xc", "pbe", "--max-cycle", "1")
    assert code == cli.NOT_CONVERGED and "last energy, NOT CONVERGED" in out and "HOMO" not in out
    code, out, _ = mlxc_run("run", *OH, "--xc", "pbe", "--max-cycle", "1", "--json")
    result = json.loads(out)
    assert code == cli.NOT_CONVERGED and not result["converged"]
    assert result["energy_scf_ha"] is None and result["energy_not_converged_ha"] < -70


def test_a_density_that_diverges_is_not_converged(mlxc_run, monkeypatch):
    def broken(*args, **kwargs):
        raise scf.hf.numpy.linalg.LinAlgError("array must not contain infs or NaNs")

    monkeypatch.setattr(scf.hf, "kernel", broken)
    code, out, err = mlxc_run("run", *OH, "--xc", "pbe")
    assert code == cli.NOT_CONVERGED and "SCF broke down" in err and "none Ha" in out


# ---------------------------------------------------------------------------------------------- models

def test_a_model_of_the_users_is_run_by_its_path(mlxc_run, card_path):
    result = result_of(mlxc_run, *RADICAL, "--xc", card_path)
    assert result["functional"] == "toy_rs" and result["model_version"] == "0.1" and result["warnings"] == []
    assert result["energy_scf_ha"] == pytest.approx(stock("toy_rs").e_tot, abs=1e-9)
    assert result["energy_dispersion_ha"] < 0
    assert result_of(mlxc_run, *RADICAL, "--xc", card_path, "--no-disp")["energy_dispersion_ha"] is None


def test_grid_of_the_card_is_the_default(mlxc_run, card_path):
    assert result_of(mlxc_run, *OH[:4], "--xc", card_path)["grid_level"] == 0


def test_a_step_outside_the_training_domain_is_a_warning(mlxc_run, card_path):
    code, out, _ = mlxc_run("run", "--atom", "N 0 0 0", "--spin", "3", *OH[2:], "--xc", card_path)
    assert code == cli.OK
    assert "warning: toy_rs was not trained on N (trained on H, O)" in out
    assert "warning: toy_rs was not trained on 3 unpaired electrons" in out


def test_models_are_listed_and_told_about(mlxc_run, card_path, monkeypatch):
    monkeypatch.setattr(zoo, "MODELS", card_path.parent)
    assert mlxc_run("list")[1] == "toy_rs           0.1      Untrained functional of the tests.\n"
    code, out, _ = mlxc_run("info", card_path)
    assert code == cli.OK and "toy_rs 0.1 (kind rs)" in out and "elements         H, O" in out
    assert json.loads(mlxc_run("info", card_path, "--json")[1])["name"] == "toy_rs"


def test_the_mean_of_several_functionals_tells_its_spread(mlxc_run, card_fields, tmp_path, monkeypatch):
    pair = combine([random_functional(seed=seed, width=4, depth=1) for seed in (1, 2)], "toy_mean")
    exchange = {"omega": 0.3, "sr_fraction": 0.2, "lr_fraction": 1.0}
    path = zoo.save(tmp_path, pair, card_fields | {"name": "toy_mean", "exchange": exchange})
    assert 1e-5 < result_of(mlxc_run, *H2, "--xc", path)["energy_std_ha"] < 1
    assert "Ha (standard deviation of the members)" in mlxc_run("run", *H2, "--xc", path)[1]
    assert result_of(mlxc_run, *H2, "--xc", "pbe")["energy_std_ha"] is None
    monkeypatch.setattr(zoo, "MODELS", tmp_path)
    assert mlxc_run("list")[1].endswith("tests. (mean of 2 members: mf.xc_uncertainty())\n")


def set_rows(monkeypatch, *claimed_ok):
    """Puts rows of these (claimed, ok) in the place of what is measured."""
    found = [Measured(Constraint("law", "0 = 0", "nowhere", "", lambda functional: 0.0, 1e-9), claimed, 1e-3 * (not ok))
             for claimed, ok in claimed_ok]
    monkeypatch.setattr(checking.constraints, "measure", lambda functional, table: found)


@pytest.mark.parametrize("measured, code, shown", [
    ([(True, True)], cli.OK, "holds"),
    ([(True, True), (False, False)], cli.OK, "does not hold, not claimed"),
    ([(True, True), (True, False)], cli.VIOLATED, "VIOLATED"),
])
def test_check_fails_where_a_claim_does_not_hold(mlxc_run, card_path, monkeypatch, measured, code, shown):
    set_rows(monkeypatch, *measured)
    found, out, _ = mlxc_run("check", card_path)
    assert found == code and shown in out
    assert "D4 dispersion, outside these claims" in out and "Ha for H2+" in out


def test_a_claim_that_nothing_measures_is_a_violation(mlxc_run, functional, card_fields, tmp_path, monkeypatch):
    set_rows(monkeypatch, (False, True))
    path = zoo.save(tmp_path, functional, card_fields | {"claims": ["perpetual_motion"]})
    code, out, _ = mlxc_run("check", path)
    assert code == cli.VIOLATED and "perpetual_motion" in out and "not measured" in out


@pytest.mark.slow
@pytest.mark.parametrize("name", zoo.names())
def test_every_claim_of_every_shipped_model_holds(mlxc_run, name):
    code, out, _ = mlxc_run("check", name, "--json")
    assert code == cli.OK and len(json.loads(out)) >= len(zoo.card(name)["claims"])


def test_too_little_memory_is_no_error_of_mlxc(mlxc_run, monkeypatch):
    def kernel(mf, **kwargs):
        raise MemoryError("9.9 GB")

    monkeypatch.setattr(scf.hf.SCF, "kernel", kernel)
    code, out, err = mlxc_run("run", *H2)
    assert code == cli.BAD_INPUT and not out
    assert "not enough memory for this calculation (9.9 GB): use a smaller basis, --df, or a machine" in err


def test_a_mixture_with_a_model_is_not_supported(mlxc_run):
    code, out, err = mlxc_run("run", *OH, "--xc", "mlxc_rs,pbe")
    assert code == cli.UNSUPPORTED and not out and "mlxc_rs" in err


def test_the_default_functional_binds_the_electron_of_an_anion(mlxc_run):
    result = result_of(mlxc_run, *OH[:2], "--charge", "-1", "--basis", "6-31+g")
    assert result["functional"] == "mlxc_rs" and result["homo_ev"] < 0 and result["warnings"] == []


@pytest.mark.parametrize("command", [["info"], ["check"], ["run", *H2, "--xc"]])
def test_a_damaged_model_has_its_own_exit_code(mlxc_run, card_path, command):
    weights = store.weights_path(card_path)
    weights.write_bytes(weights.read_bytes()[:-1])
    code, out, err = mlxc_run(*command, card_path)
    assert code == cli.BAD_MODEL and not out and "is truncated" in err


# ------------------------------------------------------------------------------------------- bad input

@pytest.mark.parametrize("arguments, reason", [
    ([], "give either the path of an xyz file or --atom"),
    (["file.xyz", *H2], "give either the path of an xyz file or --atom"),
    (["none.xyz"], "none.xyz does not exist"),
    (["--atom", "O 0 0"], "is not an atom"),
    (["--atom", "Qq 0 0 0"], "'Qq' is not an element"),
    ([*OH, "--xc", "b3lpy"], "unknown functional 'b3lpy'; did you mean B3LYP?"),
    ([*OH, "--xc", ""], "functional '' names no functional"),
    ([*OH, "--xc", ","], "functional ',' names no functional"),
    ([*OH, "--xc", "mlxc_rs-d4"], "give a functional's name alone, and --disp for D4"),
    ([*OH, "--xc", "b3lyp-d3bj"], "give a functional's name alone, and --disp for D4"),
    ([*OH, "--xc", "pbe", "--spin", "0"], "spin 0 is not possible for 9 electrons: 1, 3 unpaired are"),
    ([*OH, "--xc", "pbe", "--spin", "one"], "'one' is not a valid integer"),
    ([*OH, "--xc", "pbe", "--charge", "40"], "charge +40 is not possible"),
    ([*OH, "--xc", "pbe", "--charge", "-40"], "charge -40 is not possible"),
    ([*OH, "--xc", "pbe", "--basis", "def2-tzvpdd"], "unknown basis 'def2-tzvpdd'; did you mean def2tzvpd?"),
    (["--atom", "I 0 0 0", "--xc", "pbe", "--basis", "6-31g"], "has no functions for element I"),
    ([*OH, "--xc", "pbe", "--save", "missing/oh.chk"], "the folder missing does not exist"),
    ([*OH, "--xc", "pbe", "--save", "."], "is not a file"),
    ([*OH, "--xc", "pbe", "--grid", "12"], "12 is not in the range 0<=x<=9"),
    ([*OH, "--xc", "pbe", "--max-cycle", "0"], "0 is not in the range x>=1"),
    ([*OH, "--xc", "wb97m_v", "--disp"], "has dispersion of its own"),
    ([*OH, "--xc", "svwn", "--disp"], "D4 has no energy for svwn"),
    (["--atom", "H 0 0 0; ghost-O 0 0 1", *H2[2:], "--xc", "pbe", "--disp"], "no ghost atoms: use --no-disp"),
    ([*OH, "--colour", "blue"], "No such option '--colour'"),
])
def test_bad_input_is_refused_before_anything_is_done(mlxc_run, monkeypatch, tmp_path, arguments, reason):
    monkeypatch.setattr(scf.hf, "kernel", lambda *args, **kwargs: pytest.fail("computed something"))
    code, out, err = mlxc_run("run", *arguments)
    assert code == cli.BAD_INPUT and not out
    assert reason in err and "Traceback" not in err
    assert not list((tmp_path / "empty").iterdir())


def test_a_file_that_is_no_checkpoint_is_not_overwritten(mlxc_run, tmp_path):
    path = tmp_path / "thesis.txt"
    path.write_text("important")
    code, _, err = mlxc_run("run", *OH, "--xc", "pbe", "--save", path)
    assert code == cli.BAD_INPUT and "would overwrite" in err and path.read_text() == "important"


def test_without_the_dispersion_package_the_cure_is_told(mlxc_run, monkeypatch, card_path):
    monkeypatch.setitem(sys.modules, "pyscf.dispersion.dftd4", None)
    code, _, err = mlxc_run("run", *OH, "--xc", card_path)
    assert code == cli.BAD_INPUT and "pip install 'mlxc[disp]'" in err and "--no-disp" in err
    assert mlxc_run("run", *OH, "--xc", card_path, "--no-disp")[0] == cli.OK


def test_a_card_without_dispersion_adds_none(mlxc_run, functional, card_fields, tmp_path):
    path = zoo.save(tmp_path, functional, card_fields | {"dispersion": {}})
    assert result_of(mlxc_run, *H2, "--xc", path)["energy_dispersion_ha"] is None
    code, _, err = mlxc_run("run", *H2, "--xc", path, "--disp")
    assert code == cli.BAD_INPUT and "no D4 parameters" in err


def test_a_users_model_does_not_take_a_shipped_name(mlxc_run, card_path, monkeypatch):
    monkeypatch.setattr(zoo, "names", lambda: ["toy_rs"])
    code, _, err = mlxc_run("run", *H2, "--xc", card_path)
    assert code == cli.BAD_INPUT and "a model that comes with mlxc" in err


@pytest.mark.parametrize("command", ["info", "check"])
def test_an_unknown_model_is_told_the_closest(mlxc_run, card_path, monkeypatch, command):
    monkeypatch.setattr(zoo, "MODELS", card_path.parent)
    code, _, err = mlxc_run(command, "toyrs")
    assert code == cli.BAD_INPUT and "did you mean toy_rs?" in err


@pytest.mark.parametrize("error, code", [
    (KeyboardInterrupt(), cli.INTERRUPTED), (Unsupported("no"), cli.UNSUPPORTED), (RuntimeError("bug"), cli.BUG),
])
def test_other_ends_have_their_exit_codes(mlxc_run, monkeypatch, error, code):
    def fail():
        raise error

    monkeypatch.setattr(zoo, "names", fail)
    found, out, err = mlxc_run("list")
    assert found == code and not out and ("Traceback" in err) == (code == cli.BUG)


def test_a_closed_pipe_has_its_own_exit_code():
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-m", "mlxc.cli", "list"], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert done.returncode == cli.UNREAD and "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "-h"]])
def test_help_is_no_error(mlxc_run, arguments):
    code, out, _ = mlxc_run(*arguments)
    assert code == cli.OK and "mlxc" in out
