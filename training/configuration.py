"""Reads a training configuration and refuses what it does not know, naming the closest that it does.

| section, key | default | meaning |
|---|---|---|
| model: name, version, description, kind, data | | for the model's card; kind is rs or lh, data what it is trained on |
| exchange: omega, sr_fraction | | rs: ω of long-range exact exchange, bohr⁻¹; its fraction at short range |
| exchange: local_omega, b_max | | lh: ω of the part that is mixed locally, bohr⁻¹, and the upper bound of b |
| network: width, depth | | hidden units of a layer, and layers |
| network: zeta2 | true, lh: false | whether unlike-spin correlation sees ζ² |
| network: hole | false | whether b sees the exchange hole (lh) |
| network: relaxed | [] | constraints that are left out, keys of `mlxc.xc.relaxed.RELAXABLE` |
| dispersion: s6, s8, s9, a1, a2 | | D4's damping while the functional is fitted, a2 in bohr |
| fit: seed | | of the networks' first values, and of Adam's batches |
| fit: ridge | | weight λ of the distance from the start, `training.loss` |
| fit: steps | | at most; Gauss–Newton ends before where the loss stands still |
| fit: method | gauss_newton | or adam |
| fit: batch, rate | | Adam's targets in a step, and its learning rate |
| fit: linear | false | whether what is linear in the inputs is fitted first |
| fit: resample, scatter | none, 1 | seed and relative width of random weights of the targets |
| fit: memory_gb | 4 | what grid points may take in main memory; the rest is read from disk |
| fit: mixed_precision | false | whether the networks are evaluated in single precision |
| ensemble: members, scatter | 1, 1 | functionals of which it is the mean; scatter of their weights |
| ensemble: variants | none | tables of [network], [tolerance], [factor], [weight] for members, `training.ensemble` |
| tolerance, weight: a group of targets | none, 1 | where the loss turns linear, kcal/mol, and weight: `training.loss` |
| factor: a beginning of ids | 1 | of their tolerance: `training.loss` |
| penalty: a constraint | none | tolerance of a soft constraint, key of `training.loss.PENALTIES` |
| data | | what is trained on, `training.data` |
| features | | how the densities are made, `training.record.Settings` |
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlxc.errors import InvalidInput
from mlxc.suggest import did_you_mean
from mlxc.xc.ensemble import SEEN
from mlxc.xc.relaxed import RELAXABLE, require_relaxable
from mlxc.zoo.store import untrained

#: Keys of each section and their types; None leaves the section to whom it is for: `data` and `features` to
#: the modules of that name, groups and penalties to `training.loss`.
SECTIONS: dict[str, dict[str, type] | None] = {
    "model": {"name": str, "version": str, "kind": str, "description": str, "data": str},
    "exchange": {"omega": float, "sr_fraction": float, "local_omega": float, "b_max": float},
    "network": {"width": int, "depth": int, "zeta2": bool, "hole": bool, "relaxed": list},
    "dispersion": {"s6": float, "s8": float, "s9": float, "a1": float, "a2": float},
    "fit": {"seed": int, "ridge": float, "steps": int, "method": str, "linear": bool, "batch": int, "rate": float,
            "memory_gb": float, "mixed_precision": bool, "resample": int, "scatter": float},
    "ensemble": {"members": int, "scatter": float, "variants": list},
    "tolerance": None,
    "factor": None,
    "weight": None,
    "penalty": None,
    "data": None,
    "features": None,
}

#: The lowest values that are accepted of what counts something, 0 of everything else.
LOWEST = {"members": 1, "batch": 1}

#: What the types are called.
NAMES = {str: "text", int: "an integer", float: "a number", bool: "true or false", list: "a list"}

#: What every configuration has.
REQUIRED = {"model": ("name", "version", "kind", "description", "data"), "exchange": (), "network": ("width", "depth"),
            "dispersion": ("s6", "s8", "s9", "a1", "a2"), "fit": ("seed", "ridge", "steps"), "tolerance": ()}

#: Keys of [exchange] that each kind of functional has, its ω first.
EXCHANGE = {"rs": ("omega", "sr_fraction"), "lh": ("local_omega", "b_max")}

#: What members of an ensemble may differ in: keys of sections, all groups of targets where empty; None of
#: [factor], whose beginnings of ids are checked where the targets are known (`training.data`).
VARIED: dict[str, tuple[str, ...] | None] = {"network": SEEN, "tolerance": (), "factor": None, "weight": ()}

#: Keys of [fit] that a method needs.
METHODS: dict[str, tuple[str, ...]] = {"gauss_newton": (), "adam": ("batch", "rate")}


def read(path: Path) -> dict[str, Any]:
    """A checked configuration.

    Raises:
        InvalidInput: the file is missing, no TOML, or `checked` refuses it.
    """
    try:
        return checked(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read ({error.strerror}): give a configuration, such as "
                           "training/configs/mlxc_rs.toml") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput(f"{path} is not TOML: {error}") from error
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error}") from None


def checked(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration itself, after every section and key was checked.

    Raises:
        InvalidInput: an unknown or missing section or key, or a value of another type.
    """
    for section, values in config.items():
        if section not in SECTIONS:
            raise InvalidInput(f"unknown section [{section}]; there are {', '.join(SECTIONS)}"
                               f"{did_you_mean(section, SECTIONS)}")
        if not isinstance(values, dict):
            raise InvalidInput(f"{section} = {values!r} stands where the section [{section}] is expected")
        if (known := SECTIONS[section]) is not None:
            for key, value in values.items():
                _check(section, key, value, known)
    for section, keys in REQUIRED.items():
        _require(config, section, keys)
    kind, method = config["model"]["kind"], config["fit"].get("method", "gauss_newton")
    for name, value, choices in (("[model] kind", kind, list(EXCHANGE)), ("[fit] method", method, list(METHODS))):
        if value not in choices:
            raise InvalidInput(f"{name} is {value!r}; there are {', '.join(choices)}{did_you_mean(value, choices)}")
    _require(config, "exchange", EXCHANGE[kind])
    if other := [key for key in config["exchange"] if key not in EXCHANGE[kind]]:
        raise InvalidInput(f"[exchange] {other[0]} is not for kind {kind!r}, which has {', '.join(EXCHANGE[kind])}")
    _require(config, "fit", METHODS[method])
    name = EXCHANGE[kind][0]
    densities, omega = config.get("features", {}), config["exchange"][name]
    omegas = densities.get("omegas")
    if kind == "lh" and densities.get("local_exchange") is False:
        raise InvalidInput("[features] local_exchange = false: kind 'lh' needs it; leave it out")
    if isinstance(omegas, list) and omega not in omegas:
        raise InvalidInput(f"[features] omegas = {omegas} lacks the functional's ω, [exchange] {name} = {omega:g}: "
                           "add it")
    _check_relaxed(config)
    untrained(kind, config["exchange"], config["network"], config["model"]["name"])  # what it refuses, now
    _check_variants(config)
    return config


def varied(config: Mapping[str, Any], variant: Mapping[str, Mapping]) -> dict[str, Any]:
    """A configuration without [ensemble], with what a variant has in its sections."""
    alone = {section: values for section, values in config.items() if section != "ensemble"}
    return alone | {section: alone.get(section, {}) | values for section, values in variant.items()}


def _check_variants(config: dict[str, Any]) -> None:
    """Each variant of an ensemble is a configuration of the same form, and has no target that the others lack."""
    for k, variant in enumerate(config.get("ensemble", {}).get("variants", [])):
        where = f"[[ensemble.variants]] {k + 1}"
        if not isinstance(variant, dict) or not all(isinstance(values, dict) for values in variant.values()):
            raise InvalidInput(f"{where}: {variant!r}, expected sections such as tolerance = {{ fractional = 3.0 }}")
        for section, keys in variant.items():
            if section not in VARIED:
                raise InvalidInput(f"{where} has [{section}]; members vary in {', '.join(VARIED)}")
            if VARIED[section] is None:
                continue
            known = VARIED[section] or tuple(config["tolerance"])
            if unknown := [key for key in keys if key not in known]:
                raise InvalidInput(f"{where}: [{section}] {unknown[0]}; members vary in {', '.join(known)}"
                                   f"{did_you_mean(unknown[0], known)}")
        try:
            checked(varied(config, variant))
        except InvalidInput as error:
            raise InvalidInput(f"{where}: {error}") from None


def _check_relaxed(config: dict[str, Any]) -> None:
    """What is relaxed can be, and what is not has no penalty."""
    relaxed = config["network"].get("relaxed", [])
    require_relaxable(relaxed)
    if relaxed and config.get("ensemble", {}).get("members", 1) > 1:
        raise InvalidInput("[network] relaxed and [ensemble] members > 1: means are of functionals with all "
                           "constraints; leave one of them out")
    for law in config.get("penalty", {}):
        if makes_soft := [name for name, laws in RELAXABLE.items() if law in laws]:
            if not set(makes_soft) & set(relaxed):
                raise InvalidInput(f"[penalty] {law}: it holds by construction; name {' or '.join(makes_soft)} in "
                                   "relaxed of [network] to make it soft, or leave the penalty out")


def _check(section: str, key: str, value: Any, known: dict[str, type]) -> None:
    if key not in known:
        raise InvalidInput(f"[{section}] has no key {key}; it has {', '.join(known)}{did_you_mean(key, known)}")
    kind = known[key]
    accepted = (int, float) if kind is float else (kind,)
    if type(value) not in accepted:
        raise InvalidInput(f"[{section}] {key} is {value!r}, expected {NAMES[kind]}")
    lowest = LOWEST.get(key, 0)
    if section in ("network", "fit", "ensemble") and type(value) in (int, float) and not lowest <= value < float("inf"):
        raise InvalidInput(f"[{section}] {key} is {value!r}, expected a number from {lowest}")


def _require(config: dict[str, Any], section: str, keys: tuple[str, ...]) -> None:
    if section not in config:
        raise InvalidInput(f"the section [{section}] is missing; needed are {', '.join(REQUIRED)}")
    if missing := [key for key in keys if key not in config[section]]:
        raise InvalidInput(f"[{section}] has no {', '.join(missing)}; it needs {', '.join(keys)}")
