"""Record files: what names them, that they come back whole or not at all, and what is said of damaged ones."""

import dataclasses
import json
import resource
from pathlib import Path

import h5py
import numpy as np
import pytest

import mlxc
from mlxc.errors import InvalidInput, UnknownFunctional
from tests.functionals import random_functional
from tests.training.conftest import SPECIES, TINY
from training import features
from training.record import ADDED, OWN, is_whole

H = SPECIES["H"]


@pytest.fixture(scope="module")
def record() -> features.Record:
    return features.compute(H, TINY)


def same(a: features.Record, b: features.Record) -> bool:
    return all(np.array_equal(list(x.values()), list(y.values())) if isinstance(x, dict) else np.array_equal(x, y)
               for x, y in ((getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a)))


# ----------------------------------------------------------------------------------------- the file's name


def test_records_made_before_are_found():
    """Names that the first version of this module gave: settings that were added since do not change them."""
    first = dataclasses.replace(features.STANDARD, omegas=(0.3, 0.4))
    assert features.record_path("x", SPECIES["H2"], first).name == "f0323fdf270598c3bb47.h5"
    other = dataclasses.replace(first, grid=1, xc="pbe0")
    assert features.record_path("x", SPECIES["H_0.75"], other).name == "b72189945e8aa6d0a69a.h5"


CHANGES = {"xc": "pbe0", "scf_grid": 3, "grid": 4, "density_fit_above": 1, "auxbasis": "weigend", "conv_tol": 1e-5,
           "cutoff": 1e-4, "omegas": (0.1,), "follow_ups": 0, "local_exchange": False, "local_grid": 0}


def test_every_setting_is_part_of_the_hash():
    assert set(CHANGES) == {field.name for field in dataclasses.fields(features.Settings)}
    settings = [features.STANDARD] + [dataclasses.replace(features.STANDARD, **{k: v}) for k, v in CHANGES.items()]
    assert len({features.record_path("x", H, s) for s in settings}) == len(settings)


def test_every_property_of_a_species_is_part_of_the_hash():
    h2 = SPECIES["H2"]
    shorter = (h2.atoms[0], ("H", (0.0, 0.0, 0.73)))
    changed = [dataclasses.replace(h2, **change) for change in (
        {}, {"atoms": shorter}, {"n_alpha": 2.0}, {"n_beta": 0.5}, {"basis": "sto-3g"}, {"key": "other"})]
    assert len({features.record_path("x", s, TINY) for s in changed}) == len(changed)


def test_the_weights_of_a_model_are_part_of_the_hash(card_path, functional):
    """Records of another fit under the same name are not found; the same weights are, by name or by path."""
    path = features.record_path("x", H, dataclasses.replace(TINY, xc=str(card_path)))
    functional.name = "toy_rs"
    by_name = dataclasses.replace(TINY, xc=mlxc.register(functional))
    assert features.record_path("x", H, by_name) == path
    refitted = random_functional(seed=2)
    refitted.name = "toy_rs"
    mlxc.register(refitted)
    assert features.record_path("x", H, by_name) != path


def test_an_unknown_functional_is_refused():
    with pytest.raises(InvalidInput, match="neither PySCF nor mlxc has a functional 'wb97y'.*mlxc_lh.*model card"):
        features.record_path("x", H, dataclasses.replace(TINY, xc="wb97y"))
    with pytest.raises(UnknownFunctional, match="did you mean mlxc_lh"):
        features.record_path("x", H, dataclasses.replace(TINY, xc="mlxc_lhh"))


def test_settings_come_from_the_configuration():
    assert features.Settings.of({"model": {}}) == features.STANDARD
    found = features.Settings.of({"features": {"xc": "mlxc_lh", "omegas": [0.2], "grid": 3}})
    assert found == features.Settings(xc="mlxc_lh", omegas=(0.2,), grid=3)
    with pytest.raises(InvalidInput, match=r"\[features\] cut_off is no setting; did you mean cutoff\?"):
        features.Settings.of({"features": {"cut_off": 1e-8}})


@pytest.mark.parametrize(("key", "value", "like"), (("grid", "2", "2"), ("omegas", 0.3, r"\[0.3, "),
                                                   ("omegas", ["0.3"], r"\[0.3, "), ("local_exchange", 1, "True"),
                                                   ("xc", 1, "'wb97x'")))
def test_a_setting_of_another_type_is_refused(key, value, like):
    with pytest.raises(InvalidInput, match=rf"\[features\] {key} is .*, expected something like {like}"):
        features.Settings.of({"features": {key: value}})


# ------------------------------------------------------------------------------------------------- writing


@pytest.mark.parametrize("stable", (None, True, False))
@pytest.mark.parametrize("converged", (True, False))
def test_a_record_survives_the_file(tmp_path, record, stable, converged):
    record = dataclasses.replace(record, stable=stable, converged=converged)
    features.save(tmp_path, H, TINY, record)
    assert same(features.load(H, tmp_path, TINY), record)
    assert [path.suffix for path in tmp_path.iterdir()] == [".h5"]


def test_a_record_that_says_nothing_of_a_later_setting_is_one_with_the_standard(tmp_path, record):
    path = features.save(tmp_path, H, TINY, record)
    with h5py.File(path, "r+") as f:
        made_with = json.loads(f.attrs["made_with"])
        for name in ADDED:
            del made_with["settings"][name]
        f.attrs["made_with"] = json.dumps(made_with)
    assert same(features.load(H, tmp_path, TINY), record)


def test_a_record_without_local_exchange_survives_the_file(tmp_path):
    settings = dataclasses.replace(TINY, local_exchange=False)
    record = features.compute(H, settings)
    assert record.ex_sr == {} and record.ex_lr.keys() == set(TINY.omegas)
    features.save(tmp_path, H, settings, record)
    assert same(features.load(H, tmp_path, settings), record)


@pytest.mark.parametrize("field", ("weights", "variables", "e_rest", "ex_full", "ex_lr", "ex_sr", "e_scf"))
def test_nan_is_refused(tmp_path, record, field):
    value = getattr(record, field)
    bad = {k: v * np.nan for k, v in value.items()} if isinstance(value, dict) else value * np.nan
    with pytest.raises(InvalidInput, match=f"record of H holds NaN or infinity in {field}"):
        features.save(tmp_path, H, TINY, dataclasses.replace(record, **{field: bad}))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing_half_written(tmp_path, record):
    """The system stops the file after 10,000 bytes; the record that was there stays as it was."""
    path = features.save(tmp_path, H, TINY, record)
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    assert len(before) > 10_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(features.NotWritten, match=f"{path} could not be written .*make room.*run again"):
            features.save(tmp_path, H, TINY, dataclasses.replace(record, e_rest=1.0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == before


# ------------------------------------------------------------------------------------------------- reading


def test_a_missing_record_is_an_error_that_names_its_relatives(tmp_path, record):
    with pytest.raises(FileNotFoundError, match=f"no density of H in {tmp_path}: compute it with training.features"):
        features.load(H, tmp_path, TINY)
    made = features.save(tmp_path, H, TINY, record)
    finer = dataclasses.replace(TINY, grid=2, xc="pbe0")
    with pytest.raises(features.MissingRecord, match=rf"{made.name} \(xc is wb97x, asked for pbe0; grid is 0, asked "
                                                     r"for 2\)"):
        features.load(H, tmp_path, finer)


def test_a_renamed_record_is_refused_with_what_differs(tmp_path, record):
    finer = dataclasses.replace(TINY, grid=2)
    path = features.save(tmp_path, H, TINY, record).rename(features.record_path(tmp_path, H, finer))
    with pytest.raises(InvalidInput, match=f"{path} is no record of H with these settings: grid is 0, asked for 2"):
        features.load(H, tmp_path, finer)


def cut(path: Path):
    path.write_bytes(path.read_bytes()[:-100])


def change_a_bit(path: Path, record: features.Record):
    content = bytearray(path.read_bytes())
    content[content.index(record.weights.tobytes()) + 1001] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", ("cut", "empty", "text", "bit"))
def test_a_damaged_file_is_named(tmp_path, record, damage):
    path = features.save(tmp_path, H, TINY, record)
    {"cut": lambda: cut(path), "empty": lambda: path.write_bytes(b""), "text": lambda: path.write_text("record"),
     "bit": lambda: change_a_bit(path, record)}[damage]()
    with pytest.raises(InvalidInput, match=f"{path}, the record of H, is damaged .*delete it and compute it anew"):
        features.load(H, tmp_path, TINY)
    assert is_whole(path) is (damage == "bit")  # only reading everything shows that


def test_a_card_of_a_refined_functional_names_no_densities():
    card = {"training": {"features": {"xc": OWN, "omegas": [0.5]}}}
    with pytest.raises(InvalidInput, match="its own densities.*--config"):
        features.Settings.read(None, card)
    config = Path(__file__).parents[2] / "training" / "configs" / "mlxc_lh.toml"
    assert features.Settings.read(config, card).xc == "wb97x"
