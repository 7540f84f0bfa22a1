"""One nucleus and one electron: orbitals with and without nodes, any nuclear charge, a fraction of an electron."""

import numpy as np
import pytest

from mlxc.host.physics import hydrogen
from mlxc.xc.functional import LocalHybrid
from tests.violators import UngatedReplacement, WeakExchange, violator

LEVELS = {0: 1, 1: 2, 2: 3}  # momentum: principal quantum number


@pytest.mark.parametrize("charge", [1, 36])
@pytest.mark.parametrize("momentum", LEVELS)
def test_the_basis_holds_the_exact_orbital(charge, momentum):
    """E = −Z²/2n²."""
    energy = hydrogen.hydrogenic(charge, momentum).UHF().run().e_tot
    assert energy / charge**2 == pytest.approx(-0.5 / LEVELS[momentum] ** 2, rel=4e-4)


@pytest.mark.parametrize("charge", hydrogen.CHARGES)
@pytest.mark.parametrize("momentum", LEVELS)
def test_hydrogenic_energies_are_hartree_focks(lh, charge, momentum):
    assert abs(hydrogen.hydrogenic_error(lh, charge, momentum)) < 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("charge", range(1, 37))
def test_hydrogenic_energies_of_all_charges_are_hartree_focks(lh, charge):
    assert hydrogen.hydrogenic_violation(lh, [charge]) < 1e-9


@pytest.mark.parametrize("momentum", LEVELS)
@pytest.mark.parametrize("mixin", [UngatedReplacement, WeakExchange])
def test_a_violation_is_seen_in_every_orbital(mixin, momentum):
    assert abs(hydrogen.hydrogenic_error(violator(mixin, LocalHybrid, 0.4), 1, momentum)) > 1e-5


def test_the_energy_is_linear_in_a_fraction_of_an_electron(lh):
    assert hydrogen.fractional_violation(lh) < 1e-9


def test_a_curved_energy_is_seen():
    """An electron that interacts with a tenth of itself: N² (J − 0.9 K)."""
    errors = hydrogen.fractional_errors(violator(WeakExchange, LocalHybrid, 0.4))
    np.testing.assert_allclose(errors / errors[-1], np.array([0.25, 0.5, 0.75, 1]) ** 2, atol=0.03)
    assert errors[-1] == pytest.approx(0.03, abs=0.003)
