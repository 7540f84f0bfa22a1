"""Results in one file, without the geometries and references of others, and their way back into a folder.

Each line is JSON: first the format and the protocol's hash, then every functional's name and identity, then results by
functional and key. A key holds a hash of the geometry, basis and electrons, so that a result finds no job but its own.
"""

import gzip
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlxc import files
from mlxc.bench.jobs import Job
from mlxc.bench.methods import Method
from mlxc.bench.protocol import Protocol
from mlxc.bench.results import FORMAT, Results
from mlxc.errors import InvalidInput

#: What a folder's files repeat, or others own.
LEFT_OUT = ("format", "protocol", "identity", "job")


def publish(results: Results, path: Path) -> int:
    """Writes the results of a folder; failed ones too. The same results make the same file.

    Args:
        results: the folder.
        path: a file name ending in ``.jsonl.gz``.

    Returns:
        How many results.

    Raises:
        InvalidInput: no folder of results, a damaged one, another ending, a path that cannot be written.
    """
    if not path.name.endswith(".jsonl.gz"):
        raise InvalidInput(f"{path}: expected a name that ends in .jsonl.gz")
    methods = results.methods()
    lines: list[dict[str, Any]] = [{"format": FORMAT, "protocol": results.protocol["hash"]}]
    lines += [{"functional": name} | {k: v for k, v in m.items() if k != "number"} for name, m in methods.items()]
    heads = len(lines)
    for name in methods:
        for file in sorted((results.folder / name).glob("*__*.json")):
            found = results.get(name, file.stem) or {}
            lines.append({"functional": name, "key": file.stem} | {k: v for k, v in found.items() if k not in LEFT_OUT})
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    try:
        files.write(path, gzip.compress(text.encode(), mtime=0))
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written ({error.strerror}): choose another place") from error
    return len(lines) - heads


def take_over(path: Path, results: Results, jobs: Mapping[str, Job], methods: Sequence[Method], protocol: Protocol,
              say: Callable[[str], object]) -> int:
    """Puts what a file has of these jobs into a folder, where there is nothing yet; failed results are left out.

    Args:
        path: a file of `publish`.
        results: the folder, open for writing, with its functionals noted.
        jobs: by key.
        methods: the functionals.
        protocol: of the folder.
        say: receives which functionals of the file are of another version.

    Returns:
        How many results.

    Raises:
        InvalidInput: no such file, a damaged one, another protocol.
    """
    head, *lines = _read(path)
    if head.get("protocol") != protocol.hash or head.get("format") != FORMAT:
        raise InvalidInput(f"{path} has results of protocol {head.get('protocol')}, this run's is {protocol.hash}: run "
                           "without it, or with the settings that it was made with")
    asked, taken, same = {m.name: m for m in methods}, 0, set()
    for line in lines:
        name = line.pop("functional")
        if name not in asked:
            continue
        if "key" not in line:
            if line == asked[name].identity:
                same.add(name)
            else:
                say(f"{path.name} has {name} in another version, which is not taken over: {line.get('version')}")
        elif name in same and (key := line.pop("key")) in jobs and "failed" not in line and not results.has(name, key):
            results.add(name, jobs[key], line)
            taken += 1
    return taken


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        found = [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode().splitlines()]
        if not found or any("functional" not in line for line in found[1:]):
            raise ValueError("no lines of results")
    except (OSError, EOFError, zlib.error, ValueError, TypeError) as error:  # JSON's errors are ValueErrors
        raise InvalidInput(f"{path} is no file of `mlxc bench export`, or damaged ({error})") from error
    return found
