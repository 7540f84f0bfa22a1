"""A user's checkout of GMTKN55 (doi:10.1039/C7CP04913G), such as github.com/grimme-lab/GMTKN55.

    SUBSET/.res                  lines `$tmer NAME/$f NAME/$f x COEFFICIENT … $w REFERENCE` (kcal/mol); a name may
                                 hold one brace group of the shell: `EA_8{n,}` is EA_8n and EA_8. BH76/.resRC is BH76RC
    SUBSET/NAME/struc.xyz        the geometry, Å; or `coord` in Turbomole's format, bohr
    SUBSET/NAME/.CHRG, .UHF      charge and number of unpaired electrons, 0 without the file (.CHRGE is read too)

GMTKN55 carries no licence statement: mlxc reads a copy and ships none.
"""

import re
from pathlib import Path
from typing import Any

from pyscf.data.nist import BOHR

from mlxc.errors import InvalidInput
from mlxc.manifest import balance, checks
from mlxc.structure import read_xyz
from mlxc.suggest import refuse_unknown

SOURCE = "GMTKN55, doi:10.1039/C7CP04913G"

#: What begins a line with a reaction.
COMMANDS = ("$tmer", "tmer2++")

#: File with reactions → what is added to the subset's name.
RESULTS = {".res": "", ".resRC": "RC"}


def content(folder: Path, subsets: list[str] | None = None) -> dict[str, Any]:
    """The content of a manifest with the reactions of a checkout.

    Args:
        folder: of the checkout.
        subsets: names such as W4-11 or BH76RC; all where None.

    Raises:
        InvalidInput: no checkout, an unknown subset, a line or file that cannot be read.
    """
    tables = {d.name + suffix: d / name for d in sorted(folder.glob("*/")) for name, suffix in RESULTS.items()
              if (d / name).is_file()}
    if not tables:
        raise InvalidInput(f"{folder} is no checkout of GMTKN55: expected one folder per subset with a file .res")
    refuse_unknown(subsets or (), tables, str(folder), "subset")
    species: dict[str, dict] = {}
    reactions: list[dict] = []
    for subset in subsets or tables:
        path = tables[subset]
        for i, (stoichiometry, reference) in enumerate(read_table(path), start=1):
            names = {name: f"{path.parent.name}/{name}" for name in stoichiometry}
            species |= {full: read_species(path.parent / name) for name, full in names.items() if full not in species}
            reactions.append(_reaction(f"{subset}-{i:03d}", subset, reference, species,
                                       {names[name]: c for name, c in stoichiometry.items()}))
    return {"format": checks.FORMAT, "name": "gmtkn55", "description": SOURCE, "species": species,
            "reactions": reactions}


def read_table(path: Path) -> list[tuple[dict[str, int], float]]:
    """(coefficient by folder, reference in kcal/mol) of every reaction of a .res file."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        words = line.split("#")[0].split()
        if not words or words[0] not in COMMANDS:
            continue
        try:
            cross, label = words.index("x"), words.index("$w")
            names = [name for word in words[1:cross] for name in expanded(word.removesuffix("/$f"))]
            coefficients = [int(c) for c in words[cross + 1:label]]
            reference = float(words[label + 1])
            terms: dict[str, int] = {}
            for name, c in zip(names, coefficients, strict=True):
                terms[name] = terms.get(name, 0) + c
        except (ValueError, IndexError) as error:
            raise InvalidInput(f"{path}, line {number}: {line.strip()!r} is not `$tmer NAME/$f … x COEFFICIENT … $w "
                               "REFERENCE` with numbers (checkouts that compute references in the shell cannot be "
                               "read): take a newer one") from error
        found.append((terms, reference))
    return found


def expanded(word: str) -> list[str]:
    """The names that a word with at most one brace group stands for: 1{,A} is 1 and 1A."""
    if not (group := re.fullmatch(r"([^{}]*)\{([^{}]*)\}([^{}]*)", word)):
        if re.search(r"[{}]", word):
            raise ValueError(f"{word}: more than one brace group")
        return [word]
    before, inside, after = group.groups()
    return [before + part + after for part in inside.split(",")]


def read_species(folder: Path) -> dict[str, Any]:
    """Atoms (Å), charge and 2S of a species' folder."""
    if (folder / "struc.xyz").is_file():
        atoms = [[symbol, *position] for symbol, position in read_xyz(folder / "struc.xyz")]
    elif (folder / "coord").is_file():
        atoms = _turbomole(folder / "coord")
    else:
        raise InvalidInput(f"{folder} has neither struc.xyz nor coord: the checkout is not complete")
    return {"atoms": atoms, "charge": _number(folder, ".CHRG", ".CHRGE"), "spin": _number(folder, ".UHF")}


def _turbomole(path: Path) -> list[list]:
    """Atoms of the $coord group, which is in bohr."""
    atoms: list[list] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        words = line.split()
        if line.startswith("$"):
            if atoms:
                break
        elif len(words) >= 4:
            atoms.append([words[3].capitalize(), *(float(x) * BOHR for x in words[:3])])
    if not atoms:
        raise InvalidInput(f"{path} has no atoms after $coord: the checkout is not complete")
    return atoms


def _number(folder: Path, *names: str) -> int:
    for name in names:
        if (folder / name).is_file():
            text = (folder / name).read_text().strip()
            try:
                return int(text)
            except ValueError:
                raise InvalidInput(f"{folder / name} holds {text!r}, expected one whole number") from None
    return 0


def _reaction(name: str, subset: str, reference: float, species: dict[str, dict],
              stoichiometry: dict[str, float]) -> dict[str, Any]:
    contents = {key: balance.content(checks.species(key, species[key])) for key in stoichiometry}
    try:
        whole = balance.completed(stoichiometry, contents)
    except InvalidInput as error:
        raise InvalidInput(f"{name}: {error}; the checkout may be damaged") from None
    spin = {"spin_change": True} if balance.needs_spin_change(whole, contents) else {}
    return {"id": name, "stoichiometry": whole, "reference": reference, "unit": "kcal/mol", "subset": subset,
            "source": SOURCE} | spin
