"""What people see of a fit: a line, a JSON line and a new plot per step, and a bar for what takes long."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mlxc import files
from training import parallel
from training.plot import draw

if TYPE_CHECKING:
    from training.objective import Step

T = TypeVar("T")

#: Largest part of the time that goes into plots.
SHARE = 0.05

#: Characters of a bar.
WIDTH = 30


def line(step: "Step") -> str:
    """A step as one line: losses, damping or rate, seconds, mean absolute error of each group in kcal/mol."""
    errors = "  ".join(f"{group} {error:.2f}" for group, error in step.errors.items())
    setting = "  ".join(f"{name} {value:.1e}" for name, value in step.setting.items())
    name = "step" if step.stage == "fit" else step.stage
    return (f"{name} {step.number:3d}  loss {step.before:12.4f} -> {step.loss:12.4f}  {setting}  {step.seconds:.1f} s  "
            f"{errors}")


class Log:
    """Tells of every step, and keeps it in `<name>.jsonl` and `<name>.png`.

    Args:
        write: receives lines of text.
        folder: of the files; None for none.
        name: stem of the files.
    """

    def __init__(self, write: Callable[[str], object] = print, folder: Path | None = None, name: str = "fit"):
        self.write = write if parallel.rank() == 0 else lambda _: None
        self._file = folder / f"{name}.jsonl" if folder is not None and parallel.rank() == 0 else None
        self._steps: list[dict] = []
        self._drawn, self._cost = 0.0, 0.0

    def begin(self, done: dict[str, int]) -> None:
        """Keeps, of an earlier part of the same fit, the steps of each stage up to a number.

        Args:
            done: {stage: number of steps that the checkpoint holds}; empty for a new fit.
        """
        if self._file is None:
            return
        lines = self._file.read_text().splitlines() if done and self._file.exists() else []
        self._steps = [s for s in map(_parsed, lines) if s and s["number"] <= done.get(s["stage"], 0)]
        files.write(self._file, "".join(json.dumps(s) + "\n" for s in self._steps))

    def step(self, step: "Step") -> None:
        """Tells of a step; draws as long as plots take less than SHARE of the time."""
        self.write(line(step))
        if self._file is None:
            return
        self._steps.append(asdict(step))
        try:
            with open(self._file, "a") as file:
                file.write(json.dumps(self._steps[-1]) + "\n")
            if time.perf_counter() - self._drawn > self._cost / SHARE:
                self.draw()
        except OSError as error:
            self.write(f"{self._file} cannot be written ({error.strerror}): the fit goes on without it")
            self._file = None

    def draw(self) -> None:
        """Draws all steps."""
        if self._file is not None and self._steps:
            begun = time.perf_counter()
            draw(self._steps, self._file.with_suffix(".png"))
            self._drawn = time.perf_counter()
            self._cost = self._drawn - begun


def _parsed(text: str) -> dict | None:
    """A line of the file; None for one that a kill cut off."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return None


def progress(items: Sequence[T], label: str) -> Iterator[T]:
    """The items, with a bar on a terminal while they are gone through."""
    shown = sys.stderr.isatty() and parallel.rank() == 0
    begun = time.perf_counter()
    for i, item in enumerate(items):
        if shown:
            bar = f"[{'=' * (WIDTH * i // len(items)):{WIDTH}s}] {i}/{len(items)}"
            print(f"\r{label} {bar}  {time.perf_counter() - begun:.0f} s", end="", file=sys.stderr, flush=True)
        yield item
    if shown:
        print("\r\033[K", end="", file=sys.stderr, flush=True)
