"""One line that says how far something is, on a terminal and in a log."""

from io import StringIO

import pytest

from mlxc.progress import Progress, duration


class Terminal(StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("out", (StringIO(), Terminal()))
def test_progress_reads_well_on_a_terminal_and_in_a_file(out):
    progress = Progress([1.0, 3.0], out)
    progress.step("H2 0.1 s", 1.0)
    progress.say("one line")
    progress.step("water 3.0 s", 3.0)
    text = out.getvalue()
    assert text.count("\r") == (3 if out.isatty() else 0) and text.endswith("\n")
    lines = [line.rstrip() for line in text.replace("\r", "\n").splitlines() if line.strip()]
    assert lines[0].startswith("[============            ] 1/2  H2 0.1 s  about") and lines[0].endswith("left")
    assert lines[1] == "one line" and lines[2].startswith(f"[{'=' * 24}] 2/2  water 3.0 s  done in 0 s")


def test_durations_are_rounded():
    assert [duration(s) for s in (0.4, 89, 100, 5000, 9000)] == ["0 s", "89 s", "2 min", "83 min", "2.5 h"]
