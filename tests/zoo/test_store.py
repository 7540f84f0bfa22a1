"""Model files: what was saved comes back, and nothing else is let in."""

import hashlib
import os
import pickle
import tomllib

import pytest
import safetensors.torch
import tomli_w
import torch
from torch import nn

from mlxc import zoo
from mlxc.errors import InvalidModel, UnknownFunctional
from mlxc.xc.density import Density
from mlxc.zoo import store


def edit_card(path, change):
    """Rewrites the card after `change` has worked on its fields."""
    fields = tomllib.loads(path.read_text())
    change(fields)
    path.write_text(tomli_w.dumps(fields))


def replace_weights(path, content: bytes):
    """Puts other weights beside the card, with a card that vouches for them."""
    store.weights_path(path).write_bytes(content)
    edit_card(path, lambda f: f["weights"].update(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content)))


def with_tensors(path, change):
    """As `replace_weights`, with tensors that `change` has worked on and the right metadata."""
    content = store.weights_path(path).read_bytes()
    tensors = safetensors.torch.load(content)
    change(tensors)
    replace_weights(path, safetensors.torch.save(tensors, metadata=store._metadata(content)))


def density():
    rho = torch.tensor([[0.3, 0.01], [0.2, 0.02]], dtype=torch.float64)
    return Density(rho, torch.stack((rho[0] ** 2, rho[0] * rho[1], rho[1] ** 2)), rho)


def test_a_saved_functional_comes_back(card_path, functional):
    for parameter in functional.parameters():
        nn.init.uniform_(parameter, -1, 1)
    fields = tomllib.loads(card_path.read_text())
    for key in ("format", "weights"):
        del fields[key]
    loaded = zoo.load(str(zoo.save(card_path.parent, functional, fields)))
    assert torch.equal(loaded.edens(density()), functional.edens(density()).detach())
    assert loaded.name == "toy_rs" and loaded.card["dispersion"]["a2"] == 5.0
    assert {p.dtype for p in loaded.parameters()} == {torch.float64}


def test_saving_leaves_two_files(card_path):
    assert sorted(p.name for p in card_path.parent.iterdir()) == ["toy_rs.safetensors", "toy_rs.toml"]


def test_saving_is_reproducible(card_path, functional, card_fields, tmp_path):
    again = zoo.save(tmp_path / "again", functional, card_fields)
    assert again.read_bytes() == card_path.read_bytes()
    assert store.weights_path(again).read_bytes() == store.weights_path(card_path).read_bytes()


@pytest.mark.parametrize("damage, reason", [
    (lambda content: content[:-8], "truncated"),
    (lambda content: content[:-1] + bytes([content[-1] ^ 1]), "changed: SHA-256"),
    (lambda content: content + b"\0", "is changed"),
    (lambda content: b"", "truncated"),
])
def test_damaged_weights_are_refused_before_anything_reads_them(card_path, monkeypatch, damage, reason):
    path = store.weights_path(card_path)
    path.write_bytes(damage(path.read_bytes()))
    monkeypatch.setattr(store, "tensors_from_bytes", lambda content: pytest.fail("read before it was verified"))
    monkeypatch.setitem(store.KINDS, "rs", lambda *args: pytest.fail("built before the weights were verified"))
    with pytest.raises(InvalidModel, match=reason):
        zoo.load(str(card_path))


def test_missing_weights_are_named(card_path):
    store.weights_path(card_path).unlink()
    with pytest.raises(InvalidModel, match=r"toy_rs.safetensors is missing"):
        zoo.load(str(card_path))


class Trap:
    """What a hostile pickle does when it is opened."""

    def __reduce__(self):
        return pytest.fail, ("a pickle was opened",)


@pytest.mark.parametrize("content", [pickle.dumps(Trap()), b"PK\3\4" + bytes(100), b"\xff" * 200])
def test_other_formats_are_refused_even_with_the_right_hash(card_path, content):
    replace_weights(card_path, content)
    with pytest.raises(InvalidModel, match="not a safetensors file"):
        zoo.load(str(card_path))


@pytest.mark.parametrize("change, reason", [
    (lambda t: t.popitem(), "are missing"),
    (lambda t: t.update(other=torch.zeros(2)), "other are not expected"),
    (lambda t: t.update({key: value[..., :1].contiguous() for key, value in t.items()}), "has shape"),
    (lambda t: t.update({key: value.int() for key, value in t.items()}), "finite floating-point"),
    (lambda t: t.update({key: value * float("nan") for key, value in t.items()}), "finite floating-point"),
])
def test_foreign_tensors_are_refused(card_path, change, reason):
    with_tensors(card_path, change)
    with pytest.raises(InvalidModel, match=reason):
        zoo.load(str(card_path))


def test_a_network_other_than_the_weights_is_refused(functional, card_fields, tmp_path):
    card_fields["network"]["width"] = 5
    with pytest.raises(InvalidModel, match="do not fit the network"):
        zoo.load(str(zoo.save(tmp_path, functional, card_fields)))


def test_a_network_that_cannot_be_built_is_refused(functional, card_fields, tmp_path):
    del card_fields["network"]["width"]
    with pytest.raises(InvalidModel, match="do not describe a functional of kind 'rs'"):
        zoo.load(str(zoo.save(tmp_path, functional, card_fields)))


def test_a_fraction_that_the_form_does_not_have_is_refused(functional, card_fields, tmp_path):
    card_fields["exchange"]["lr_fraction"] = 0.5
    with pytest.raises(InvalidModel, match="lr_fraction = 0.5, but functionals of kind 'rs' have 1.0"):
        zoo.load(str(zoo.save(tmp_path, functional, card_fields)))


@pytest.mark.parametrize("section, key, value", [
    ("exchange", "omega", 0.5), ("dispersion", "s8", 0.6), ("network", "depth", 2), (None, "version", "0.2"),
])
def test_physics_of_a_card_cannot_be_edited(card_path, section, key, value):
    edit_card(card_path, lambda f: (f[section] if section else f).update({key: value}))
    with pytest.raises(InvalidModel, match="edited after the weights were saved"):
        zoo.load(str(card_path))


def test_words_and_figures_of_a_card_can_be_edited(card_path):
    edit_card(card_path, lambda f: f.update(description="Another sentence.", benchmark={"mae_kcal": 2.5}))
    assert zoo.load(str(card_path)).card["benchmark"] == {"mae_kcal": 2.5}


def test_a_renamed_model_is_refused(card_path):
    other = card_path.with_name("other.toml")
    card_path.rename(other)
    with pytest.raises(InvalidModel, match="holds the card of toy_rs"):
        zoo.load(str(other))


def test_weights_that_are_not_finite_are_not_saved(functional, card_fields, tmp_path):
    nn.init.constant_(next(functional.parameters()), float("inf"))
    with pytest.raises(InvalidModel, match="finite"):
        zoo.save(tmp_path / "new", functional, card_fields)
    assert not (tmp_path / "new").exists()


def test_a_failed_save_leaves_the_old_model(card_path, functional, card_fields, monkeypatch):
    def full_disk(*args):
        raise OSError("no space left")

    before = {path.name: path.read_bytes() for path in card_path.parent.iterdir()}
    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(OSError, match="no space"):
        zoo.save(card_path.parent, functional, card_fields)
    assert {path.name: path.read_bytes() for path in card_path.parent.iterdir()} == before


def test_an_unknown_name_is_told_the_closest(card_path, monkeypatch):
    monkeypatch.setattr(zoo, "MODELS", card_path.parent)
    assert zoo.names() == ["toy_rs"]
    with pytest.raises(UnknownFunctional, match="unknown functional 'toy_r'; did you mean toy_rs?"):
        zoo.load("toy_r")


def test_a_shipped_model_is_read_once_in_any_case(card_path, monkeypatch):
    monkeypatch.setattr(zoo, "MODELS", card_path.parent)
    zoo._load_shipped.cache_clear()
    try:
        assert zoo.load("toy_rs") is zoo.load("TOY_RS")
    finally:
        zoo._load_shipped.cache_clear()


@pytest.mark.parametrize("name", zoo.names())
def test_every_shipped_model_loads(name):
    assert zoo.load(name).name == name
    assert zoo.card(name)["training"].get("train_on_test", False) == name.endswith("_all")
