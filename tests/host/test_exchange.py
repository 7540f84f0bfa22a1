"""Local exact exchange: against integrals of all AO pairs, PySCF's exchange matrix, and differences of the energy."""

import numpy as np
import pytest
import torch
from pyscf import dft, gto, lib, scf

from mlxc.errors import InvalidDensity, InvalidInput, MemoryWarning, Unsupported
from mlxc.host.exchange import LocalExchange
from mlxc.host.fitting import auxiliary, even_tempered
from mlxc.host.points import significant
from tests.host.support import WATER, direction, symmetric

OMEGA = 0.3
OH = "O 0 0 0; H 0 0 0.97"


def grid(mol, level=0) -> dft.Grids:
    return dft.Grids(mol).set(level=level, verbose=0).build()


def exact(mol, coords, dms, omega=OMEGA) -> np.ndarray:
    """−½ Σ D_μν D_λσ χ_μ χ_λ v_νσ with the integrals of all AO pairs, shape (2, n)."""
    kernel = mol.intor("int1e_grids", grids=coords)
    with mol.with_range_coulomb(omega):
        kernel = kernel - mol.intor("int1e_grids", grids=coords)
    ao = dft.numint.eval_ao(mol, coords)
    return np.array([-0.5 * np.einsum("gm,gn,gmn->g", ao @ d, ao @ d, kernel, optimize=True) for d in dms])


def spin_dms(dm) -> np.ndarray:
    dm = np.asarray(dm)
    return np.array([dm / 2, dm / 2]) if dm.ndim == 2 else dm


@pytest.fixture(scope="module")
def oh():
    """OH radical in 6-31G: molecule, converged UHF, coarse grid."""
    mol = gto.M(atom=OH, basis="6-31g", spin=1, verbose=0)
    return mol, mol.UHF().run(), grid(mol)


@pytest.fixture(scope="module")
def h2o():
    mol = gto.M(atom=WATER, basis="6-31g", verbose=0)
    return mol, mol.RHF().run(), grid(mol)


@pytest.fixture(scope="module")
def exchange(oh) -> LocalExchange:
    return LocalExchange(oh[0], oh[2].coords, OMEGA)


@pytest.mark.parametrize("case", ["h2o", "oh"])
def test_energy_density_is_that_of_all_ao_pairs(case, request):
    mol, mf, points = request.getfixturevalue(case)
    dm = mf.make_rdm1()
    error = LocalExchange(mol, points.coords, OMEGA).energy_density(dm) - exact(mol, points.coords, spin_dms(dm))
    assert np.abs(error).sum(0) @ points.weights < 1e-3
    assert abs(error.sum(0) @ points.weights) < 2e-5
    assert np.abs(error).max() < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("atoms, spin", [(WATER, 0), (OH, 1)], ids=["h2o", "oh"])
def test_published_errors_of_the_fit(atoms, spin):
    """The figures of docs/decisions.md, 13: Ha, and Ha bohr⁻³ pointwise."""
    mol = gto.M(atom=atoms, basis="def2-tzvp", spin=spin, verbose=0)
    dm, points = mol.UHF().run().make_rdm1(), grid(mol, 1)
    reference = exact(mol, points.coords, dm)

    def errors(auxbasis):
        error = LocalExchange(mol, points.coords, OMEGA, auxbasis).energy_density(dm) - reference
        return (abs(error.sum(0) @ points.weights), np.abs(error).sum(0) @ points.weights, np.abs(error).max())

    assert np.all(np.less(errors(None), (8e-6, 3.6e-4, 5e-4)))
    whole, absolute, largest = errors("def2-universal-jkfit")
    assert whole > 2e-5 and absolute > 7e-4 and largest > 1


@pytest.mark.parametrize("case", ["h2o", "oh"])
def test_integral_is_pyscfs_short_range_exchange(case, request):
    mol, mf, _ = request.getfixturevalue(case)
    dm, points = mf.make_rdm1(), grid(mol, 1)
    k = mf.get_k(mol, np.asarray(dm), omega=-OMEGA)
    expected = -np.einsum("ij,ji", k, dm) / 4 if k.ndim == 2 else -np.einsum("sij,sji", k, dm) / 2
    energy = LocalExchange(mol, points.coords, OMEGA).energy_density(dm).sum(0) @ points.weights
    assert abs(energy - expected) < 4e-5


def test_one_electron_gives_minus_half_density_times_hartree_potential():
    """With all products of hydrogen's s functions in the auxiliary basis there is no error of the fit."""
    mol = gto.M(atom="H 0 0 0", basis="sto-3g", spin=1, verbose=0)
    exponents = np.array([row[0] for row in mol._basis["H"][0][1:]])
    products = {float(a + b) for a in exponents for b in exponents}
    auxbasis = {"H": [[0, [e, 1.0]] for e in products]}
    dm, coords = mol.UHF().run().make_rdm1(), grid(mol).coords
    kernel = mol.intor("int1e_grids", grids=coords)
    with mol.with_range_coulomb(OMEGA):
        kernel = kernel - mol.intor("int1e_grids", grids=coords)
    hartree = np.einsum("gij,ij->g", kernel, dm[0])
    density = dft.numint.eval_rho(mol, dft.numint.eval_ao(mol, coords), dm[0])
    energy = LocalExchange(mol, coords, OMEGA, auxbasis).energy_density(dm)
    np.testing.assert_allclose(energy[0], -0.5 * density * hartree, rtol=1e-12, atol=1e-11)
    assert not energy[1].any()
    default = LocalExchange(mol, coords, OMEGA).energy_density(dm)
    np.testing.assert_allclose(default[0], energy[0], rtol=0, atol=1e-4)


def test_fractional_occupations(oh):
    mol, mf, points = oh
    occ = mf.mo_occ.copy()
    occ[0, 4], occ[1, 3], occ[1, 4] = 0.7, 0.5, 0.25
    dm = mf.make_rdm1(mf.mo_coeff, occ)
    assert dm.mo_occ[0, 4] == 0.7
    fit = LocalExchange(mol, points.coords, OMEGA)
    error = fit.energy_density(dm) - exact(mol, points.coords, dm)
    assert np.abs(error).sum(0) @ points.weights < 1e-3
    plain = LocalExchange(mol, points.coords, OMEGA)
    np.testing.assert_allclose(plain.energy_density(np.array(dm)), fit.energy_density(dm), rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize("case", ["h2o", "oh"])
def test_orbitals_make_no_difference(case, request):
    mol, mf, points = request.getfixturevalue(case)
    dm, f = mf.make_rdm1(), np.stack((points.weights, 0.5 * points.weights))
    with_orbitals, without = (LocalExchange(mol, points.coords, OMEGA) for _ in range(2))
    assert dm.mo_coeff is not None
    np.testing.assert_allclose(with_orbitals.energy_density(dm), without.energy_density(np.array(dm)),
                               rtol=1e-12, atol=1e-11)
    for occupied_only in (False, True):
        np.testing.assert_allclose(with_orbitals.fock(dm, f, occupied_only), without.fock(np.array(dm), f,
                                   occupied_only), rtol=0, atol=1e-10)


def test_orbitals_of_roks(oh):
    mol, _, points = oh
    mf = scf.ROHF(mol).run()
    dm = mf.make_rdm1()
    tagged = LocalExchange(mol, points.coords, OMEGA).energy_density(dm)
    np.testing.assert_allclose(tagged, LocalExchange(mol, points.coords, OMEGA).energy_density(np.array(dm)),
                               rtol=1e-12, atol=1e-11)


def test_tags_that_no_longer_hold_are_not_believed(oh, exchange):
    mol, mf, points = oh
    dm = mf.make_rdm1()
    stale = lib.tag_array(0.5 * np.array(dm), mo_coeff=dm.mo_coeff, mo_occ=dm.mo_occ)
    np.testing.assert_allclose(exchange.energy_density(stale), 0.25 * exchange.energy_density(dm),
                               rtol=1e-12, atol=1e-11)


def test_closed_shell_is_two_equal_spins(h2o):
    mol, mf, points = h2o
    dm, fit = np.array(mf.make_rdm1()), LocalExchange(mol, points.coords, OMEGA)
    energy = fit.energy_density(dm)
    np.testing.assert_array_equal(energy[0], energy[1])
    np.testing.assert_allclose(LocalExchange(mol, points.coords, OMEGA).energy_density(np.stack((dm, dm)) / 2),
                               energy, rtol=0, atol=1e-12)


def test_fock_matrix_is_the_derivative_of_the_energy(oh, exchange):
    """E is quadratic in D, so that central differences are exact for any step; f is not constant."""
    mol, mf, points = oh
    dm = np.array(mf.make_rdm1())
    f = points.weights * (1 + 0.5 * np.sin(points.coords[:, :2].T))
    step = np.stack([symmetric(mol.nao, mol.nao, seed=s) for s in (3, 4)])

    def energy(t):
        return float((f * exchange.energy_density(dm + t * step)).sum())

    numerical = (energy(0.1) - energy(-0.1)) / 0.2
    fock = exchange.fock(dm, f)
    assert np.einsum("sij,sij", fock, step) == pytest.approx(numerical, rel=1e-7)
    np.testing.assert_allclose(fock, fock.swapaxes(1, 2), rtol=0, atol=1e-14)


def test_closed_shell_fock_takes_one_factor_per_spin(h2o):
    mol, mf, points = h2o
    dm, fit = mf.make_rdm1(), LocalExchange(mol, points.coords, OMEGA)
    f = np.stack((points.weights, np.zeros_like(points.weights)))
    for occupied_only in (False, True):
        fock = fit.fock(dm, f, occupied_only)
        assert not fock[1].any()
        np.testing.assert_allclose(fit.fock(dm, f[[0, 0]], occupied_only), fock[[0, 0]], rtol=0, atol=1e-12)


@pytest.mark.parametrize("occupation", [1.0, 0.6])
def test_occupied_only_fock_has_the_occupied_blocks_of_the_full_one(oh, exchange, occupation):
    mol, mf, points = oh
    occ = mf.mo_occ.copy()
    occ[0, 4] = occupation
    dm = mf.make_rdm1(mf.mo_coeff, occ)
    f = points.weights * (1 + 0.5 * np.cos(points.coords[:, :2].T))
    full, completed = exchange.fock(dm, f), exchange.fock(dm, f, occupied_only=True)
    for orbitals, n, a, b in zip(mf.mo_coeff, occ, full, completed, strict=True):
        difference = orbitals.T @ (a - b) @ orbitals
        assert np.abs(difference[n > 0]).max() < 1e-12
        assert np.abs((orbitals.T @ b @ orbitals)[n == 0][:, n == 0]).max() < 1e-12


def test_full_fock_of_constant_f_is_pyscfs_exchange_matrix(h2o):
    mol, mf, _ = h2o
    points = grid(mol, 1)
    fock = LocalExchange(mol, points.coords, OMEGA).fock(mf.make_rdm1(), np.stack((points.weights,) * 2))
    k = mf.get_k(mol, np.array(mf.make_rdm1()), omega=-OMEGA)
    np.testing.assert_allclose(fock[0], -0.5 * k, rtol=0, atol=3e-4)


@pytest.mark.filterwarnings("ignore:.* of max_memory or of a GPU")
@pytest.mark.parametrize("spare", [0.05, 1.0, 5.0], ids=["small blocks", "nothing kept", "some kept"])
def test_memory_changes_nothing(oh, exchange, spare):
    """Small blocks, integrals computed again at every use, and blocks of V_P partly kept."""
    mol, mf, points = oh
    needed = exchange.grid.needed_mb
    frugal = LocalExchange(mol, points.coords, OMEGA, max_memory=needed - 1 + spare)
    assert frugal.grid.block < exchange.grid.block
    dm, f = mf.make_rdm1(), np.stack((points.weights, points.weights**2))
    np.testing.assert_allclose(frugal.energy_density(dm), exchange.energy_density(dm), rtol=0, atol=1e-12)
    for occupied_only in (False, True):
        np.testing.assert_allclose(frugal.fock(dm, f, occupied_only), exchange.fock(dm, f, occupied_only),
                                   rtol=1e-12, atol=1e-11)


def test_too_little_memory_says_how_much_is_needed(oh, exchange):
    mol, _, points = oh
    needed = exchange.grid.needed_mb
    with pytest.warns(MemoryWarning, match=rf"needs {needed:.0f} MB"):
        LocalExchange(mol, points.coords, OMEGA, max_memory=needed - 0.5)
    with pytest.raises(InvalidInput, match=r"1 MB are left, .*: the local exchange needs at least \d+ MB"):
        LocalExchange(mol, points.coords, OMEGA, max_memory=1)


def test_potentials_are_computed_once_where_they_fit(oh, monkeypatch):
    mol, mf, points = oh
    fit, calls = LocalExchange(mol, points.coords, OMEGA), []
    original = fit.fitting.potentials
    monkeypatch.setattr(fit.fitting, "potentials", lambda coords: calls.append(len(coords)) or original(coords))
    dm = mf.make_rdm1()
    for scale in (1.0, 0.9):
        fit.energy_density(scale * dm)
    fit.fock(dm, np.stack((points.weights,) * 2), occupied_only=True)
    assert sum(calls) == len(points.coords)


def test_skipped_points(oh, exchange):
    mol, mf, points = oh
    dm = mf.make_rdm1()
    whole = exchange.energy_density(dm)
    measure = np.abs(points.weights * whole.sum(0))
    kept = significant(measure, 1e-5)
    assert 0 < kept.sum() < 0.9 * len(kept)
    assert 0 < measure[~kept].sum() <= 1e-5
    part = LocalExchange(mol, points.coords, OMEGA).energy_density(dm, kept)
    np.testing.assert_allclose(part[:, kept], whole[:, kept], rtol=0, atol=1e-12)
    assert not part[:, ~kept].any()
    f = np.stack((points.weights,) * 2) * kept
    fewer = LocalExchange(mol, points.coords[kept], OMEGA).fock(dm, f[:, kept])
    np.testing.assert_allclose(exchange.fock(dm, f), fewer, rtol=1e-12, atol=1e-11)
    assert significant(measure, 0.0)[measure > 0].all()


def test_linear_dependencies_are_left_out_and_reported(oh):
    mol, mf, points = oh
    once = dict(zip(("O", "H"), even_tempered(mol), strict=True))
    twice = {symbol: shells + shells[:2] for symbol, shells in once.items()}
    single, double = (LocalExchange(mol, points.coords, OMEGA, aux) for aux in (once, twice))
    assert single.fitting.record["removed"] == 0
    assert double.fitting.record["removed"] == 4
    assert double.fitting.record["functions"] == single.fitting.record["functions"] + 4
    dm = mf.make_rdm1()
    np.testing.assert_allclose(double.energy_density(dm), single.energy_density(dm), rtol=0, atol=1e-8)


@pytest.mark.parametrize("atoms, basis", [
    ("Rn 0 0 0", "def2-svp"), ("H 0 0 0; ghost-H 0 0 1", "6-31g"),
    ("Ce 0 0 0", {"Ce": [[momentum, [1.0 + momentum, 1.0]] for momentum in range(5)]}),
    ("H1 0 0 0; H@2 0 0 1", {"H1": "6-31g", "H@2": "sto-3g"}), ("H 0 0 0", {"H": [[2, [1.0, 1.0]]]})])
def test_default_auxiliary_basis_is_as_diffuse_and_as_tight_as_the_orbitals(atoms, basis):
    mol = gto.M(atom=atoms, basis=basis, spin=None, ecp={"Rn": "def2-svp"}, verbose=0)
    for atom, shells in enumerate(even_tempered(mol)):
        exponents = [row[0] for shell in mol._basis[mol.atom_symbol(atom)] for row in shell[1:]]
        spherical = [shell[1][0] for shell in shells if shell[0] == 0]
        assert min(spherical) <= 2 * min(exponents) * (1 + 1e-12)
        assert max(spherical) >= 2 * max(exponents) * (1 - 1e-12)
        assert {shell[0] for shell in shells} <= set(range(7))
    points = np.array([[0.1, 0.2, 0.3]])
    assert np.isfinite(LocalExchange(mol, points, OMEGA).energy_density(np.eye(mol.nao))).all()


WATER = "O 0 0 0; H 0.96 0 0; H -0.24 0.93 0"
BY_ELEMENT = {"O": "def2-svp", "H": "def2-svp"}


@pytest.mark.parametrize("auxbasis", (None, "def2-universal-jkfit", {"O": "def2-svp-jkfit", "H": "def2-svp-jkfit"}))
@pytest.mark.parametrize(("called", "basis"), ((WATER.replace("H", "H{}"), BY_ELEMENT),
                                               (WATER.replace("H", "H{}"), "def2-svp"),
                                               (WATER.replace("O", "O@2"), BY_ELEMENT),
                                               (WATER.replace("H", "ghost-H"), BY_ELEMENT)))
def test_every_atom_with_orbitals_has_auxiliary_functions(called, basis, auxbasis):
    """Whatever atoms are called, and however their basis was given."""
    plain = auxiliary(gto.M(atom=WATER, basis="def2-svp", verbose=0), auxbasis)
    named = auxiliary(gto.M(atom=called.format(1, 2), basis=basis, verbose=0), auxbasis)
    assert [len(named.atom_shell_ids(i)) for i in range(3)] == [len(plain.atom_shell_ids(i)) for i in range(3)]
    np.testing.assert_array_equal(named._bas[:, 1:4], plain._bas[:, 1:4])


def test_atoms_of_one_element_have_functions_of_their_own_basis():
    """Two molecules joined, in different bases."""
    small, large = (gto.M(atom=f"H 0 0 {z}; H 0 0 {z + 0.74}", basis=basis, verbose=0)
                    for z, basis in ((0, "sto-3g"), (5, "def2-svp")))
    assert auxiliary(small + large).nao == auxiliary(small).nao + auxiliary(large).nao


def test_atoms_without_functions_are_refused(monkeypatch):
    mol = gto.M(atom="He 0 0 0; He 0 0 3", basis="sto-3g", verbose=0)
    monkeypatch.setattr("mlxc.host.fitting._covers", lambda *_: True)
    with pytest.raises(InvalidInput, match="given has no functions for He"):
        auxiliary(mol, {"Ne": "def2-universal-jkfit"})


def test_cartesian_orbitals():
    mol = gto.M(atom="F 0 0 0; H 0 0 0.92", basis={"F": "6-31g*", "H": "sto-3g"}, cart=True, verbose=0)
    dm, points = mol.RHF().run().make_rdm1(), grid(mol)
    error = LocalExchange(mol, points.coords, OMEGA).energy_density(dm) - exact(mol, points.coords, spin_dms(dm))
    assert np.abs(error).sum(0) @ points.weights < 1e-3


def test_auxiliary_basis_without_an_element_is_refused():
    mol = gto.M(atom="Li 0 0 0; H 0 0 1.6", basis="sto-3g", verbose=0)
    with pytest.raises(InvalidInput, match=r"'cc-pvtz-jkfit' has no functions for Li: use the default auxbasis=None "
                                           r"\(even-tempered\), auxbasis='def2-universal-jkfit'"):
        LocalExchange(mol, np.zeros((1, 3)), OMEGA, "cc-pvtz-jkfit")
    with pytest.raises(InvalidInput, match="given has no functions for Li"):
        LocalExchange(mol, np.zeros((1, 3)), OMEGA, {"H": "def2-universal-jkfit"})


@pytest.mark.parametrize("omega", [0.0, -0.3, np.nan])
def test_bad_omega(hydrogen, omega):
    with pytest.raises(InvalidInput, match="omega"):
        LocalExchange(hydrogen, np.zeros((1, 3)), omega)


def test_bad_arrays(oh, exchange):
    mol, mf, points = oh
    dm = np.array(mf.make_rdm1())
    broken = dm.copy()
    broken[1, 2, 3] = np.nan
    with pytest.raises(InvalidDensity, match="NaN"):
        exchange.energy_density(broken)
    with pytest.raises(InvalidDensity, match="shape"):
        exchange.energy_density(dm[:, :3])
    with pytest.raises(Unsupported, match="complex"):
        exchange.energy_density(dm + 1j * dm)
    with pytest.raises(InvalidInput, match="f has shape"):
        exchange.fock(dm, points.weights)
    with pytest.raises(InvalidInput, match="coords"):
        LocalExchange(mol, points.coords.T, OMEGA)
    with pytest.raises(InvalidInput, match="mask"):
        exchange.energy_density(dm, np.ones(3, dtype=bool))
    with pytest.raises(InvalidDensity, match="measure"):
        significant(-points.weights)


def test_tensors_are_accepted(oh, exchange):
    mol, mf, points = oh
    dm = torch.from_numpy(np.array(mf.make_rdm1()))
    np.testing.assert_array_equal(exchange.energy_density(dm), exchange.energy_density(dm.numpy()))


def test_rotation_with_the_molecule_changes_nothing(h2o):
    mol, _, points = h2o
    turn, _ = np.linalg.qr(direction(3, 3))
    turned = mol.set_geom_(mol.atom_coords() @ turn.T, unit="Bohr", inplace=False)
    before, after = (LocalExchange(m, x, OMEGA).energy_density(m.RHF().run(conv_tol=1e-13).make_rdm1())
                     for m, x in ((mol, points.coords), (turned, points.coords @ turn.T)))
    np.testing.assert_allclose(after, before, rtol=1e-6, atol=1e-7)
