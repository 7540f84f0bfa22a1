"""The state of a fit on disk, replaced as a whole after every step: a fit that was killed goes on from there.

A checkpoint carries a hash of the configuration and of what is fitted, and is refused by any other fit.
"""

import dataclasses
import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from mlxc import files
from mlxc.errors import MlxcError


class CheckpointError(MlxcError):
    """A checkpoint that cannot be written, or that belongs to another fit."""


def identity(**what: Any) -> str:
    """Hash of everything that must be the same for a fit to go on."""
    return hashlib.sha256(json.dumps(what, sort_keys=True, default=dataclasses.asdict).encode()).hexdigest()


def save(path: Path, identity: str, state: dict[str, Any]) -> None:
    """Writes arrays, numbers and text under names, whole or not at all: a kill or a full disk leaves the last file.

    Raises:
        CheckpointError: it cannot be written.
    """
    image = io.BytesIO()
    np.savez(image, identity=identity, **state)
    try:
        files.write(path, image.getbuffer())
    except OSError as error:
        kept = f"{path} still holds the last step that was written" if path.exists() else "nothing was written before"
        raise CheckpointError(f"{path} cannot be written ({error.strerror}); {kept}: make room and start the command "
                              "again, and it goes on from there") from error


def load(path: Path, identity: str) -> dict[str, Any] | None:
    """What `save` was given; None where there is no checkpoint.

    Raises:
        CheckpointError: of another fit, or damaged.
    """
    if not path.is_file():
        return None
    try:
        with open(path, "rb") as content, np.load(content, allow_pickle=False) as file:
            state = {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path} is not a checkpoint ({error}): delete it to begin anew") from error
    if str(state.pop("identity", "")) != identity:
        raise CheckpointError(f"{path} belongs to a fit with another configuration or other data: delete "
                              "it to begin anew (training.train: --restart), or choose another --out")
    return {name: array if array.ndim else array.item() for name, array in state.items()}
