"""Files are whole or not there (`mlxc.files`)."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from mlxc import files


def left(folder):
    return sorted(p.name for p in folder.rglob("*"))


@pytest.mark.parametrize("content", ["ω = 0.5\n", b"\x00\xff", memoryview(b"seen")])
def test_the_content_is_there_and_nothing_else(tmp_path, content):
    path = tmp_path / "made" / "x.json"
    for _ in range(2):
        files.write(path, content)
        assert path.read_bytes() == (content.encode() if isinstance(content, str) else bytes(content))
    assert left(tmp_path) == ["made", "x.json"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_disk_that_is_full_leaves_the_file_before(tmp_path, monkeypatch, step):
    path = tmp_path / "x.json"
    files.write(path, "before")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="No space left"):
        files.write(path, "after")
    assert path.read_text() == "before" and left(tmp_path) == ["x.json"]


def test_several_may_write_one_file(tmp_path):
    """Names of their own: no writer takes another's temporary file away."""
    path, contents = tmp_path / "x", [str(i) * 10_000 for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda c: files.write(path, c), contents * 5))
    assert path.read_text() in contents and left(tmp_path) == ["x"]
