"""Cards: complete and well typed, or refused with the field's name."""

import re

import pytest

from mlxc.errors import InvalidModel
from mlxc.zoo.card import FORMAT, checked_card, physics_hash, read_card
from mlxc.zoo.domain import outside_domain
from mlxc.zoo.text import card_as_text

WEIGHTS = {"sha256": "a" * 64, "bytes": 10, "tensors": {"w": [2, 3]}}


@pytest.fixture
def fields(card_fields):
    return card_fields | {"format": FORMAT, "weights": dict(WEIGHTS)}


def test_sections_left_out_are_empty(fields):
    del fields["dispersion"]
    assert checked_card(fields)["dispersion"] == {} and checked_card(fields)["benchmark"] == {}


@pytest.mark.parametrize("key, value, reason", [
    ("format", 2, "card format 2, this version of mlxc reads 1"),
    ("format", None, "card format None"),
    ("name", "MLXC-RS", "name 'MLXC-RS'"),
    ("name", "", "name ''"),
    ("name", 3, "field 'name' is 3, expected a str"),
    ("claims", ["a", 1], "claims is ['a', 1], expected a list of str"),
    ("exchange", {"omega": 0.3}, "[exchange] has no sr_fraction, lr_fraction"),
    ("exchange", {"omega": "0.3", "sr_fraction": 0, "lr_fraction": 1}, "omega is '0.3', expected a finite number"),
    ("exchange", {"omega": float("nan"), "sr_fraction": 0, "lr_fraction": 1}, "omega is nan"),
    ("exchange", {"omega": True, "sr_fraction": 0, "lr_fraction": 1}, "omega is True"),
    ("dispersion", {"s6": 1.0}, "[dispersion] has no s8, a1, a2"),
    ("domain", {"elements": ["H"], "charges": [0]}, "[domain] spins is None"),
    ("domain", {"elements": "H", "charges": [0], "spins": [0]}, "[domain] elements is 'H'"),
    ("weights", WEIGHTS | {"sha256": "xyz"}, "sha256 is 'xyz', expected 64 hexadecimal digits"),
    ("weights", WEIGHTS | {"bytes": 0}, "bytes is 0"),
    ("weights", WEIGHTS | {"tensors": {"w": ["2"]}}, "tensors 'w' is ['2']"),
    ("weights", WEIGHTS | {"tensors": None}, "tensors is None"),
    ("colour", "blue", "unknown fields colour"),
])
def test_a_wrong_field_is_named(fields, key, value, reason):
    with pytest.raises(InvalidModel, match=re.escape(reason)):
        checked_card(fields | {key: value})


def test_missing_fields_are_named(fields):
    del fields["domain"], fields["kind"]
    with pytest.raises(InvalidModel, match="fields kind, domain are missing"):
        checked_card(fields)


@pytest.mark.parametrize("content, reason", [
    (b"\x89PNG\r\n\x1a\n\xff", "not a model card, which is a TOML text file"),
    (b"name = [", "not a model card, which is a TOML text file"),
    (b"", "card format None"),
    (b"#" * 2_000_000, "a model card at most"),
])
def test_other_files_are_refused(tmp_path, content, reason):
    path = tmp_path / "model.toml"
    path.write_bytes(content)
    with pytest.raises(InvalidModel, match=reason):
        read_card(path)


def test_a_missing_card_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(InvalidModel, match="give the path of a model card"):
            read_card(path)


def test_physics_hash_takes_one_and_one_point_zero_for_equal(fields):
    as_integer = fields | {"dispersion": fields["dispersion"] | {"s6": 1}}
    assert physics_hash(checked_card(fields)) == physics_hash(checked_card(as_integer))


def test_inside_the_domain_nothing_is_said(fields):
    assert outside_domain(checked_card(fields), ["O", "H"], -1, 0) == []


def test_every_step_outside_the_domain_is_named(fields):
    told = outside_domain(checked_card(fields), ["O", "Cl", "Br"], 2, 3)
    assert told == ["toy_rs was not trained on Br, Cl (trained on H, O)",
                    "toy_rs was not trained on charge +2 (trained on -1, 0, +1)",
                    "toy_rs was not trained on 3 unpaired electrons (trained on 0, 1)"]


def test_the_text_of_a_card_shows_every_section(fields):
    fields |= {"benchmark": {"smoke": {"mae_kcal": 3.5}}, "training": {"summary": "none"}}
    fields["training"] = fields.get("training", {}) | {"variants": [{"network": {"zeta2": True}}, {}]}
    text = card_as_text(checked_card(fields))
    assert re.search(r"variants\n +1\n +network\n +zeta2 +True\n", text)
    for shown in ("toy_rs 0.1", "Untrained functional", "omega", "elements         H, O", "mae_kcal         3.5"):
        assert shown in text
