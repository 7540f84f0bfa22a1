"""Ensembles: what is shared, what differs, and that the functional is the mean."""

import tomllib

import numpy as np
import pytest

from mlxc.errors import InvalidInput
from mlxc.xc.ensemble import Ensemble
from tests.training.conftest import SPECIES, TARGETS, TINY
from tests.training.test_train import CONFIG
from training import configuration, ensemble, fit, loss, member
from training.data import Dataset
from training.model_card import card

DATASET = Dataset(SPECIES, TARGETS)


def config(members: int) -> dict:
    """The tests' configuration with a tolerance for every group, two steps, and members."""
    found = tomllib.loads(CONFIG)
    found["tolerance"] |= dict.fromkeys(sorted({t.group for t in TARGETS}), 3.0)
    return configuration.checked(found | {"fit": found["fit"] | {"steps": 2}, "ensemble": {"members": members}})


@pytest.fixture(scope="module")
def mean(records):
    """Two members fitted to the tests' targets."""
    return ensemble.fitted(config(2), DATASET, records, TINY, log=lambda _: None)[0]


def test_the_functional_is_the_mean_of_its_members(mean, records):
    assert isinstance(mean, Ensemble) and mean.members == 2
    prepared = fit.prepare(mean, SPECIES.values(), records, config(2)["dispersion"], TINY)
    one, two = ensemble.energies(mean, prepared)
    for key, energy in fit.energies(mean, prepared).items():
        assert energy == pytest.approx((one[key] + two[key]) / 2, abs=1e-12)
    assert max(abs(one[key] - two[key]) for key in one) > 1e-6


def test_a_member_is_what_its_own_configuration_gives(mean, records):
    for m in range(2):
        alone = member.fitted(ensemble.member_config(config(2), m), DATASET, records, TINY, log=lambda _: None)[0]
        pairs = zip(alone.parameters(), mean.member(m).parameters(), strict=True)
        assert all(np.array_equal(a.detach().numpy(), b.detach().numpy()) for a, b in pairs)


def test_one_member_is_a_plain_functional(records):
    functional = ensemble.fitted(config(1), DATASET, records, TINY, log=lambda _: None)[0]
    assert not isinstance(functional, Ensemble)
    alone, = ensemble.members(functional.requires_grad_(False))  # as a model that was loaded
    assert all(p.requires_grad for p in alone.parameters())
    assert not any(p.requires_grad for p in functional.parameters())
    assert np.array_equal(ensemble.parameters(alone), ensemble.parameters(functional))


def test_it_goes_on_from_its_members(mean, records):
    still = config(2) | {"fit": config(2)["fit"] | {"steps": 0}}
    again = ensemble.fitted(still, DATASET, records, TINY, begin=mean, log=lambda _: None)[0]
    for a, b in zip(again.parameters(), mean.parameters(), strict=True):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())


@pytest.fixture(scope="module")
def various(records):
    """Three members, the second without ζ² and with another tolerance: the configuration, and their mean."""
    found = config(3)
    found["ensemble"]["variants"] = [{"network": {"zeta2": False}, "tolerance": {"atomisation": 0.5}}]
    found = configuration.checked(found)
    return found, ensemble.fitted(found, DATASET, records, TINY, log=lambda _: None)[0]


def test_members_take_turns_with_the_variants(various, records):
    found, whole = various
    own = [ensemble.member_config(found, m) for m in range(3)]
    assert [c["tolerance"]["atomisation"] for c in own] == [3.0, 0.5, 3.0]
    assert [c["network"].get("zeta2", True) for c in own] == [True, False, True]
    assert not any("ensemble" in c for c in own) and found["tolerance"]["atomisation"] == 3.0
    for c, part in zip(own, ensemble.members(whole, found), strict=True):
        alone = member.fitted(c, DATASET, records, TINY, log=lambda _: None)[0]
        assert alone.network == part.network and np.array_equal(ensemble.parameters(alone), ensemble.parameters(part))
    assert not whole.networks["opposite_spin"].hidden[0].weight[1, :, 3].any()


def test_the_factors_of_a_variant_add_to_those_of_all():
    found = config(2) | {"factor": {"a": 0.5, "b": 0.5}}
    found["ensemble"]["variants"] = [{"factor": {"a": 0.25, "ab": 0.1}}]
    own = [ensemble.member_config(configuration.checked(found), m)["factor"] for m in range(2)]
    assert own == [{"a": 0.5, "b": 0.5}, {"a": 0.25, "b": 0.5, "ab": 0.1}]


def test_they_go_on_with_what_they_saw(various, records):
    found, whole = various
    again = ensemble.fitted(found, DATASET, records, TINY, begin=whole, log=lambda _: None)[0]
    assert not again.networks["opposite_spin"].hidden[0].weight[1, :, 3].any()
    assert not np.array_equal(ensemble.parameters(again), ensemble.parameters(whole))
    with pytest.raises(InvalidInput, match="which see more than"):
        ensemble.members(whole, found | {"network": found["network"] | {"zeta2": False}})


def test_the_card_tells_the_variants(various):
    found, whole = various
    fields = card(found, whole, DATASET, TARGETS, TINY)
    assert fields["training"]["variants"] == found["ensemble"]["variants"]
    assert "zeta2" not in fields["network"]  # which an rs sees unless the card says otherwise


def test_random_weights_have_mean_one_and_belong_to_their_seed():
    weights = loss.resampled(4000, 3)
    assert (weights > 0).all() and weights.mean() == pytest.approx(1, abs=0.05)
    np.testing.assert_array_equal(weights, loss.resampled(4000, 3))
    assert not np.array_equal(weights, loss.resampled(4000, 4))
