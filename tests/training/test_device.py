"""Where a fit is computed: the choice of a GPU, what is there and what is on its way, the same numbers everywhere."""

import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mlxc.errors import InvalidInput
from mlxc.zoo.store import untrained
from tests.functionals import random_functional, random_local_hybrid, randomised
from tests.gpu.virtual_device import NAME, VirtualDevice
from tests.training import toy
from tests.training.conftest import SPECIES, TARGETS, TINY
from tests.training.test_train import CONFIG
from training import checkpoint, configuration, data, features, fit, member, points, train
from training.device import CPU, HERE, Place, chosen
from training.log import Log
from training.objective import theta
from training.optimise import optimise

DAMPING = {"s6": 1.0, "s8": 0.5, "s9": 1.0, "a1": 0.4, "a2": 5.0}

MIXED = replace(HERE, precision=torch.float32)


def relaxed():
    """A functional whose terms are of every kind."""
    network = {"width": 3, "depth": 1, "relaxed": ["long_range", "bounds", "uniform_gas"]}
    return randomised(lambda: untrained("lh", {"local_omega": 0.4, "b_max": 2.0}, network, "x"), 0.3, 3)


MAKERS = (random_functional, random_local_hybrid, relaxed)


def there(monkeypatch, gpus: int, built: bool = True):
    """So many GPUs, and a PyTorch that can use them or cannot."""
    monkeypatch.setattr(torch.version, "cuda", "13.0" if built else None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)


@pytest.mark.parametrize("name, rank, index", [("cuda", None, 0), ("cuda:1", None, 1), ("cuda", 1, 1), ("cuda", 2, 0),
                                               ("cuda:0", 1, 0)])
def test_a_gpu_is_the_one_that_is_named_or_the_process_s_own(monkeypatch, name, rank, index):
    there(monkeypatch, 2)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("LOCAL_RANK", str(rank))
    assert chosen(name) == torch.device("cuda", index)
    assert chosen("cpu") == CPU


@pytest.mark.parametrize("name, gpus, built, reason", [
    ("gpu", 1, True, "--device gpu: expected cpu, cuda or cuda:N, with the number"),
    ("cuda:", 1, True, "--device cuda:: expected cpu, cuda or cuda:N, with the number"),
    ("cuda", 0, False, r"--device cuda: torch .* was built without CUDA: install .*; or leave --device out"),
    ("cuda", 0, True, "--device cuda: torch .* finds no NVIDIA GPU: check that nvidia-smi .*; or leave --device out"),
    ("cuda:2", 2, True, "--device cuda:2: PyTorch finds cuda:0, cuda:1 only: give one of them, or leave --device out"),
])
def test_a_gpu_that_is_not_there_is_an_error(monkeypatch, name, gpus, built, reason):
    there(monkeypatch, gpus, built)
    with pytest.raises(InvalidInput, match=reason):
        chosen(name)


@pytest.mark.parametrize("command", ("train", "leave_out", "refine"))
def test_it_ends_a_command_before_anything_is_computed(monkeypatch, tmp_path, command):
    there(monkeypatch, 0)
    module = pytest.importorskip(f"training.{command}")
    monkeypatch.setattr(module.configuration, "read", lambda _: pytest.fail("the configuration was read"))
    more = {"leave_out": ["--group", "x"], "refine": ["model.toml"]}.get(command, [])
    monkeypatch.setattr(sys, "argv", [command, "config.toml", *more, "--device", "cuda"])
    with pytest.raises(SystemExit, match=f"{command}: --device cuda: torch .* finds no NVIDIA GPU"):
        module.main()


def test_terms_take_half_of_what_is_free_on_a_gpu(monkeypatch):
    kept = [4]
    monkeypatch.setattr(torch.cuda, "empty_cache", kept.clear)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10 * (1 + device.index) - sum(kept), 1000))
    assert Place(torch.device("cuda", 1)).room == 10 and HERE.room == float("inf")


class Streams:
    """A device module that writes down in which order things happen."""

    def __init__(self):
        self.events: list[str] = []

    def Stream(self, device):
        return self

    def current_stream(self, device):
        return self

    @contextmanager
    def stream(self, stream):
        yield

    def wait_stream(self, stream):
        self.events.append("wait")

    def synchronize(self, device):
        self.events.append("end")


@pytest.fixture
def virtual(monkeypatch):
    """A device other than the processor, with a record of its streams."""
    streams = Streams()
    monkeypatch.setattr(torch, "get_device_module", lambda device: streams)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda x: streams.events.append("pin") or x)
    with VirtualDevice():
        yield Place(torch.device(NAME)), streams.events


def numbers(functional, prepared) -> list[np.ndarray]:
    """Energies in both ways, and slopes."""
    values, slopes = fit.jacobian(functional, prepared)
    return [np.array(list(fit.energies(functional, prepared).values())), np.array(list(values.values())),
            np.array(list(slopes.values()))]


def prepared(functional, records, how: str, place: Place = HERE):
    """Everything kept on the device, in main memory, or on disk."""
    with pytest.MonkeyPatch.context() as patch:
        if how == "memory":
            patch.setattr(Place, "room", 0.0)
        return fit.prepare(functional, SPECIES.values(), records, DAMPING, TINY, 0 if how == "disk" else 1e9, place)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("place", (HERE, MIXED), ids=("double", "mixed"))
def test_what_is_streamed_gives_the_same_numbers_as_what_is_kept(records, make, place):
    functional = make().requires_grad_(True)
    kept, *others = (prepared(functional, records, how, place) for how in ("device", "memory", "disk"))
    assert all(isinstance(e.terms, tuple) for e in kept.values())
    assert all(fit.size(e.terms) > 0 for e in others[0].values()) and not any(
        isinstance(e.terms, tuple) or fit.size(others[1][key].terms) for key, e in others[0].items())
    for other in others:
        assert all(map(np.array_equal, numbers(functional, other), numbers(functional, kept)))


@pytest.mark.parametrize("make", (random_functional, relaxed))
@pytest.mark.parametrize("how", ("device", "memory", "disk"))
def test_another_device_gives_the_same_numbers(records, virtual, monkeypatch, make, how):
    """Nothing on the way needs a tensor of the processor, and the functional stays where it is."""
    place, events = virtual
    functional, devices, evaluated = make().requires_grad_(True), set(), points.evaluated
    for module in (points, fit):
        monkeypatch.setattr(module, "evaluated", lambda f, p, there=HERE: (
            devices.add(p.variables.device.type), evaluated(f, p, there))[1])
    found = prepared(functional, records, how, place)
    if how == "device":
        assert {t.gas.device.type for e in found.values() for t in e.terms} == {NAME} and not events
    found_there = numbers(functional, found)
    assert devices == {NAME}
    for one, other in zip(found_there, numbers(functional, prepared(functional, records, "device")), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-13, atol=1e-14)
    assert {p.device for p in functional.parameters()} == {CPU}
    assert ("pin" in events) == (how != "device") and ("end" in events) == (how != "device")


def test_the_next_points_are_sent_while_the_device_works(records, virtual, monkeypatch):
    """They are asked for after the last terms were handed out; two species' points at most are there at a time."""
    place, events = virtual
    functional = random_functional()
    monkeypatch.setattr(points.Stored, "sent", lambda self: events.append(f"send {self.species.key}") or "points")
    monkeypatch.setattr(points.Stored, "terms", lambda self, points: self.species.key)
    found = prepared(functional, records, "disk", place)
    events.clear()
    for terms in points.in_turn([*(found[key].terms for key in ("H", "He", "Li")), ()], place):
        events.append(f"use {terms or 'kept'}")
    assert events == ["send H", "wait", "use H", "send He", "end", "wait", "use He", "send Li", "end",
                      "wait", "use Li", "end", "wait", "use kept"]


@pytest.mark.parametrize("make", MAKERS)
def test_mixed_precision_changes_little(records, make):
    """Networks in single precision, everything else in double."""
    functional = make().requires_grad_(True)
    double, mixed = (prepared(functional, records, "device", place) for place in (HERE, MIXED))
    assert {t.inputs.dtype for e in mixed.values() for t in e.terms} == {torch.float32}
    assert {t.gas.dtype for e in mixed.values() for t in e.terms} == {torch.float64}
    one, _, slopes = numbers(functional, mixed)
    other, _, exact = numbers(functional, double)
    assert 0 < np.abs(one - other).max() < 1e-6  # Ha
    assert toy.largest_difference(slopes, exact) < 1e-5
    assert {p.dtype for p in functional.parameters()} == {torch.float64}


def config(**settings) -> dict:
    """The tests' configuration, with other settings of the fit."""
    found = configuration.tomllib.loads(CONFIG)
    found["tolerance"] |= dict.fromkeys(sorted({t.group for t in TARGETS}), 3.0)
    return configuration.checked(found | {"fit": found["fit"] | settings})


def test_the_configuration_asks_for_mixed_precision(records):
    dataset = data.Dataset(SPECIES, TARGETS)
    double, mixed = (member.fitted(config(**more), dataset, records, TINY, lambda _: None)[0]
                     for more in ({}, {"mixed_precision": True}))
    assert 0 < toy.largest_difference(theta(mixed), theta(double)) < 1e-3


@pytest.mark.parametrize("first, second", [(0, 1), (1, 0)], ids=("from-device", "to-device"))
def test_a_checkpoint_goes_on_wherever_it_was_made(tmp_path, virtual, first, second):
    """What it holds are arrays in main memory, in double precision."""
    places = HERE, virtual[0]
    path = tmp_path / "x.npz"

    def fitted(place: Place, steps: int, identity: str):
        problem = toy.objective()
        moved = {key: replace(e, terms=tuple(points.at(place, t) for t in e.terms), place=place)
                 for key, e in problem.prepared.items()}
        settings = toy.CONFIG | {"fit": toy.CONFIG["fit"] | {"steps": steps}}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(checkpoint, "identity", lambda **_: identity)
            optimise(problem.functional, moved, problem.targets, settings, Log(lambda _: None), path)
        return theta(problem.functional)

    whole = fitted(HERE, 4, "whole")
    path.unlink()
    fitted(places[first], 2, "stopped")
    saved = checkpoint.load(path, "stopped")
    assert saved["step"] == 2 and isinstance(saved["theta"], np.ndarray)
    np.testing.assert_allclose(fitted(places[second], 4, "stopped"), whole, rtol=1e-12)


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> tuple:
    """(configuration, dataset, records) of the toy that the tutorial trains."""
    found = configuration.read(Path(train.__file__).parent / "configs" / "toy.toml")
    dataset, folder = data.from_config(found, None), tmp_path_factory.mktemp("toy")
    member.make_densities(found, dataset, folder, features.Settings.of(found))
    return found, dataset, folder


@pytest.mark.gpu
@pytest.mark.parametrize("how, tolerance", [("device", 1e-4), ("memory", 1e-4), ("disk", 1e-4), ("mixed", 0.2)])
def test_a_gpu_fits_what_the_processor_fits(small, monkeypatch, how, tolerance):
    """Errors of all targets, kcal/mol: with everything kept there, streamed, in mixed precision (0.02 on a CPU)."""
    found, dataset, folder = small
    more = {"disk": {"memory_gb": 0.0}, "mixed": {"mixed_precision": True}}.get(how, {})
    settings = features.Settings.of(found)
    if how == "memory":
        monkeypatch.setattr(Place, "room", 0.0)
    errors = []
    for name, asked in (("cpu", found), ("cuda", found | {"fit": found["fit"] | more})):
        functional, used, _ = member.fitted(asked, dataset, folder, settings, lambda _: None, device=chosen(name))
        energies, _ = member.prepared(found, dataset, functional, folder, settings)
        errors.append(fit.residuals(used, fit.energies(functional, energies)))
    np.testing.assert_allclose(errors[1], errors[0], rtol=0, atol=tolerance)
