"""Stored densities: they integrate, they reproduce the energy, and building them can be interrupted."""

import dataclasses

import h5py
import numpy as np
import pytest
from pyscf import dft

from tests.training.conftest import SPECIES, TINY
from training import features
from training.data import Species


def spin_densities(record: features.Record) -> tuple[np.ndarray, np.ndarray]:
    n = record.variables
    return (n[0] / 2, n[0] / 2) if len(n) == 3 else (n[0], n[1])


@pytest.mark.parametrize("key", SPECIES)
def test_density_integrates_to_the_electrons(records, key):
    species, record = SPECIES[key], features.load(SPECIES[key], records, TINY)
    up, down = (record.weights @ n for n in spin_densities(record))
    assert record.converged and record.lost_electrons < 1e-4
    assert up == pytest.approx(species.n_alpha, abs=5e-3)
    assert down == pytest.approx(species.n_beta, abs=5e-3)


@pytest.mark.parametrize("key", SPECIES)
def test_closed_shells_have_three_variables_and_others_seven(records, key):
    record, species = features.load(SPECIES[key], records, TINY), SPECIES[key]
    assert record.variables.shape == (3 if species.n_alpha == species.n_beta else 7, len(record.weights))


@pytest.mark.parametrize("key", ("H", "H2+", "H_0.75"))
def test_one_electron_is_hartree_fock(records, key):
    """Exchange cancels the Hartree energy, whatever the occupation, and the operators of all ω lie in between."""
    record = features.load(SPECIES[key], records, TINY)
    assert record.e_scf == pytest.approx(record.e_rest + record.ex_full, abs=1e-8)
    long_range = [record.ex_lr[omega] for omega in features.OMEGAS]
    assert record.ex_full < long_range[-1] and all(a > b for a, b in zip(long_range, long_range[1:], strict=False))
    assert max(long_range) < 0


@pytest.mark.parametrize("key", SPECIES)
def test_local_exchange_integrates_to_the_short_range_exchange(records, key):
    """Σ w e_x^SR = E_x − E_x^LR for every ω, to the errors of the coarse grid and of the density fitting."""
    record, species = features.load(SPECIES[key], records, TINY), SPECIES[key]
    for omega in features.OMEGAS:
        e = record.ex_sr[omega]
        assert e.shape == (1 if species.n_alpha == species.n_beta else 2, len(record.weights))
        found = (2 if len(e) == 1 else 1) * (e @ record.weights).sum()
        assert found == pytest.approx(record.ex_full - record.ex_lr[omega], abs=2e-3)


def test_fractional_electron_has_its_share_of_the_one_electron_energy(records):
    """E(H, n) = n h: without correlation and with cancelled self-repulsion the energy is a straight line."""
    whole, part = (features.load(SPECIES[key], records, TINY) for key in ("H", "H_0.75"))
    assert part.e_scf == pytest.approx(0.75 * whole.e_scf, abs=1e-8)


@pytest.mark.parametrize("key", ("H2", "Li"))
def test_record_reproduces_the_energy_of_its_density(records, key):
    """E = rest + exact exchange of ωB97X + its semilocal part, integrated with the stored weights and variables."""
    record = features.load(SPECIES[key], records, TINY)
    v, spin = record.variables, len(record.variables) == 7
    ni = dft.numint.NumInt()
    omega, long_range, beta = ni.rsh_coeff(TINY.xc)
    short_range = long_range + beta
    if spin:  # gradients of the length and the angle that σ says
        a = np.sqrt(v[2])
        along = np.divide(v[3], a, out=np.zeros_like(a), where=a > 0)
        rest = np.sqrt(np.maximum(v[4] - along**2, 0))
        zero = np.zeros_like(a)
        rho = np.array([[v[0], a, zero, zero], [v[1], along, rest, zero]])
    else:
        rho = np.array([v[0], np.sqrt(v[1]), 0 * v[0], 0 * v[0]])
    exc = ni.eval_xc_eff(TINY.xc, rho, deriv=0, xctype="GGA")[0]
    n = v[0] + v[1] if spin else v[0]
    exchange = long_range * record.ex_lr[omega] + short_range * (record.ex_full - record.ex_lr[omega])
    assert record.e_rest + exchange + record.weights @ (n * exc) == pytest.approx(record.e_scf, abs=2e-5)


def test_record_survives_the_file(tmp_path):
    record = features.compute(SPECIES["H"], TINY)
    features._write(features.record_path(tmp_path, SPECIES["H"], TINY), SPECIES["H"], record)
    back = features.load(SPECIES["H"], tmp_path, TINY)
    for field in dataclasses.fields(features.Record):
        old, new = getattr(record, field.name), getattr(back, field.name)
        if field.name == "ex_sr":
            old, new = (np.array([x[omega] for omega in features.OMEGAS]) for x in (old, new))
        assert np.array_equal(old, new), field.name


CHANGES = {"xc": "pbe0", "scf_grid": 3, "grid": 4, "density_fit_above": 1, "auxbasis": "weigend", "conv_tol": 1e-5,
           "cutoff": 1e-4}


def test_every_setting_is_part_of_the_hash():
    assert set(CHANGES) == {field.name for field in dataclasses.fields(features.Settings)}
    settings = [features.STANDARD] + [dataclasses.replace(features.STANDARD, **{k: v}) for k, v in CHANGES.items()]
    assert len({features.record_path("x", SPECIES["H"], s) for s in settings}) == len(settings)


def test_every_property_of_a_species_is_part_of_the_hash(monkeypatch):
    h2 = SPECIES["H2"]
    shorter = (h2.atoms[0], ("H", (0.0, 0.0, 0.73)))
    changed = [dataclasses.replace(h2, **change) for change in (
        {}, {"atoms": shorter}, {"n_alpha": 2.0}, {"n_beta": 0.5}, {"basis": "sto-3g"}, {"key": "other"})]
    paths = {features.record_path("x", s, TINY) for s in changed}
    monkeypatch.setattr(features, "OMEGAS", (0.1,))
    paths.add(features.record_path("x", h2, TINY))
    assert len(paths) == len(changed) + 1


@pytest.fixture
def computed(monkeypatch):
    """Keys of the species that are computed, in order; their records are one and the same."""
    keys: list[str] = []
    record = features.compute(SPECIES["H"], TINY)

    def compute(species: Species, settings):
        keys.append(species.key)
        return record

    monkeypatch.setattr(features, "compute", compute)
    return keys


def test_building_resumes(tmp_path, computed):
    features.build(SPECIES, tmp_path, TINY)
    assert sorted(computed) == sorted(SPECIES)
    features.record_path(tmp_path, SPECIES["He"], TINY).unlink()
    features.build(SPECIES, tmp_path, TINY)
    assert computed[len(SPECIES):] == ["He"]


def test_a_half_written_file_does_no_harm(tmp_path, computed, monkeypatch):
    """A build that dies while writing leaves a temporary file, which counts for nothing."""
    one, path = {"H": SPECIES["H"]}, features.record_path(tmp_path, SPECIES["H"], TINY)
    with monkeypatch.context() as patch:
        patch.setattr(features.os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            features.build(one, tmp_path, TINY)
    leftover, = tmp_path.iterdir()
    leftover.write_bytes(leftover.read_bytes()[:100])
    assert not path.exists()
    features.build(one, tmp_path, TINY)
    assert computed == ["H", "H"] and features.load(SPECIES["H"], tmp_path, TINY).converged
    with h5py.File(path) as file:
        assert file.attrs["species"] == "H"


def test_parts_share_the_work(tmp_path, computed):
    features.build(SPECIES, tmp_path, TINY, part=(0, 2))
    first = set(computed)
    features.build(SPECIES, tmp_path, TINY, part=(1, 2))
    assert 0 < len(first) < len(SPECIES) and sorted(computed) == sorted(SPECIES)


def test_a_missing_record_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        features.load(SPECIES["H"], tmp_path, TINY)
