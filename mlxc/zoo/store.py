"""Reads and writes model files; nothing in one is evaluated before its SHA-256 is verified."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor, nn

from mlxc import files
from mlxc.errors import InvalidInput, InvalidModel
from mlxc.xc.ensemble import combine
from mlxc.xc.functional import Learned, LocalHybrid, RangeSeparated
from mlxc.xc.relaxed import RelaxedLocalHybrid, RelaxedRangeSeparated
from mlxc.zoo.card import FORMAT, REQUIRED, Card, checked_card, physics_hash, read_card
from mlxc.zoo.model import Model

#: The form of functional of each `kind`.
KINDS: dict[str, type[Learned]] = {"rs": RangeSeparated, "lh": LocalHybrid}

#: The same, of a network with ``relaxed`` constraints.
RELAXED: dict[str, type[Learned]] = {"rs": RelaxedRangeSeparated, "lh": RelaxedLocalHybrid}

#: Fields of a card that are computed when a model is saved.
COMPUTED = ("format", "ensemble", "weights")

#: Entry of the weights file that ties it to the physics of its card.
METADATA_KEY = "mlxc_card"


def weights_path(card_path: Path) -> Path:
    """The weights lie beside the card under the same stem."""
    return card_path.with_suffix(".safetensors")


def untrained(kind: str, exchange: dict, network: dict, name: str) -> Learned:
    """A functional with its parameters at the start.

    Args:
        kind: a key of KINDS.
        exchange, network: of a card or a training configuration; ``relaxed`` in network names what does not hold by
            construction, see `mlxc.xc.relaxed`.
        name: in PySCF.

    Raises:
        InvalidInput: something that cannot be relaxed; ``hole`` of a kind without local exact exchange.
    """
    if network.get("hole") and kind != "lh":
        raise InvalidInput(f"[network] hole = true is for kind 'lh', whose exact exchange is local, not for {kind!r}")
    kinds = RELAXED if network.get("relaxed") else KINDS
    return kinds[kind](exchange, network, name)  # type: ignore[arg-type]


def load_model(card_path: Path) -> Model:
    """The functional of a card, in float64, with `.name` and `.card` set.

    Raises:
        InvalidModel: the card or the weights are missing, changed, truncated or foreign.
    """
    card = read_card(card_path)
    if card["name"] != card_path.stem:
        raise InvalidModel(f"{card_path} holds the card of {card['name']}: a model file carries its functional's name")
    tensors = _verified_tensors(weights_path(card_path), card)
    members = card["ensemble"].get("members", 1)
    functional = _build(card, members)
    expected = {name: list(tensor.shape) for name, tensor in functional.state_dict().items()}
    if difference := _difference(expected, card["weights"]["tensors"]):
        raise InvalidModel(f"{card_path}: the weights do not fit the network of the card (members: {members}): "
                           f"{difference}")
    functional.load_state_dict(tensors)
    for key, value in card["exchange"].items():
        if (found := getattr(functional, key, None)) is None or not math.isclose(found, value, rel_tol=1e-12):
            raise InvalidModel(f"{card_path}: [exchange] {key} = {value}, but functionals of kind {card['kind']!r} "
                               f"have {'no such setting' if found is None else found}")
    return _finish(functional, card)


def save_model(folder: Path, functional: nn.Module, fields: dict[str, Any]) -> Path:
    """Writes `<name>.toml` and `<name>.safetensors`, each atomically.

    Args:
        folder: where; made when it is missing.
        functional: every parameter and buffer a floating-point tensor; stored in float64.
        fields: the card without what is COMPUTED here.

    Returns:
        The card's path.

    Raises:
        InvalidModel: a wrong card, or weights that are not finite.
    """
    import tomli_w  # only who trains needs it

    tensors = {name: _storable(name, tensor) for name, tensor in functional.state_dict().items()}
    shapes = {name: list(tensor.shape) for name, tensor in tensors.items()}
    placeholder = {"sha256": "0" * 64, "bytes": 1, "tensors": shapes}
    members = getattr(functional, "members", 1)
    ensemble = {"members": members} if members > 1 else {}
    card = checked_card(fields | {"format": FORMAT, "ensemble": ensemble, "weights": placeholder})
    content = tensors_to_bytes(tensors, metadata={METADATA_KEY: physics_hash(card)})
    digest = hashlib.sha256(content).hexdigest()
    card["weights"] = {"sha256": digest, "bytes": len(content), "tensors": shapes}
    path = folder / f"{card['name']}.toml"
    files.write(weights_path(path), content)
    written = {key: value for key, value in card.items() if value or key in REQUIRED}
    files.write(path, tomli_w.dumps(written))
    return path


def described(card: Card) -> dict[str, Any]:
    """What a card says that saving does not compute."""
    return {key: value for key, value in card.items() if key not in COMPUTED}


def _build(card: Card, members: int) -> nn.Module:
    """The untrained functional that the card describes, in float64."""
    name, kind, exchange = card["name"], card["kind"], card["exchange"]
    if kind not in KINDS:
        raise InvalidModel(f"model {name} is of kind {kind!r}, this version of mlxc knows {', '.join(KINDS)}: "
                           "install the version the model was made with")
    try:
        functional = untrained(kind, exchange, card["network"], name)
    except (TypeError, KeyError, ValueError, RuntimeError) as error:
        raise InvalidModel(f"model {name}: [exchange] and [network] do not describe a functional of kind {kind!r}: "
                           f"{type(error).__name__}: {error}") from error
    return combine([functional] * members, name) if members > 1 else functional


def _verified_tensors(path: Path, card: Card) -> dict[str, Tensor]:
    """The tensors of a weights file, read once: what is hashed is what is used."""
    if not path.is_file():
        raise InvalidModel(f"{path} is missing: the weights belong beside the card, under the same name")
    size, expected = path.stat().st_size, card["weights"]["bytes"]
    if size != expected:
        state = "truncated" if size < expected else "changed"
        raise InvalidModel(f"{path} is {state}: {size} bytes, the card says {expected}; get the file again")
    content = path.read_bytes()
    digest, claimed = hashlib.sha256(content).hexdigest(), card["weights"]["sha256"]
    if digest != claimed:
        raise InvalidModel(f"{path} is changed: SHA-256 {digest[:12]}…, the card says {claimed[:12]}…; "
                           "get both files again")
    try:
        tensors = tensors_from_bytes(content)
    except SafetensorError as error:
        raise InvalidModel(f"{path} is not a safetensors file: {error}") from error
    if _metadata(content).get(METADATA_KEY) != physics_hash(card):
        raise InvalidModel(f"the card of {card['name']} was edited after the weights were saved (name, version, kind, "
                           "network, exchange or dispersion): write a variant with mlxc.zoo.save, under its own name")
    found = {name: list(tensor.shape) for name, tensor in tensors.items()}
    if difference := _difference(card["weights"]["tensors"], found):
        raise InvalidModel(f"{path} is foreign: {difference}")
    return {name: _storable(name, tensor) for name, tensor in tensors.items()}


def _metadata(content: bytes) -> dict[str, str]:
    """The text entries of a safetensors file: 8 bytes give the length of its JSON header."""
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return header.get("__metadata__", {})


def _difference(expected: dict[str, list[int]], found: dict[str, list[int]]) -> str:
    """What distinguishes two tables of tensor name → shape; empty when they agree."""
    if missing := sorted(expected.keys() - found.keys()):
        return f"tensors {', '.join(missing)} are missing"
    if extra := sorted(found.keys() - expected.keys()):
        return f"tensors {', '.join(extra)} are not expected"
    wrong = [f"{name} has shape {found[name]}, expected {shape}" for name, shape in expected.items()
             if list(found[name]) != list(shape)]
    return "; ".join(wrong)


def _storable(name: str, tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point() or not torch.isfinite(tensor).all():
        raise InvalidModel(f"tensor {name} ({tensor.dtype}) must hold finite floating-point numbers: train again")
    return tensor.detach().cpu().double().contiguous()


def _finish(functional: nn.Module, card: Card) -> Model:
    model = cast(Model, functional.eval().requires_grad_(False))
    model.name, model.card = card["name"], card
    return model
