"""Configurations: the shipped ones are accepted, and what is wrong in others is named with what was meant."""

import copy
import re
from pathlib import Path

import pytest

from mlxc.errors import InvalidInput
from training import configuration

CONFIGS = Path(__file__).parents[2] / "training" / "configs"


def shipped(name: str = "mlxc_lh") -> dict:
    return configuration.read(CONFIGS / f"{name}.toml")


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_configurations_are_accepted(path):
    assert configuration.read(path)["model"]["name"]


def test_every_section_and_key_is_explained():
    rows = re.findall(r"^\| ([\w, ]+)(?:: ([\w, ]+))? \|", configuration.__doc__, re.MULTILINE)
    told = {(section, key) for sections, keys in rows for section in sections.split(", ") for key in keys.split(", ")}
    sections = {section for section, _ in told} - {"section", "key"}  # of the head
    assert sections == set(configuration.SECTIONS)
    for section, known in configuration.SECTIONS.items():
        assert known is None or {key for name, key in told if name == section} == set(known)


@pytest.mark.parametrize("section, key, value, reason", [
    ("fit", "riddge", 1.0, r"\[fit\] has no key riddge; .* did you mean ridge\?"),
    ("network", "dept", 1, r"\[network\] has no key dept; it has width, depth, zeta2, .*; did you mean depth\?"),
    ("exchange", "omega", 0.3, r"\[exchange\] omega is not for kind 'lh', which has local_omega, b_max"),
    ("fit", "steps", "50", r"\[fit\] steps is '50', expected an integer"),
    ("fit", "steps", 5.5, r"\[fit\] steps is 5.5, expected an integer"),
    ("fit", "ridge", True, r"\[fit\] ridge is True, expected a number"),
    ("ensemble", "members", 0, r"\[ensemble\] members is 0, expected a number from 1"),
    ("fit", "batch", 0, r"\[fit\] batch is 0, expected a number from 1"),
    ("fit", "ridge", float("nan"), r"\[fit\] ridge is nan, expected a number from 0"),
    ("fit", "method", "adma", r"\[fit\] method is 'adma'; there are gauss_newton, adam; did you mean adam\?"),
    ("fit", "method", "adam", r"\[fit\] has no batch, rate; it needs batch, rate"),
    ("model", "kind", "hl", r"\[model\] kind is 'hl'; there are rs, lh"),
    ("network", "hole", 1, r"\[network\] hole is 1, expected true or false"),
    ("network", "relaxed", "bounds", r"\[network\] relaxed is 'bounds', expected a list"),
    ("network", "relaxed", ["bound"], r"relaxed has 'bound'; there are one_electron, .* did you mean bounds\?"),
])
def test_a_key_that_is_wrong_is_named(section, key, value, reason):
    config = copy.deepcopy(shipped())
    config[section][key] = value
    with pytest.raises(InvalidInput, match=reason):
        configuration.checked(config)


def test_the_exchange_hole_is_for_local_hybrids():
    for name, accepted in (("mlxc_lh", True), ("mlxc_rs", False)):
        config = copy.deepcopy(shipped(name))
        config["network"]["hole"] = True
        if accepted:
            assert configuration.checked(config) is config
        else:
            with pytest.raises(InvalidInput, match=r"hole = true is for kind 'lh', .* not for 'rs'"):
                configuration.checked(config)


@pytest.mark.parametrize("change, reason", [
    ({"features": {"local_exchange": False}}, r"local_exchange = false: kind 'lh' needs it"),
    ({"features": {"omegas": [0.3]}}, r"omegas = \[0.3\] lacks the functional's ω, \[exchange\] local_omega = 0.5"),
    ({"network": {"width": 3, "depth": 1, "relaxed": ["bounds"]}}, r"relaxed and \[ensemble\] members > 1"),
])
def test_what_would_end_the_fit_after_its_densities_is_refused_before(change, reason):
    with pytest.raises(InvalidInput, match=reason):
        configuration.checked(copy.deepcopy(shipped()) | change)


@pytest.mark.parametrize("variant, reason", [
    ("fractional", r": 'fractional', expected sections such as tolerance"),
    ({"tolerance": 3.0}, r": .*expected sections such as"),
    ({"exchange": {"b_max": 1.0}}, r" has \[exchange\]; members vary in network, tolerance, factor, weight"),
    ({"network": {"width": 5}}, r": \[network\] width; members vary in zeta2, hole"),
    ({"network": {"zeta": True}}, r": \[network\] zeta; members vary in zeta2, hole; did you mean zeta2\?"),
    ({"network": {"zeta2": 1}}, r": \[network\] zeta2 is 1, expected true or false"),
    ({"tolerance": {"fractionl": 3.0}}, r": \[tolerance\] fractionl; members vary in .*; did you mean fractional\?"),
    ({"tolerance": {"curvature": 3.0}}, r": \[tolerance\] curvature; members vary in atomisation"),
])
def test_members_of_an_ensemble_vary_in_what_leaves_them_one_form(variant, reason):
    config = copy.deepcopy(shipped())
    config["ensemble"]["variants"] = [variant]
    with pytest.raises(InvalidInput, match=rf"\[\[ensemble\.variants\]\] 1{reason}"):
        configuration.checked(config)


def test_a_penalty_is_for_a_constraint_that_is_relaxed():
    config = copy.deepcopy(shipped()) | {"penalty": {"lieb_oxford": 0.1}}
    with pytest.raises(InvalidInput, match=r"lieb_oxford: it holds by construction; name bounds in relaxed"):
        configuration.checked(config)
    config["network"]["relaxed"] = ["bounds"]
    config.pop("ensemble")
    assert configuration.checked(config) is config


def test_sections_that_are_unknown_or_missing_are_named():
    config = shipped()
    with pytest.raises(InvalidInput, match=r"unknown section \[tolerances\]; .* did you mean tolerance\?"):
        configuration.checked(config | {"tolerances": {}})
    with pytest.raises(InvalidInput, match=r"the section \[dispersion\] is missing"):
        configuration.checked({key: value for key, value in config.items() if key != "dispersion"})
    with pytest.raises(InvalidInput, match=r"fit = 3 stands where the section \[fit\] is expected"):
        configuration.checked(config | {"fit": 3})


@pytest.mark.parametrize("content, reason", [(None, "cannot be read"), ("a = ", "is not TOML"), ("a = 1", "unknown")])
def test_a_file_that_is_no_configuration_is_named(tmp_path, content, reason):
    path = tmp_path / "x.toml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InvalidInput, match=rf"x\.toml.* {reason}"):
        configuration.read(path)
