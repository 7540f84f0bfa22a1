"""Results in one file: they come back into a folder, and only where they belong."""

import dataclasses
import gzip
import json

import pytest

from mlxc.bench import methods, runner
from mlxc.bench.published import publish
from mlxc.bench.results import Results
from mlxc.errors import InvalidInput
from tests.bench.conftest import H2, HE, PROTOCOL

HF, PBE = methods.method("hf"), methods.method("pbe")


@pytest.fixture
def published(tmp_path, tiny):
    runner.run([tiny], [HF, PBE], tmp_path / "one", PROTOCOL)
    assert publish(Results(tmp_path / "one"), tmp_path / "one.jsonl.gz") == 6
    return tmp_path / "one.jsonl.gz"


@pytest.fixture
def attempted(monkeypatch):
    seen, attempt = [], runner.attempt
    monkeypatch.setattr(runner, "attempt", lambda work, protocol: seen.append(work[1].name) or attempt(work, protocol))
    return seen


def test_what_is_known_is_not_computed_again(published, tmp_path, tiny, attempted):
    said = []
    done = runner.run([tiny], [HF, PBE], tmp_path / "two", PROTOCOL, known=published, say=said.append)
    assert not attempted and done.results == 6 and said == ["6 results taken over from one.jsonl.gz"]
    one, two = Results(tmp_path / "one"), Results(tmp_path / "two")
    assert one.get("pbe", H2.key) == two.get("pbe", H2.key) and one.methods() == two.methods()


def test_only_what_is_asked_for_and_not_there_yet_is_taken_over(published, tmp_path, tiny, attempted):
    part = dataclasses.replace(tiny, entries=tiny.entries[1:], jobs={HE.key: HE})
    first = runner.run([part], [PBE], tmp_path / "two", PROTOCOL)
    assert first.results == 1
    own = Results(tmp_path / "two").get("pbe", HE.key)
    runner.run([tiny], [PBE], tmp_path / "two", PROTOCOL, known=published)
    assert attempted == ["pbe"] and list(Results(tmp_path / "two").methods()) == ["pbe"]
    assert Results(tmp_path / "two").get("pbe", HE.key) == own


def test_the_file_holds_no_geometry_and_no_reference_and_is_the_same_again(published, tmp_path):
    again = tmp_path / "again.jsonl.gz"
    publish(Results(tmp_path / "one"), again)
    assert again.read_bytes() == published.read_bytes()
    kept = {key for line in gzip.decompress(published.read_bytes()).splitlines() for key in json.loads(line)}
    assert "e_scf" in kept and not kept & {"job", "atoms", "reference", "entries"}


def test_another_version_is_not_taken_over(published, tmp_path, tiny, attempted):
    said = []
    other = dataclasses.replace(PBE, version="another")
    runner.run([tiny], [HF, other], tmp_path / "two", PROTOCOL, known=published, say=said.append)
    assert attempted == ["pbe"] * 3
    assert said[0].startswith("one.jsonl.gz has pbe in another version, which is not taken over: ")


def test_failures_are_computed_again(published, tmp_path, tiny, attempted):
    head, *lines = [json.loads(line) for line in gzip.decompress(published.read_bytes()).splitlines()]
    lines[-1] = {"functional": lines[-1]["functional"], "key": lines[-1]["key"], "failed": "no reason"}
    published.write_bytes(gzip.compress("\n".join(map(json.dumps, [head, *lines])).encode()))
    runner.run([tiny], [HF, PBE], tmp_path / "two", PROTOCOL, known=published)
    assert attempted == ["pbe"]


def test_another_protocol_is_refused(published, tmp_path, tiny):
    with pytest.raises(InvalidInput, match=f"has results of protocol {PROTOCOL.hash}, this run's is"):
        runner.run([tiny], [HF], tmp_path / "two", dataclasses.replace(PROTOCOL, grid_level=1), known=published)


# A compressed file holds its time: without names the tests would be called otherwise in each process.
@pytest.mark.parametrize("content", [
    pytest.param(b"", id="empty"),
    pytest.param(b"\x1f\x8b\x08\x00", id="half a header"),
    pytest.param(gzip.compress(b""), id="no line"),
    pytest.param(gzip.compress(b"{}\n[1]"), id="a list"),
    pytest.param(gzip.compress(b'{"a": 1}\n{"b": 2}'), id="other keys"),
    pytest.param(gzip.compress(b"{"), id="half a line"),
])
def test_a_file_of_something_else_is_refused(content, tmp_path, tiny):
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"x\.jsonl\.gz is no file of `mlxc bench export`, or damaged"):
        runner.run([tiny], [HF], tmp_path / "two", PROTOCOL, known=path)


def test_a_damaged_file_is_refused(published, tmp_path, tiny):
    content = bytearray(published.read_bytes())
    content[len(content) // 2] ^= 255
    published.write_bytes(bytes(content))
    with pytest.raises(InvalidInput, match="or damaged"):
        runner.run([tiny], [HF], tmp_path / "two", PROTOCOL, known=published)


def test_bad_places(published, tmp_path):
    with pytest.raises(InvalidInput, match=r"ends in \.jsonl\.gz"):
        publish(Results(tmp_path / "one"), tmp_path / "one.json")
    with pytest.raises(InvalidInput, match="cannot be written"):
        publish(Results(tmp_path / "one"), tmp_path / "one" / "protocol.json" / "one.jsonl.gz")
    with pytest.raises(InvalidInput, match=r"has no protocol\.json"):
        publish(Results(tmp_path), tmp_path / "one.jsonl.gz")
