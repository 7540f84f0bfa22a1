"""Whether a species of a test split is trained on.

Species are compared by composition, charge, spin, distances and Coulomb matrix (`mlxc.manifest.fingerprint`). Distances
may differ by CLOSED_SHELL, since methods disagree on geometries; by OPEN_OR_CHARGED for ions and radicals, which are
what is tested: a point of the same potential curve is the same system there.

What the test split is, and which overlaps are accepted and why, stands in `data/splits.json`:

* ``allowed_species``: closed-shell neutral molecules that reactions of the test share with the atomisation energies of
  the training set, and H₂⁺;
* ``never_scored``: reactions of the test of which the training set holds every species.

Free atoms and their ions are not compared: they are end points of the fractional charges, and their reactions are
reported apart. Species with fractional electrons are in no test.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mlxc.errors import InvalidInput
from mlxc.manifest.fingerprint import Fingerprint, difference, same
from mlxc.manifest.species import Species, atoms_of, occupied
from training.data import PROJECT, Dataset

#: Which ids are trained on, validated and tested on, and what the test may share with the training set.
SPLITS = PROJECT / "data" / "splits.json"

#: The reference file that is the test, and what of its ids is not looked at.
TEST_FILE = "benchmark.json"

#: Distances that differ by no more than this are the same, Å: of closed shells without charge, and of all others.
CLOSED_SHELL, OPEN_OR_CHARGED = 0.05, 0.2

#: How many pairs an error names.
SHOWN = 12


@dataclass(frozen=True)
class Overlap:
    """A species of the test and what it is in the training set."""

    tested: str
    trained: str
    difference: float  # of distances, Å

    def __str__(self):
        return f"{self.trained} is {self.tested} of the test (distances within {self.difference:.3f} Å)"


def overlaps(trained: Iterable[Species], tested: dict[str, Species]) -> list[Overlap]:
    """Tested molecules that are trained on, each with its nearest trained species.

    Args:
        trained: species of a training set; atoms and fractional occupations are left out.
        tested: species of a test by name.
    """
    by_kind: dict[tuple, list[Fingerprint]] = defaultdict(list)
    for s in trained:
        if len(s.atoms) > 1 and not s.is_fractional:
            by_kind[Fingerprint(s).kind].append(Fingerprint(s))
    found = []
    for name, s in tested.items():
        print_ = Fingerprint(s)
        tolerance = CLOSED_SHELL if print_.kind[1:] == (0, 0) else OPEN_OR_CHARGED
        near = [(difference(print_, f), f.species.key) for f in by_kind[print_.kind] if same(print_, f, tolerance)]
        if near and len(s.atoms) > 1:
            distance, key = min(near)
            found.append(Overlap(name, key, distance))
    return found


def check(dataset: Dataset, folder: Path | None, train_on_test: bool = False, splits: Path | None = None) -> dict:
    """Refuses a training set that holds species of the test which `data/splits.json` does not allow.

    Args:
        dataset: the training set.
        folder: of the reference files; where it has no TEST_FILE, nothing is compared.
        train_on_test: accept everything.
        splits: the split manifest, SPLITS by default.

    Returns:
        What the model card says, section [training.leakage]: ``compared`` with which file ("" for none) of which
        ``sha256``, ``shared_species`` (how many), ``trained_reactions`` (ids of the test of which all species are
        trained on).

    Raises:
        InvalidInput: names the pairs; or the file is not the one that the manifest describes.
    """
    if folder is None or not (folder / TEST_FILE).is_file():
        return {"compared": ""}
    found = (folder / TEST_FILE).read_bytes()
    digest = hashlib.sha256(found).hexdigest()
    allowed = json.loads((splits or SPLITS).read_text())
    if digest != (expected := allowed["files"][TEST_FILE]):
        raise InvalidInput(f"{folder / TEST_FILE} has the sha256 {digest[:12]}…, {splits or SPLITS} describes "
                           f"{expected[:12]}…: take the file of data/README.md, or update the manifest of the splits")
    test = json.loads(found)
    canonical = {name: s["canonical"] for name, s in test["species"].items()}
    pairs = overlaps(dataset.species.values(), {canonical[name]: _species(s) for name, s in test["species"].items()})
    trained = {p.tested for p in pairs}
    held = [r["id"] for r in test["reactions"] if _all_trained(r, test["species"], trained)]
    if not train_on_test:
        known = {name for group in allowed["allowed_species"] for name in group["species"]}
        apart = {name for group in allowed["never_scored"] for name in group["reactions"]}
        _refuse([str(p) for p in pairs if p.tested not in known], "species of the test are trained on")
        _refuse([name for name in held if name not in apart], "all species of these test reactions are trained on")
    return {"compared": TEST_FILE, "sha256": digest, "shared_species": len(pairs), "trained_reactions": held}


def _species(entry: dict) -> Species:
    return occupied(entry["canonical"], atoms_of(entry), entry["charge"], entry["spin"], "")


def _all_trained(reaction: dict, species: dict, trained: set[str]) -> bool:
    """Whether each molecule of a reaction is trained on, and there is one; free atoms count as trained."""
    molecules = [species[name] for name in reaction["stoichiometry"] if len(species[name]["atoms"]) > 1]
    return bool(molecules) and all(s["canonical"] in trained for s in molecules)


def _refuse(found: list[str], what: str) -> None:
    if found:
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise InvalidInput(f"leakage: {what}: {'; '.join(found[:SHOWN])}{more}. Leave them out of the training data, "
                           "or set train_on_test = true in the config's section [data], which the model card then says")
