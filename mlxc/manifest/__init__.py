"""Manifests: species, reactions and fractional points in one JSON file, checked when it is read.

    {"format": 1, "name": "small", "description": "what this is and where it comes from",
     "species": {"o":  {"atoms": [["O", 0.0, 0.0, 0.0]], "charge": 0, "spin": 2},
                 "o+": {"atoms": [["O", 0.0, 0.0, 0.0]], "charge": 1, "spin": 3}},
     "reactions": [{"id": "IP(O)", "stoichiometry": {"o": -1, "o+": 1, "e-": 1}, "reference": 13.618, "unit": "eV",
                    "subset": "ionisation", "source": "NIST ASD"}],
     "fractional": [{"id": "O_cation_0.5", "nuclei": "o", "n_alpha": 4.5, "n_beta": 3.0,
                     "between": {"o": 0.5, "o+": 0.5}, "subset": "fractional", "source": "straight line"}]}

* species: ``atoms`` in Å, ``charge``, ``spin`` = 2S, optionally ``basis`` (else that of the config's section [data],
  the diffuse one for every reaction with an anion or a one-electron species).
* reactions: Σ coefficient · E = ``reference`` in a unit of `mlxc.units.ENERGY`, products positive. `e-` and `H+` have
  energy zero and are written out; mass, charge and spin must balance (`mlxc.manifest.balance`), but for
  ``"spin_change": true``. A single species with coefficient 1 is a total energy; its reference may be "HF" without a
  unit: its Hartree–Fock energy. ``subset`` names the tolerance in the config.
* fractional: the nuclei of a species with n_alpha and n_beta electrons, fractions allowed. Its energy is the weighted
  mean of the end points' own energies, ``between``; the weights sum to 1, or to less where the rest is a bare nucleus.
  ``name``, where it is given, names its density in place of the id.
"""

import json
from pathlib import Path
from typing import Any

from mlxc.errors import InvalidInput
from mlxc.manifest import checks


def read(path: Path) -> dict[str, Any]:
    """The content of a manifest.

    Raises:
        InvalidInput: no such file, no JSON, or something in it that does not hold; file and entry are named.
    """
    path = Path(path)
    if not path.is_file():
        raise InvalidInput(f"no manifest {path}: give a JSON file such as python -m training.sources writes")
    try:
        found = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_no_key_twice)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InvalidInput(f"{path} is not a manifest, which is a JSON file: {error}") from error
    except _TwiceError as error:
        raise InvalidInput(f"{path}: key {error} is there twice in one object: rename or remove one") from None
    checks.check(found, str(path))
    return found


class _TwiceError(ValueError):
    """A key that one JSON object has twice; Python's reader would keep the last."""


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _TwiceError(repr(next(name for name in names if names.count(name) > 1)))
    return found
