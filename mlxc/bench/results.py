"""The folder of a run: what was asked for, and one file per species and functional.

    protocol.json            the settings; one folder belongs to one protocol
    sets/NAME.json           entries and jobs of every set that was asked for
    METHOD/method.json       functional, dispersion and version; another version needs another folder
    METHOD/KEY.json          the result of a job
    .lock                    held by the process that runs
"""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mlxc import files
from mlxc.bench.entries import Set
from mlxc.bench.jobs import Job
from mlxc.bench.methods import Method
from mlxc.bench.protocol import Protocol
from mlxc.errors import InvalidInput

#: Layout of the result files.
FORMAT = 1


class Results:
    """The results in a folder.

    Attributes:
        folder: where they are.
    """

    def __init__(self, folder: Path):
        """Args: folder, which need not be there yet."""
        self.folder = Path(folder)

    # ------------------------------------------------------------------------------------------------ reading

    @property
    def protocol(self) -> dict[str, Any]:
        """The settings, with their ``hash``.

        Raises:
            InvalidInput: the folder is none of a run.
        """
        path = self.folder / "protocol.json"
        if not path.is_file():
            raise InvalidInput(f"{self.folder} is no folder of results (it has no protocol.json): give the --out of "
                               "`mlxc bench run`")
        return _read(path, "remove the folder that it is in")

    def sets(self) -> dict[str, Set]:
        """Every set that was asked for, by name."""
        return {path.stem: Set.from_dict(_read(path)) for path in sorted((self.folder / "sets").glob("*.json"))}

    def methods(self) -> dict[str, dict[str, Any]]:
        """Identity of every functional that has results, by name, in the order in which they were asked for."""
        found = {path.parent.name: _read(path, "remove its folder") for path in self.folder.glob("*/method.json")}
        return dict(sorted(found.items(), key=lambda item: item[1]["number"]))

    def get(self, method: str, key: str) -> dict[str, Any] | None:
        """The result of a job, None where there is none.

        Raises:
            InvalidInput: the file is damaged, or of another protocol or version of the functional.
        """
        path = self._path(method, key)
        if not path.is_file():
            return None
        result = _read(path)
        expected = {"format": FORMAT, "protocol": self.protocol["hash"], "identity": self._identity(method)}
        for name, value in expected.items():
            if result.get(name) != value:
                raise InvalidInput(f"{path} was computed with {name} {result.get(name)}, the folder's is {value}: "
                                   "remove the file; `mlxc bench run` computes it again")
        return result

    def _identity(self, method: str) -> dict[str, Any]:
        found = _read(self.folder / method / "method.json", "remove its folder")
        return {key: value for key, value in found.items() if key != "number"}

    def has(self, method: str, key: str) -> bool:
        """Whether a job has a whole result."""
        try:
            return self.get(method, key) is not None
        except InvalidInput:
            return False

    def damaged(self, method: str, key: str) -> bool:
        """Whether there is a file for the job, but no whole result."""
        return self._path(method, key).is_file() and not self.has(method, key)

    # ------------------------------------------------------------------------------------------------ writing

    @contextmanager
    def writing(self, protocol: Protocol) -> Iterator[None]:
        """Claims the folder for one process and one protocol.

        Raises:
            InvalidInput: another process writes to it, or it holds results of another protocol.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / ".lock", "a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise InvalidInput(f"another run is writing to {self.folder}: wait for it, use its --workers, or "
                                   "choose another --out") from None
            path = self.folder / "protocol.json"
            if not path.exists():
                write(path, {"hash": protocol.hash} | asdict(protocol))
            if (found := self.protocol)["hash"] != protocol.hash:
                differing = [key for key, value in asdict(protocol).items() if found.get(key) != value]
                raise InvalidInput(f"{self.folder} holds results of protocol {found['hash']}, this run's is "
                                   f"{protocol.hash} (another {', '.join(differing)}): choose another --out")
            yield

    def add_set(self, entries: Set):
        """Notes a set, in place of one with the same name."""
        write(self.folder / "sets" / f"{entries.name}.json", entries.to_dict())

    def add_method(self, method: Method):
        """Notes a functional.

        Raises:
            InvalidInput: the folder holds results of another version of it.
        """
        path = self.folder / method.name / "method.json"
        if not path.exists():
            write(path, method.identity | {"number": len(self.methods())})
        if (found := self._identity(method.name)) != method.identity:
            raise InvalidInput(f"{path.parent} holds results of {method.name} as {found}, this is {method.identity}: "
                               "choose another --out, or remove that folder")

    def add(self, method: str, job: Job, result: dict[str, Any]):
        """Writes a result, in one piece or not at all."""
        write(self._path(method, job.key), {"format": FORMAT, "protocol": self.protocol["hash"],
                                            "identity": self._identity(method), "job": job.to_dict()} | result)

    def _path(self, method: str, key: str) -> Path:
        return self.folder / method / f"{key}.json"


def _read(path: Path, advice: str = "remove it; `mlxc bench run` computes it again") -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InvalidInput(f"{path} is damaged ({error}): {advice}") from error


def write(path: Path, content: Any):
    """Writes JSON whole or not at all.

    Raises:
        InvalidInput: the disk did not take it.
    """
    try:
        files.write(path, json.dumps(content, indent=1))
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written ({error.strerror}): make room, or choose another --out; what was "
                           "computed before is there") from error
