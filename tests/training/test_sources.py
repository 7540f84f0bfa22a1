"""Importers: each on what it reads, written small by the test; the whole ones where they lie."""

import json
import sys

import pytest

from mlxc.errors import InvalidInput
from training import manifest
from training.sources import SOURCES, __main__, g2, gmtkn55, periodic_table

#: A checkout in the layout of GMTKN55, invented numbers: path → text.
CHECKOUT = {
    "README.md": "not a subset",
    "EA/.res": """if [ "$TMER" == "" ]
then
  tmer=tmer2++
fi
# the first one
$tmer oh{,-}/$f   x 1 -1 $w  42.0  # a comment
$tmer {h2o,oh,h}/$f  x -1 1 1 $w 125.8 0 1 note
$tmer p{w,}/$f x 1 -1 $w 165.0
$tmer h/$f oh/$f h2o/$f x 2 2 -2 $w 251.6
""",
    "EA/oh/struc.xyz": "2\n\nO 0 0 0\nH 0 0 0.97\n",
    "EA/oh/.UHF": "1\n",
    "EA/oh-/coord": "$coord\n 0.0 0.0 0.0 o\n 0.0 0.0 1.8330343 h\n$eht charge=-1 unpaired=0\n$end\n",
    "EA/oh-/.CHRG": "-1",
    "EA/h2o/struc.xyz": "3\n\nO 0 0 0\nH 0.96 0 0\nH -0.24 0.93 0\n",
    "EA/h/struc.xyz": "1\n\nH 0 0 0\n",
    "EA/h/.UHF": "1",
    "EA/p/struc.xyz": "4\n\nO 0 0 0\nH 0.94 0 0.3\nH -0.47 0.82 0.3\nH -0.47 -0.82 0.3\n",
    "EA/p/.CHRGE": "1",
    "EA/pw/struc.xyz": "3\n\nO 0 0 0\nH 0.96 0 0\nH -0.25 0.93 0\n",
    "BH/.res": "$tmer {o3,o}/$f x -1 3 $w 147.0\n",
    "BH/.resRC": "tmer2++\to/$f\to3/$f\tx\t3\t-1\t$w\t147.0\n",
    "BH/o/struc.xyz": "1\n\nO 0 0 0\n",
    "BH/o/.UHF": "2",
    "BH/o3/struc.xyz": "3\n\nO 0 0 0\nO 0 1.09 0.67\nO 0 -1.09 0.67\n",
}


@pytest.fixture
def checkout(tmp_path):
    for name, text in CHECKOUT.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def command(*arguments: str, monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["sources", *arguments])
    __main__.main()


def test_checkout_becomes_a_manifest(checkout, tmp_path, monkeypatch, capsys):
    """A brace group, charges and spins from files, bohr, a proton and an electron that the table leaves out."""
    out = tmp_path / "out" / "m.json"
    command("gmtkn55", "--data", str(checkout), "--subsets", "EA", "BHRC", "--out", str(out), monkeypatch=monkeypatch)
    found = manifest.read(out)
    assert capsys.readouterr().out == f"8 species, 4 reactions, 0 fractional points written to {out}\n"
    reactions = {r["id"]: r for r in found["reactions"]}
    assert {name: (r["stoichiometry"], r["reference"]) for name, r in reactions.items()} == {
        "EA-001": ({"EA/oh": 1, "EA/oh-": -1, "e-": 1}, 42.0),
        "EA-002": ({"EA/h2o": -1, "EA/oh": 1, "EA/h": 1}, 125.8),
        "EA-003": ({"EA/pw": 1, "EA/p": -1, "H+": 1}, 165.0),
        "BHRC-001": ({"BH/o": 3, "BH/o3": -1}, 147.0)}
    assert reactions["BHRC-001"]["subset"] == "BHRC"
    assert "left out, since they repeat others: EA-004" in found["description"]
    states = {name: (s["charge"], s["spin"]) for name, s in found["species"].items()}
    assert states == {"EA/oh": (0, 1), "EA/oh-": (-1, 0), "EA/h2o": (0, 0), "EA/h": (0, 1), "EA/p": (1, 0),
                      "EA/pw": (0, 0), "BH/o": (0, 2), "BH/o3": (0, 0)}
    [(_, *_), (symbol, *position)] = found["species"]["EA/oh-"]["atoms"]
    assert symbol == "H" and position == pytest.approx([0, 0, 0.97], abs=1e-6)


def test_all_subsets_are_read_where_none_is_named(checkout):
    assert {r["subset"] for r in gmtkn55.content(checkout)["reactions"]} == {"EA", "BH", "BHRC"}


def test_a_reaction_between_spins_that_do_not_couple_is_marked(checkout):
    (checkout / "EA" / ".res").write_text("$tmer h2o/$f h2o_t/$f x -1 1 $w 170\n")
    (checkout / "EA" / "h2o_t").mkdir()
    (checkout / "EA" / "h2o_t" / "struc.xyz").write_text(CHECKOUT["EA/h2o/struc.xyz"])
    (checkout / "EA" / "h2o_t" / ".UHF").write_text("2")
    [reaction] = gmtkn55.content(checkout, ["EA"])["reactions"]
    assert reaction["spin_change"] is True


@pytest.mark.parametrize(("name", "text", "message"), [
    ("EA/.res", "$tmer {oh,h}/$f x 1 $w 3.0", r"EA/.res, line 1: .* is not `\$tmer NAME"),
    ("EA/.res", "# x\n$tmer oh/$f x -1 $w $d0 3.0", r"EA/.res, line 2: .*shell cannot be read"),
    ("EA/.res", "$tmer {oh{,-}}/$f x 1 -1 $w 3.0", r"EA/.res, line 1"),
    ("EA/.res", "$tmer o2/$f x 1 $w 3.0", "EA/o2 has neither struc.xyz nor coord"),
    ("EA/.res", "$tmer {oh,pw}/$f x 1 -1 $w 3.0\n$tmer {h2o,oh}/$f x 1 -2 $w 3", "EA-002: nuclei are not balanced.*O"),
    ("EA/h/.UHF", "one", "EA/h/.UHF holds 'one', expected one whole number"),
    ("EA/oh-/coord", "$end", "coord has no atoms"),
])
def test_a_damaged_checkout_is_named(checkout, name, text, message):
    (checkout / name).write_text(text)
    with pytest.raises(InvalidInput, match=message):
        gmtkn55.content(checkout, ["EA"])


def test_what_is_no_checkout_is_refused(checkout, tmp_path):
    with pytest.raises(InvalidInput, match="is no checkout of GMTKN55: expected one folder per subset"):
        gmtkn55.content(checkout / "EA")
    with pytest.raises(InvalidInput, match="unknown subset 'BHRD'; did you mean BHRC"):
        gmtkn55.content(checkout, ["BHRD"])


def test_g2_has_the_atomisation_energy_of_water(tmp_path):
    """Experiment: D_0 = 219.4 and zero-point energy 13.2 kcal/mol; both halves of the set, 148 molecules."""
    found = g2.content()
    manifest.write(tmp_path / "g2.json", found)
    energies = {r["id"]: r["reference"] for r in found["reactions"]}
    assert energies["TAE(H2O)"] == pytest.approx(232.6, abs=0.3) and energies["TAE(BF3)"] == pytest.approx(469, abs=2)
    assert sum(name.startswith("TAE") for name in energies) == 148
    assert found["species"]["O2"]["spin"] == 2 and found["species"]["NO"]["spin"] == 1
    assert found["species"]["N2+"]["charge"] == 1 and energies["IP(N2)"] == pytest.approx(15.6, abs=0.1)
    assert "IP(O2)" not in energies


def test_mendeleev_has_ions_of_atoms(tmp_path):
    """Of H, He and Li, in eV; the anion of He is not bound."""
    found = periodic_table.content(3)
    manifest.write(tmp_path / "m.json", found)
    by_id = {r["id"]: r for r in found["reactions"]}
    assert by_id["IP(H)"]["stoichiometry"] == {"H": -1, "H+": 1, "e-": 1}
    assert by_id["EA(Li)"]["stoichiometry"] == {"Li": 1, "e-": 1, "Li-": -1}
    assert by_id.keys() == {"IP(H)", "EA(H)", "IP(He)", "IP(Li)", "EA(Li)"} and "He-" not in found["species"]
    energies = [by_id[name]["reference"] for name in ("IP(H)", "IP(He)", "IP(Li)", "EA(Li)")]
    assert energies == pytest.approx([13.598, 24.587, 5.392, 0.618], abs=1e-3)


@pytest.mark.slow
def test_multiplicities_are_those_of_the_reference_files(reference_folder):
    """H to Kr, without the elements that fill their d shell."""
    periodic = periodic_table.content(36)
    assert "Fe" not in periodic["species"]
    atoms = json.loads((reference_folder / "atoms_public.json").read_text())["atoms"]
    compared = 0
    for symbol, entry in atoms.items():
        for suffix, state in (("", "neutral"), ("+", "cation"), ("-", "anion")):
            known, mine = entry["spin"].get(state), periodic["species"].get(symbol + suffix)
            if known is not None and mine is not None:
                assert mine["spin"] == known, symbol + suffix
                compared += 1
    assert compared > 50


def test_unpaired_electrons_follow_hund():
    assert [periodic_table.unpaired(n, first_row=False) for n in range(10)] == [0, 1, 0, 1, 2, 3, 2, 1, 0, 1]
    assert [periodic_table.unpaired(n, first_row=True) for n in range(3)] == [0, 1, 0]
    with pytest.raises(InvalidInput, match="accepted are 1 to 36"):
        periodic_table.content(37)


@pytest.mark.parametrize("name", ["one_electron", "atoms", "fractional", "molecules", "complexes", "validation"])
def test_sources_survive_the_way_through_a_manifest(name, reference_folder, tmp_path, monkeypatch):
    out = tmp_path / "m.json"
    command(name, "--data", str(reference_folder), "--heavy-atoms", "2", "--complexes", "2", "--out", str(out),
            monkeypatch=monkeypatch)
    dataset = SOURCES[name](reference_folder, {"data": {"complexes": 2, "heavy_atoms": 2}})
    assert manifest.dataset(manifest.read(out), "", "") == dataset and dataset.targets


def test_command_errors_say_what_to_do(tmp_path, monkeypatch):
    for arguments, message in ((["gmtkn", "--out", "x"], "unknown source 'gmtkn'; did you mean gmtkn55"),
                               (["atoms", "--out", "x"], "this source reads files: say where with --data DIR")):
        with pytest.raises(SystemExit, match=message):
            command(*arguments, monkeypatch=monkeypatch)
