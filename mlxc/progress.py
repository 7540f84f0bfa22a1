"""How far something is: one line that is rewritten on a terminal, a line per step in a log file."""

import sys
import time
from typing import TextIO

#: Characters of the bar, and of the line that is rewritten.
BAR, LINE = 24, 110


class Progress:
    """`[======                  ]  12/235  H2O 3.1 s  about 4 min left`."""

    def __init__(self, costs: list[float], out: TextIO | None = None):
        """Args: costs of the steps, in any unit: what the time that is left is estimated with; out: standard output."""
        self._count, self._total, self._done = len(costs), sum(costs), 0
        self._spent, self._begun = 0.0, time.perf_counter()
        self._out = sys.stdout if out is None else out
        self._rewrites = self._out.isatty()

    def step(self, what: str, cost: float):
        """Tells of one step that is done.

        Args:
            what: its name and what there is to say of it.
            cost: the same as in ``costs``.
        """
        self._done, self._spent = self._done + 1, self._spent + cost
        elapsed = time.perf_counter() - self._begun
        left = elapsed * (self._total - self._spent) / self._spent if self._spent else 0.0
        bar = "=" * (BAR * self._done // self._count)
        end = f"about {duration(left)} left" if self._done < self._count else f"done in {duration(elapsed)}"
        line = f"[{bar:{BAR}}] {self._done:{len(str(self._count))}}/{self._count}  {what}  {end}"
        if self._rewrites:
            print(f"\r{line[:LINE]:{LINE}}", end="" if self._done < self._count else "\n", file=self._out, flush=True)
        else:
            print(line, file=self._out, flush=True)

    def say(self, line: str):
        """A line of its own, above the bar."""
        print(f"\r{line:{LINE}}" if self._rewrites else line, file=self._out, flush=True)


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
