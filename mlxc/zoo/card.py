"""The model card: a readable TOML file that says what a functional is, claims, and was trained on.

In memory a card is a dictionary with these fields; the sections are dictionaries themselves.

| field | content |
|---|---|
| format | layout of the file, `FORMAT` |
| name, version, description | lower case [a-z0-9_]; version of the weights; one sentence |
| kind | form of the functional, a key of `mlxc.zoo.store.KINDS` |
| claims | ids of the constraints that hold |
| ensemble | `members`, the number of functionals of this form that it is the mean of; empty for a single one |
| uncertainty | of an ensemble: `scale`, by which the members' standard deviation is multiplied; how it was found |
| exchange | `omega` in bohr⁻¹; `sr_fraction`, `lr_fraction` of exact exchange; for `lh` also `local_omega`, `b_max` |
| network | architecture, handed to the functional's class |
| domain | `elements`, `charges` and `spins` (2S) of the training data |
| dispersion | D4's damping parameters s6, s8, s9, a1, a2 (a2 in bohr); empty where D4 is not for it |
| training | `data_hash`, `date`, `summary` |
| grid | `level`, PySCF's grid level that the benchmark figures hold for; `advice` |
| weights | `sha256` and `bytes` of the weights file; `tensors`, name → shape |
| benchmark | measured figures |
"""

import hashlib
import json
import math
import re
import tomllib
from pathlib import Path
from typing import Any

from mlxc.errors import InvalidModel

Card = dict[str, Any]

#: Layout of the card and of the weights file; raised when a reader of the old one would go wrong.
FORMAT = 1

#: What PySCF accepts as a functional's name in every place: no sign that its parsers read as an operator.
NAME = re.compile(r"[a-z][a-z0-9_]*")

#: A card is read in full, so a larger file is taken for something else.
MAX_BYTES = 1_000_000

#: Fields that every card has, and those that are empty when left out, with their types.
REQUIRED = {"format": int, "name": str, "version": str, "kind": str, "description": str, "claims": list,
            "exchange": dict, "network": dict, "domain": dict, "weights": dict}
OPTIONAL = {"ensemble": dict, "uncertainty": dict, "dispersion": dict, "grid": dict, "training": dict,
            "benchmark": dict}


def read_card(path: Path) -> Card:
    """Reads and validates a card.

    Raises:
        InvalidModel: no such file, no TOML, a missing, unknown or wrong field, another format version.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InvalidModel(f"{path} has {path.stat().st_size} bytes, a model card at most {MAX_BYTES}: "
                               "give the .toml file, not the weights")
        fields = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidModel(f"{path} cannot be read ({error.strerror}): give the path of a model card") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidModel(f"{path} is not a model card, which is a TOML text file: {error}") from error
    try:
        return checked_card(fields)
    except InvalidModel as error:
        raise InvalidModel(f"{path}: {error}") from None


def checked_card(fields: dict[str, Any]) -> Card:
    """The card with its empty sections, after every field was checked.

    Raises:
        InvalidModel: names the field, what it holds and what is accepted.
    """
    if fields.get("format") != FORMAT:
        raise InvalidModel(f"card format {fields.get('format')!r}, this version of mlxc reads {FORMAT}: "
                           "get the model file of this version")
    if missing := [key for key in REQUIRED if key not in fields]:
        raise InvalidModel(f"fields {', '.join(missing)} are missing; a card needs {', '.join(REQUIRED)}")
    known = REQUIRED | OPTIONAL
    if unknown := [key for key in fields if key not in known]:
        raise InvalidModel(f"unknown fields {', '.join(unknown)}; a card has {', '.join(known)}")
    for key, value in fields.items():
        if type(value) is not known[key]:
            raise InvalidModel(f"field {key!r} is {value!r}, expected a {known[key].__name__}")
    card = {key: {} for key in OPTIONAL} | fields
    if not NAME.fullmatch(card["name"]):
        raise InvalidModel(f"name {card['name']!r}: PySCF's parsers need a lower-case letter, then [a-z0-9_]")
    _check_list("claims", card["claims"], str)
    _check_numbers("exchange", card["exchange"], ("omega", "sr_fraction", "lr_fraction"))
    if card["dispersion"]:
        _check_numbers("dispersion", card["dispersion"], ("s6", "s8", "a1", "a2"))
    if card["ensemble"]:
        _check_ensemble(card["ensemble"])
    if card["uncertainty"]:
        _check_numbers("uncertainty", card["uncertainty"], ("scale",))
    for key, kind in (("elements", str), ("charges", int), ("spins", int)):
        _check_list(f"[domain] {key}", card["domain"].get(key), kind)
    _check_weights(card["weights"])
    return card


def physics_hash(card: Card) -> str:
    """SHA-256 of every field that changes an energy; it stands in the weights file too, so that an edit shows."""
    parts = {key: card[key] for key in ("format", "name", "version", "kind", "network")}
    for section in ("exchange", "dispersion"):
        parts[section] = {key: float(value) for key, value in card[section].items()}  # 1 and 1.0 are one value
    if card["ensemble"]:  # not of single functionals, whose files are older than ensembles
        parts["ensemble"] = card["ensemble"]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _check_numbers(section: str, values: dict[str, float], required: tuple[str, ...]) -> None:
    if missing := [key for key in required if key not in values]:
        raise InvalidModel(f"[{section}] has no {', '.join(missing)}; it needs {', '.join(required)}")
    for key, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise InvalidModel(f"[{section}] {key} is {value!r}, expected a finite number")


def _check_ensemble(ensemble: dict[str, Any]) -> None:
    members = ensemble.get("members")
    if set(ensemble) != {"members"} or type(members) is not int or members < 2:
        raise InvalidModel(f"[ensemble] is {ensemble!r}, expected members = M, a number of 2 or more")


def _check_list(where: str, values: Any, kind: type) -> None:
    if not isinstance(values, list) or any(type(value) is not kind for value in values):
        raise InvalidModel(f"{where} is {values!r}, expected a list of {kind.__name__}")


def _check_weights(weights: dict[str, Any]) -> None:
    if not re.fullmatch(r"[0-9a-f]{64}", str(weights.get("sha256"))):
        raise InvalidModel(f"[weights] sha256 is {weights.get('sha256')!r}, expected 64 hexadecimal digits")
    if type(weights.get("bytes")) is not int or weights["bytes"] <= 0:
        raise InvalidModel(f"[weights] bytes is {weights.get('bytes')!r}, expected the size of the weights file")
    if not isinstance(weights.get("tensors"), dict):
        raise InvalidModel(f"[weights] tensors is {weights.get('tensors')!r}, expected a table of tensor name → shape")
    for name, shape in weights["tensors"].items():
        _check_list(f"[weights] tensors {name!r}", shape, int)
