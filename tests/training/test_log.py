"""What people see: lines, JSON lines, the picture, the bar."""

import json
import sys

import pytest
from matplotlib.image import imread

from training import log
from training.log import Log
from training.objective import Step


def step(number: int, stage: str = "fit", **errors: float) -> Step:
    errors = errors or {"even": 1.0, "odd": 2.5}
    return Step(stage, number, 100.0 / number, 99.0 / number, {"damping": 0.1}, errors, 3.21)


def test_a_step_is_one_line():
    assert log.line(step(2)) == ("step   2  loss      50.0000 ->      49.5000  damping 1.0e-01  3.2 s  "
                                 "even 1.00  odd 2.50")
    assert log.line(step(2, "linear")).startswith("linear   2  loss")


def test_every_step_is_in_the_files(tmp_path):
    lines: list[str] = []
    told = Log(lines.append, tmp_path / "new", "x")
    told.begin({})
    for number in (1, 2, 3):
        told.step(step(number))
    told.draw()
    found = [json.loads(text) for text in (tmp_path / "new" / "x.jsonl").read_text().splitlines()]
    assert [s["number"] for s in found] == [1, 2, 3] and found[0]["errors"] == {"even": 1.0, "odd": 2.5}
    assert len(lines) == 3
    picture = imread(tmp_path / "new" / "x.png")
    assert picture.shape[0] > 300 and picture.std() > 0.05
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["x.jsonl", "x.png"]


def test_a_log_goes_on_after_the_step_of_the_checkpoint(tmp_path):
    told = Log(lambda _: None, tmp_path, "x")
    told.begin({})
    for s in (step(1, "linear"), step(2, "linear"), step(1), step(2)):
        told.step(s)
    (tmp_path / "x.jsonl").write_text((tmp_path / "x.jsonl").read_text() + '{"cut')

    def kept(done):
        again = Log(lambda _: None, tmp_path, "x")
        again.begin(done)
        return [(s["stage"], s["number"]) for s in map(json.loads, (tmp_path / "x.jsonl").read_text().splitlines())]

    assert kept({"linear": 9, "fit": 1}) == [("linear", 1), ("linear", 2), ("fit", 1)]
    assert kept({}) == []


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path):
    lines: list[str] = []
    told = Log(lines.append, tmp_path, "x")
    told.begin({})
    (tmp_path / "x.jsonl").unlink()
    (tmp_path / "x.jsonl").mkdir()
    told.step(step(1))
    told.step(step(2))
    assert len(lines) == 3 and "cannot be written (Is a directory): the fit goes on without it" in lines[1]


def test_plots_take_a_small_part_of_the_time(tmp_path, monkeypatch):
    clock, pictures = [1000.0], []
    monkeypatch.setattr(log.time, "perf_counter", lambda: clock[0])

    def slow(steps, _):
        clock[0] += 1
        pictures.append(len(steps))

    monkeypatch.setattr(log, "draw", slow)
    told = Log(lambda _: None, tmp_path, "x")
    told.begin({})
    for number in range(1, 101):
        clock[0] += 1
        told.step(step(number))
    assert pictures[0] == 1 and 4 <= len(pictures) <= 6


def test_without_a_folder_there_are_lines_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines: list[str] = []
    told = Log(lines.append)
    told.begin({})
    told.step(step(1))
    told.draw()
    assert len(lines) == 1 and not list(tmp_path.iterdir())


@pytest.mark.parametrize("terminal", (True, False))
def test_the_bar_is_for_terminals(capsys, monkeypatch, terminal):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    assert list(log.progress([1, 2, 3], "Jacobian")) == [1, 2, 3]
    shown = capsys.readouterr().err
    assert ("Jacobian [====================          ] 2/3" in shown) == terminal and bool(shown) == terminal
