"""Models with members: one file, whose card says how many; single models stay as they were."""

import re
import tomllib

import pytest
import safetensors.torch
import torch

from mlxc import zoo
from mlxc.errors import InvalidModel
from mlxc.xc import violations
from mlxc.xc.ensemble import combine
from mlxc.zoo import store
from mlxc.zoo.card import checked_card, physics_hash
from mlxc.zoo.text import card_as_text
from tests.functionals import random_functional, random_local_hybrid

EXCHANGE = {
    "rs": {"omega": 0.3, "sr_fraction": 0.2, "lr_fraction": 1.0},
    "lh": {"local_omega": 0.4, "b_max": 2.0, "omega": 0.0, "sr_fraction": 1.0, "lr_fraction": 1.0},
}


def saved(kind: str, card_fields: dict, folder):
    """(functional, card's path) of an ensemble of three."""
    make = {"rs": random_functional, "lh": random_local_hybrid}[kind]
    functional = combine([make(seed=seed, width=4, depth=1) for seed in range(3)], "toy")
    fields = card_fields | {"name": "toy", "kind": kind, "exchange": EXCHANGE[kind], "network": functional.network}
    return functional, zoo.save(folder, functional, fields)


@pytest.mark.parametrize("kind", EXCHANGE)
def test_a_saved_ensemble_comes_back(kind, card_fields, tmp_path):
    functional, path = saved(kind, card_fields, tmp_path)
    loaded = zoo.load(str(path))
    density = violations.sampled_density(50)
    exact = violations.any_exact_exchange(density)
    assert torch.equal(violations.energy(loaded, density, exact), violations.energy(functional, density, exact))
    assert torch.equal(loaded.member_edens(density), functional.member_edens(density))
    assert loaded.name == "toy" and loaded.members == 3 and loaded.card["ensemble"] == {"members": 3}
    assert not any(p.requires_grad for p in loaded.parameters())
    assert {shape[0] for shape in loaded.card["weights"]["tensors"].values()} == {3}


def test_the_card_tells_the_members(card_fields, tmp_path):
    _, path = saved("lh", card_fields, tmp_path)
    assert re.search(r"mean of several functionals of one form\n  members +3\n", card_as_text(zoo.card(path)))


def test_single_models_say_nothing_of_members(card_path):
    assert "ensemble" not in tomllib.loads(card_path.read_text())
    assert zoo.card(card_path)["ensemble"] == {} and zoo.load(str(card_path)).members == 1


def test_the_number_of_members_is_physics(card_fields, tmp_path):
    _, path = saved("rs", card_fields, tmp_path)
    card = zoo.card(path)
    assert len({physics_hash(card | {"ensemble": e}) for e in ({}, {"members": 2}, {"members": 3})}) == 3
    path.write_text(path.read_text().replace("members = 3", "members = 2"))
    with pytest.raises(InvalidModel, match="edited after the weights were saved"):
        zoo.load(str(path))


@pytest.mark.parametrize("cut", [
    lambda t: t[:2], lambda t: t[0], lambda t: t[..., :1],
], ids=["a member too few", "one member alone", "inputs too few"])
def test_weights_of_another_shape_are_refused_with_the_one_expected(cut, card_fields, tmp_path):
    """Where card and weights agree with each other, and neither with the network."""
    functional, path = saved("rs", card_fields, tmp_path)
    content = store.weights_path(path).read_bytes()
    tensors = {key: cut(value).contiguous() for key, value in safetensors.torch.load(content).items()}

    class Foreign(torch.nn.Module):
        members = functional.members

        def state_dict(self):
            return tensors

    fields = {key: value for key, value in zoo.card(path).items() if key not in ("format", "ensemble", "weights")}
    zoo.save(tmp_path, Foreign(), fields)
    with pytest.raises(InvalidModel, match=r"\(members: 3\): .* has shape \[.*\], expected \[3, "):
        zoo.load(str(path))


@pytest.mark.parametrize("ensemble", [{"members": 1}, {"members": "5"}, {"members": True}, {"heads": 5},
                                      {"members": 5, "trunk": 1}])
def test_a_wrong_number_of_members_is_named(ensemble, card_fields):
    weights = {"sha256": "a" * 64, "bytes": 10, "tensors": {}}
    with pytest.raises(InvalidModel, match=re.escape(f"[ensemble] is {ensemble!r}, expected members = M")):
        checked_card(card_fields | {"format": 1, "weights": weights, "ensemble": ensemble})
