"""The model files: what is shipped, loading by name or path, saving."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from torch import nn

from mlxc.errors import UnknownFunctional
from mlxc.suggest import did_you_mean
from mlxc.zoo.card import Card, read_card
from mlxc.zoo.domain import outside_domain
from mlxc.zoo.model import Model
from mlxc.zoo.store import described, load_model, save_model

__all__ = ["MODELS", "Card", "Model", "card", "load", "names", "outside_domain", "rewrite", "save"]

#: Folder of the models that come with the package.
MODELS = Path(__file__).parent / "models"


def names() -> list[str]:
    """Names of the shipped models, sorted."""
    return sorted(path.stem for path in MODELS.glob("*.toml"))


def load(name: str) -> Model:
    """The functional of a shipped model, or of a card given by its path, with its `.card`.

    A shipped model is read once; every call returns the same object.

    Raises:
        UnknownFunctional: no shipped model has this name.
        InvalidModel: the file is damaged, changed or foreign.
    """
    if not isinstance(name, str | Path):
        raise UnknownFunctional(f"the functional is {name!r}, expected a name ({', '.join(names())}) or a card's path")
    return load_model(card_path(name)) if is_path(name) else _load_shipped(name.lower())


def card(name: str) -> Card:
    """The card alone: nothing of the weights is read.

    Raises:
        UnknownFunctional: no shipped model has this name.
        InvalidModel: the card is damaged.
    """
    return read_card(card_path(name))


def save(folder: str | Path, functional: nn.Module, fields: dict[str, Any]) -> Path:
    """Writes a model's card and weights into a folder; see `mlxc.zoo.store.save_model`."""
    return save_model(Path(folder), functional, fields)


def rewrite(path: Path, changes: Mapping[str, Any], folder: Path | None = None) -> Path:
    """Writes a model again with other sections of its card.

    Args:
        path: the model's card.
        changes: fields of the card, in place of those it has.
        folder: where to; beside the card, which is then replaced, if None.

    Returns:
        Path of the card that was written.
    """
    functional: Any = load_model(path)
    return save(folder or path.parent, functional, described(functional.card) | dict(changes))


def is_path(name: str) -> bool:
    """A name that is a card's path: it ends in .toml."""
    return str(name).endswith(".toml")


def card_path(name: str) -> Path:
    """Where the card lies.

    Raises:
        UnknownFunctional: no shipped model has this name.
    """
    if is_path(name):
        return Path(name)
    if name.lower() not in names():
        raise UnknownFunctional(f"unknown functional {name!r}{did_you_mean(name, names())} "
                                f"Models: {', '.join(names()) or 'none'}; your own: give the path of its card")
    return MODELS / f"{name.lower()}.toml"


@cache
def _load_shipped(name: str) -> Model:
    return load_model(card_path(name))
