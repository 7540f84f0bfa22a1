"""Small training data, made by the tests themselves, and the real reference files where they lie."""

import json
import os
from pathlib import Path

import pytest

from mlxc.manifest.species import Species
from training import features
from training.data import Target

#: Cheapest settings that still integrate to a millihartree.
TINY = features.Settings(scf_grid=0, grid=0, omegas=(0.3, 0.4))

H2 = (("H", (0.0, 0.0, 0.0)), ("H", (0.0, 0.0, 0.74)))

SPECIES = {s.key: s for s in (
    Species("H", (("H", (0.0, 0.0, 0.0)),), 1.0, 0.0, "6-31g"),
    Species("H2", H2, 1.0, 1.0, "6-31g"),
    Species("H2+", H2, 1.0, 0.0, "6-31g"),
    Species("H_0.75", (("H", (0.0, 0.0, 0.0)),), 0.75, 0.0, "6-31g"),
    Species("He", (("He", (0.0, 0.0, 0.0)),), 1.0, 1.0, "6-31g"),
    Species("Li", (("Li", (0.0, 0.0, 0.0)),), 2.0, 1.0, "sto-3g"),
)}

TARGETS = [
    Target("TAE(H2)", "atomisation", (("H2", -1), ("H", 2)), 109.5 / 627.5),
    Target("IP(H2)", "ionisation", (("H2+", 1), ("H2", -1)), 0.57),
    Target("E(He)", "total", (("He", 1),), -2.9037),
    Target("H", "one_electron", (("H", 1),), None),
    Target("H_0.75", "fractional", (("H_0.75", 1.0), ("H", -0.75)), 0.0),
]


@pytest.fixture(scope="session")
def records(tmp_path_factory) -> Path:
    """Folder with the records of SPECIES."""
    folder = tmp_path_factory.mktemp("records")
    features.build(SPECIES, folder, TINY)
    return folder


@pytest.fixture(scope="session")
def reference_folder() -> Path:
    """The reference files of the shipped model: $MLXC_DATA, or ../shared/data beside the checkout."""
    folder = Path(os.environ.get("MLXC_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not (folder / "train.json").is_file():
        pytest.skip(f"no reference data in {folder} (not part of mlxc): set MLXC_DATA to the folder with train.json")
    return folder


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory) -> Path:
    """Reference files in the same format with invented numbers: three atoms and two molecules."""
    folder = tmp_path_factory.mktemp("reference")

    def molecule(canonical, atoms, charge=0, spin=0):
        return {"canonical": canonical, "charge": charge, "spin": spin, "atoms": atoms}

    def atom(z, neutral, cation, anion, affinity):
        spin = {"neutral": neutral, "cation": cation, "anion": anion}
        return {"Z": z, "spin": spin, "IP_eV": {"value": 10.0}, "E_exact_nonrel_Ha": {"value": -z**2 / 2},
                "EA_eV": None if affinity is None else {"value": affinity}}

    def fraction(symbol, kind, f, na, nb):
        return {"id": f"{symbol}_{kind}_{f}", "element": symbol, "kind": kind, "fraction": f, "na": na, "nb": nb}

    files = {
        "train.json": {
            "species": {"set/h2": molecule("set/h2", [["H", 0, 0, 0], ["H", 0, 0, 0.74]]),
                        "set/h": molecule("set/h", [["H", 0, 0, 0]], spin=1),
                        "other/h": molecule("set/h", [["H", 0, 0, 0]], spin=1)},
            "reactions": [{"id": "R1", "stoichiometry": {"set/h2": -1, "set/h": 2}, "reference": 109.5},
                          {"id": "R2", "stoichiometry": {"set/h2": -1, "other/h": 2}, "reference": 109.5}],
        },
        "atoms_public.json": {"atoms": {
            "H": atom(1, 1, 0, 0, 0.75), "B": atom(5, 1, 0, 2, 0.28), "Li": atom(3, 1, 0, 0, 0.62),
            "N": atom(7, 3, 2, None, None), "Be": atom(4, 0, 1, 1, -0.5), "K": atom(19, 1, 0, 0, 0.5)}},
        "fractional_public.json": {"fractional_charge": [
            fraction("H", "cation", 0.25, 0.75, 0), fraction("Li", "anion", 0.5, 2, 1.5),
            fraction("B", "cation", 0.5, 2.5, 2)]},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    return folder
