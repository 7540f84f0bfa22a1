"""Densities on the grid: they integrate, and they reproduce the energy, whatever functional made them."""

import dataclasses
import warnings

import numpy as np
import pytest
import torch
from pyscf import dft, gto

import mlxc
from mlxc.xc.density import Density
from tests.functionals import random_functional, random_local_hybrid
from tests.training.conftest import SPECIES, TINY
from training import features, scf


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
    long_range = [record.ex_lr[omega] for omega in TINY.omegas]
    assert record.ex_full < long_range[-1] and all(a > b for a, b in zip(long_range, long_range[1:], strict=False))
    assert max(long_range) < 0


@pytest.mark.parametrize("key", SPECIES)
def test_local_exchange_integrates_to_the_short_range_exchange(records, key):
    """Σ w e_x^SR = E_x − E_x^LR for every ω, to the errors of the coarse grid and of the density fitting."""
    record, species = features.load(SPECIES[key], records, TINY), SPECIES[key]
    for omega in TINY.omegas:
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


def test_a_record_of_any_mean_field_is_of_its_density():
    """With the functional in training: E_SCF = rest + exact exchange + the functional's own terms, at that density."""
    functional = random_functional()
    functional.name = "toy_features"
    settings = dataclasses.replace(TINY, xc=mlxc.register(functional))
    mf = dft.UKS(gto.M(atom="Li 0 0 0", basis="sto-3g", spin=1, verbose=0), xc=settings.xc)
    mf.grids.level = settings.scf_grid
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mlxc.DomainWarning)
        mf.kernel()
    record = features.record_of(mf, settings)
    assert record.e_scf == mf.e_tot and record.stable is None
    density = Density.from_variables(tuple(torch.from_numpy(record.variables)))
    semilocal = float(torch.from_numpy(record.weights) @ functional.edens(density))
    long_range = record.ex_lr[functional.omega]
    exact = long_range + functional.sr_fraction * (record.ex_full - long_range)
    assert record.e_rest + exact + semilocal == pytest.approx(mf.e_tot, abs=1e-7)
    assert features.compute(SPECIES["Li"], settings).e_scf == pytest.approx(mf.e_tot, abs=1e-7)


def test_a_local_hybrid_makes_densities():
    """Fractional electrons included; for one electron it is Hartree–Fock."""
    functional = random_local_hybrid(name="toy_local_features")
    settings = dataclasses.replace(TINY, xc=mlxc.register(functional))
    for key in ("H2", "H_0.75"):
        record = features.compute(SPECIES[key], settings)
        assert record.converged and np.isfinite(record.variables).all()
    assert record.e_scf == pytest.approx(record.e_rest + record.ex_full, abs=1e-8)


def test_dropped_points_hold_the_electrons_that_the_record_says():
    """A large cutoff loses what it says, a cutoff of 0 nothing, and what is left is the same."""
    species = SPECIES["He"]
    mf, _ = scf.mean_field(species, TINY)
    everything, some = (features.record_of(mf, dataclasses.replace(TINY, cutoff=c)) for c in (0.0, 1e-4))
    electrons = [np.abs(r.weights) @ r.variables[0] for r in (everything, some)]  # weights may be negative
    assert everything.lost_electrons == 0 < some.lost_electrons
    assert electrons[0] - electrons[1] == pytest.approx(some.lost_electrons, abs=1e-12)
    assert len(some.weights) < len(everything.weights) and set(some.weights) <= set(everything.weights)
    assert some.e_rest == everything.e_rest and some.ex_lr == everything.ex_lr
