"""The report: what is in it, what is left out and why, and that it needs nothing else to be read."""

import re

import numpy as np
import pytest

from mlxc.bench import figures, methods, metrics, report, runner, sections
from mlxc.bench.entries import Builder
from mlxc.bench.jobs import Job
from mlxc.bench.results import Results, write
from mlxc.bench.tables import Table
from mlxc.errors import InvalidInput
from tests.bench.conftest import PROTOCOL

pytest.importorskip("matplotlib")

NAMES = ("ens", "b<3>", "seen")


def curve_set():
    """Errors against a distance."""
    build = Builder()
    for r in (1.0, 2.0, 3.0):
        build.add(f"at {r:g}", "curve", "one", [(job(f"c{r:g}"), 1)], 0.0, x=r)
    return build.finished("curves", "A curve", "R, Å")


def job(name: str) -> Job:
    return Job(name, (("He", (0.0, 0.0, 0.0)),), 0, 0, "sto-3g")


def reaction_set():
    build = Builder()
    for i in range(12):
        build.add(f"r{i}", f"sub{i % 3}", ("ions", "radicals")[i % 2], [(job(f"s{i}"), 1)], 10.0 + i,
                  related=bool(i % 4), trained=i == 11)
    return build.finished("reactions", "Twelve reactions", held_back=True)


@pytest.fixture
def folder(tmp_path):
    """Made-up results of an ensemble, another functional, and one that was trained on the test."""
    generator, results = np.random.default_rng(0), Results(tmp_path)
    with results.writing(PROTOCOL):
        for s in (reaction_set(), curve_set()):
            results.add_set(s)
        for number, name in enumerate(NAMES):
            write(tmp_path / name / "method.json", {"xc": name, "dispersion": "", "version": "1", "number": number,
                                                    "train_on_test": name == "seen", "spread_scale": 2.0})
            for s in (reaction_set(), curve_set()):
                for e in s.entries:
                    energy = (e.reference + generator.normal()) / 627.5
                    members = (energy + generator.normal(size=3) / 627.5).tolist() if name == "ens" else None
                    results.add(name, s.jobs[e.terms[0][0]], {
                        "e_scf": energy, "e_disp": 0.0, "converged": (name, e.id) != ("b<3>", "r1"),
                        "stable": (name, e.id) != ("ens", "at 1"),
                        "cycles": 7, "cpu_seconds": 1.5 + number, "members": members})
    return tmp_path


def rows(table: Table) -> dict[str, tuple[str, ...]]:
    return {row[0]: row[1:] for row in table.rows}


def test_the_report_is_one_page_and_one_text(folder):
    said = []
    page, text = report.write(folder, say=said.append)
    content = page.read_text()
    assert content.count("<svg") == content.count("<figure>") == len(list((folder / "figures").glob("*.png"))) == 4
    assert not re.search(r'(src|href)="(?!#)', content)  # nothing comes from elsewhere
    assert "b&lt;3&gt;" in content and "b<3>" not in content
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", text.read_text())
    assert len(pictures) == 4 and all((folder / p).read_bytes().startswith(b"\x89PNG") for p in pictures)
    assert any("left out of reactions: seen, trained on the test" in line for line in said)


def test_tables_hold_subsets_families_relatives_and_means(folder):
    found = {s.title: s for s in report.content(Results(folder), say=lambda _: None)}
    table = found["reactions"].tables[0]
    assert table.header[2:] == ("ens", "b<3>") and rows(found["curves"].tables[0])["all"][0] == "3"
    names = rows(table)
    assert {"sub0", "sub1", "sub2", "ions", "radicals", "with relatives in training", "without relatives in training",
            "all", "mean over subsets", "weighted as in WTMAD-2", "SCF not converged"} == names.keys()
    assert names["all"][0] == "11" and names["SCF not converged"][1:] == ("0", "1")
    assert "Not scored" in " ".join(found["reactions"].text) and "r11" in " ".join(found["reactions"].text)
    assert "b<3> did not converge for r1" in " ".join(found["reactions"].text)
    assert "seen" in found["curves"].tables[0].header  # where nothing is tested that it was trained on
    assert found["reactions: does the spread tell the error?"].tables[0].rows[0][:2] == ("ens", "11")
    assert found["reactions: is the difference real?"].tables[0].rows[0][0] == "ens − b<3>"
    assert rows(found["SCF and cost"].tables[0])["b<3>"][-1] == "1.67"
    assert found["SCF and cost"].text[1:] == ("Not converged: b<3> s1.",
                                              "Still unstable after the last restart: ens c1.")


def test_spreads_and_errors_are_in_the_sets_own_unit(folder):
    build = Builder()
    for i in range(12):
        build.add(f"f{i}", "sub", "atoms", [(job(f"s{i}"), 1)], 0.0, unit="eV", quantity="scf_energy")
    s, results = build.finished("fractional", "In eV"), Results(folder)
    section = sections.of_spread(s, [metrics.column(results, "ens", s)], {"ens": 1.0})
    assert section.tables[0].header[2:4] == ("mean σ, eV", "mean error, eV")
    (draw,) = section.pictures.values()
    axes = draw().axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("σ, eV", "error of ens, eV")


@pytest.mark.parametrize("quantity,unit,expected", [("dipole", "D", "50.0"), ("polarizability", "Å³", "100.0")])
def test_properties_have_a_row_of_relative_errors(quantity, unit, expected):
    build = Builder()
    build.add("small", "sub", "molecules", [(job("small"), 1)], 0.5, unit=unit, quantity=quantity)
    s = build.finished("properties", "Of molecules")
    section = sections.of_set(s, [metrics.Column("a", {"small": 0.5}, (), (), (), {})])
    assert rows(section.tables[0])["relative errors, RMS %"] == ("", expected)


@pytest.mark.parametrize("quantity,unit,error,expected", [
    ("energy", "kcal/mol", 0.5, "0.50 (+0.50)"), ("energy", "kcal/mol", 0.05, "0.0500 (+0.0500)"),
    ("dipole", "D", 0.5, "0.500 (+0.500)"), ("dipole", "D", 0.05, "0.0500 (+0.0500)")])
def test_errors_have_the_decimals_that_tell_them_apart(quantity, unit, error, expected):
    build = Builder()
    build.add("one", "sub", "molecules", [(job("one"), 1)], 0.5, unit=unit, quantity=quantity)
    section = sections.of_set(build.finished("s", "Of one"), [metrics.Column("a", {"one": error}, (), (), (), {})])
    assert rows(section.tables[0])["all"] == ("1", expected)


def test_a_functional_looks_the_same_in_every_picture():
    """Whatever stands beside it; others have what is left, and no two are alike."""
    some = figures.styles(["pbe", "mine", "mlxc_lh"])
    more = figures.styles(["mlxc_lh", "mlxc_rs", "wb97m_v", "pbe", "x"])
    for name in ("pbe", "mlxc_lh"):
        assert some[name] == more[name]
    for found in (some, more, figures.styles([f"f{i}" for i in range(len(figures.STYLES))])):
        assert len({(look["color"], look["marker"]) for look in found.values()}) == len(found)
    assert more["mlxc_lh"]["zorder"] > more["mlxc_rs"]["zorder"] > more["wb97m_v"]["zorder"]


def test_curves_without_a_point_are_left_out(folder):
    """A run that has just begun: nothing with an x is there yet."""
    for name in NAMES:
        for e in curve_set().entries:
            (folder / name / f"{e.terms[0][0]}.json").unlink()
    report.write(folder, say=lambda _: None)
    assert not list(folder.rglob("curves-curves.png")) and (folder / "report.html").is_file()


def test_unfinished_runs_are_labelled(folder):
    s = reaction_set()
    (folder / "b<3>" / f"{s.entries[0].terms[0][0]}.json").unlink()
    text = " ".join(next(x for x in report.content(Results(folder), say=lambda _: None) if x.title == "reactions").text)
    assert "NOT FINISHED: of 1 of 12 entries" in text and "10 of 11 entries have an error" in text


def test_a_report_before_the_first_result_says_so(tmp_path, tiny):
    with Results(tmp_path).writing(PROTOCOL):
        Results(tmp_path).add_set(tiny)
        Results(tmp_path).add_method(methods.method("hf"))
    found = report.content(Results(tmp_path), say=lambda _: None)
    assert "No species is finished" in found[-1].text[0]


def test_what_has_no_value_anywhere_leaves_the_others_alone(folder):
    said, s = [], reaction_set()
    for e in s.entries:
        Results(folder).add("b<3>", s.jobs[e.terms[0][0]], {"failed": "Unsupported: no response"})
    found = report.content(Results(folder), sets=["reactions"], say=said.append)
    assert found[1].tables[0].header[2:] == ("ens",) and "b<3>, without any value there" in said[0]


def test_small_errors_have_more_digits(folder):
    """What a finer grid changes, say."""
    build = Builder()
    build.add("He", "grid", "grid", [(job("s0"), 1), (job("s0"), -1)], 1e-3)
    s = build.finished("grids", "")
    with Results(folder).writing(PROTOCOL):
        Results(folder).add_set(s)
    found = report.content(Results(folder), ["ens"], ["grids"], lambda _: None)
    assert rows(found[1].tables[0])["all"] == ("1", "0.0010 (-0.0010)")


def test_the_worst_of_every_subset_is_named(folder):
    found = report.content(Results(folder), ["ens"], ["reactions"], lambda _: None)[1]
    errors = metrics.column(Results(folder), "ens", reaction_set()).errors
    worst = max((f"r{i}" for i in (0, 3, 6, 9)), key=lambda i: abs(errors[i]))
    assert rows(found.tables[1])["sub0"] == (f"{worst} {errors[worst]:+.2f}",)


def test_failures_are_named_and_left_out_for_all(folder):
    s = reaction_set()
    key = s.entries[2].terms[0][0]
    Results(folder).add("ens", s.jobs[key], {"failed": "ValueError: no"})
    section = next(x for x in report.content(Results(folder), say=lambda _: None) if x.title == "reactions")
    assert "ens failed for r2" in " ".join(section.text) and rows(section.tables[0])["all"][0] == "10"
    cost = report.content(Results(folder), say=lambda _: None)[-1]
    assert rows(cost.tables[0])["ens"][2] == "1"


def test_columns_come_in_the_order_asked_for(folder):
    found = report.content(Results(folder), ["b<3>", "ens"], say=lambda _: None)
    assert found[1].tables[0].header[2:] == ("b<3>", "ens")
    with pytest.raises(InvalidInput, match="no results of 'pbe'; there are ens, b<3>, seen"):
        report.content(Results(folder), ["pbe"], say=lambda _: None)


def test_sets_can_be_chosen_and_go_elsewhere(folder, tmp_path):
    page, _ = report.write(folder, sets=["curves"], to=tmp_path / "elsewhere", say=lambda _: None)
    assert page.parent.name == "elsewhere" and "<h2>reactions" not in page.read_text()
    assert [p.name for p in (tmp_path / "elsewhere" / "figures").iterdir()] == ["curves-curves.png"]
    with pytest.raises(InvalidInput, match="no results of 'core'; there are curves, reactions"):
        report.content(Results(folder), sets=["core"], say=lambda _: None)


def test_a_damaged_result_is_never_averaged(folder):
    next(folder.glob("ens/s0*.json")).write_text("{")
    with pytest.raises(InvalidInput, match="is damaged"):
        report.write(folder, say=lambda _: None)


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="no folder of results"):
        report.write(tmp_path)


def test_comparisons_say_what_changed(tmp_path, tiny):
    for name, grid in (("one", 0), ("two", 1)):
        protocol = type(PROTOCOL)(basis="sto-3g", grid_level=grid, nlc_grid_level=0)
        others = [methods.method("hf")] if name == "two" else []
        runner.run([tiny], [*others, methods.method("pbe")], tmp_path / name, protocol)
    text = report.compare(tmp_path / "one", tmp_path / "two")
    assert "pbe: " not in text  # another place among the functionals is no other version
    assert "grid_level: 0 in A, 1 in B" in text and "| tiny, pbe, all | 2 |" in text
    with pytest.raises(InvalidInput, match="nothing to compare"):
        runner.run([tiny], [methods.method("hf")], tmp_path / "three", PROTOCOL)
        report.compare(tmp_path / "one", tmp_path / "three")


def test_a_cards_summary_counts_reactions_and_failures(folder):
    found = report.summary(Results(folder), "b<3>", reaction_set())
    assert found["reactions"] == 11 and found["not_converged"] == 1
    assert found.keys() >= {"mae_ions_kcal", "mae_radicals_kcal", "mae_all_kcal"}
    with pytest.raises(InvalidInput, match="errors in reactions say nothing, and belong on no card"):
        report.summary(Results(folder), "seen", reaction_set())
    s = reaction_set()
    Results(folder).add("b<3>", s.jobs[s.entries[3].terms[0][0]], {"failed": "LinAlgError"})
    for name in ("pbe", "b<3>"):
        with pytest.raises(InvalidInput, match="finish the run first, with --retry where it failed"):
            report.summary(Results(folder), name, s)


def test_comparisons_score_no_model_on_what_it_was_trained_on(folder):
    text = report.compare(folder, folder)
    assert "left out of reactions: seen, trained on the test" in text and "| reactions, seen" not in text
    assert "| reactions, ens, all |" in text
