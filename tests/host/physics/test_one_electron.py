"""For one electron a local hybrid is Hartree–Fock, whatever its weights are; nothing that breaks this goes unseen."""

import pytest

from mlxc import zoo
from mlxc.host.physics import one_electron
from mlxc.xc.functional import LocalHybrid
from mlxc.xc.reference import reference
from tests.violators import (
    PlainlyGatedCorrelation,
    PlainlyGatedReplacement,
    UngatedCorrelation,
    UngatedReplacement,
    WeakExchange,
    violator,
)

MOLECULES = pytest.mark.parametrize("label", one_electron.MOLECULES)


@MOLECULES
def test_hartree_focks_density_has_its_energy_and_fock_matrix(lh, label):
    assert one_electron.fock_violation(lh, [label]) < 1e-10


@MOLECULES
def test_self_consistent_energy_is_hartree_focks(lh, label):
    assert one_electron.scf_violation(lh, [label]) < 1e-9


@pytest.mark.parametrize("label", one_electron.EXCITED)
def test_response_and_lowest_excitation_are_hartree_focks(lh, label):
    assert one_electron.response_violation(lh, [label]) < 1e-8


@pytest.mark.parametrize("mixin", [UngatedCorrelation, PlainlyGatedReplacement, UngatedReplacement, WeakExchange])
def test_a_wrong_fock_matrix_is_seen(mixin):
    """An energy that is right, and a potential that is wrong in the empty channel alone, as well."""
    assert one_electron.fock_violation(violator(mixin, LocalHybrid, 0.4), ["H"]) > 1e-6


@pytest.mark.parametrize("mixin", [UngatedReplacement, WeakExchange])
def test_a_wrong_energy_is_seen(mixin):
    assert one_electron.scf_violation(violator(mixin, LocalHybrid, 0.4), ["H"]) > 1e-4


@pytest.mark.parametrize("mixin", [PlainlyGatedReplacement, UngatedReplacement, WeakExchange])
def test_a_wrong_excitation_is_seen(mixin):
    assert abs(one_electron.response(violator(mixin, LocalHybrid, 0.4), one_electron.doublet("H"))[0]) > 1e-5


def test_a_right_energy_and_fock_matrix_do_not_hide_a_wrong_response():
    """Correlation gated by q = z²ζ²: of it and its derivatives only the kernel does not vanish."""
    plain = violator(PlainlyGatedCorrelation, LocalHybrid, 0.4)
    assert one_electron.scf_violation(plain, ["H"]) < 1e-9
    assert one_electron.fock_violation(plain, ["H"]) < 1e-10
    assert one_electron.response_violation(plain, ["H"]) > 1e-6


def test_a_range_separated_hybrid_comes_close_near_equilibrium():
    assert 0.1 < one_electron.near_equilibrium_violation(zoo.load("mlxc_rs")) < 3


def test_one_electron_energies_of_a_semilocal_functional_are_not_hartree_focks():
    functional = reference("pbe")
    functional.name = "one_electron_pbe"
    assert one_electron.near_equilibrium_violation(functional) == pytest.approx(3.8, abs=0.3)
