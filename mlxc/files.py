"""Writes a file whole or not at all."""

import os
import secrets
from pathlib import Path


def write(path: Path, content: str | bytes | memoryview) -> None:
    """Puts a file in place in one step, on the disk when the call returns; its folders are made.

    A kill, an error or a full disk leaves what was there before. Several processes may write the same file: the last
    one stays, whole.

    Args:
        path: of the file.
        content: text is written as UTF-8.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
