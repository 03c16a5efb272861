"""The page: what it holds, for every kind of study, read with a real parser."""

from __future__ import annotations

import re
import sys
from typing import Any

import pytest

from report.conftest import by_id, page, text_of
from report.made_studies import ALL, HOSTILE
from whichtune.report.page import render_page
from whichtune.report.sections import PAGES, page_of
from whichtune.report.tables import markdown_table
from whichtune.report.view import View
from whichtune.report.write import load_view, write_report
from whichtune.tasks import TASKS

NAMES = sorted(ALL)


def rows_of(table: Any) -> list[list[str]]:
    return [[text_of(cell) for cell in row] for row in table.iter("tr")]


@pytest.mark.parametrize("name", NAMES)
def test_page_is_wellformed_and_needs_nothing_from_elsewhere(name, parsed, made):
    tree = parsed(name)
    for element in tree.iter():
        for attribute in ("src", "href", "srcset", "data", "action", "poster"):
            value = element.get(attribute)
            assert value is None or value.startswith(("#", "data:")), (element.tag, attribute, value)
    style = "".join(element.text or "" for element in tree.iter("style"))
    assert "url(" not in style
    assert "@import" not in style
    assert len(page(made(name)).encode()) < 3_000_000


@pytest.mark.parametrize("name", NAMES)
def test_ids_are_unique_and_every_reference_finds_its_target(name, parsed):
    tree = parsed(name)
    ids = [element.get("id") for element in tree.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    for element in tree.iter():
        for attribute in ("aria-labelledby", "aria-describedby", "for"):
            assert element.get(attribute) in {None, *ids}
        if element.tag == "a":
            assert element.get("href").removeprefix("#") in ids


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_says_in_words_what_it_shows_and_has_its_data_as_a_table(name, parsed):
    tree = parsed(name)
    for drawing in tree.iter("svg"):
        if drawing.get("aria-hidden") != "true":
            assert drawing.get("role") == "img"
            assert len(drawing.get("aria-label")) > 10
    parents = {child: parent for parent in tree.iter() for child in parent}
    for figure in tree.iter("figure"):
        assert figure.find("figcaption") is not None
        assert list(parents[figure].iter("table")), text_of(figure)


def test_verdict_comes_first_and_says_what_it_does_not_show(parsed, made):
    tree = parsed("ordinary")
    sections = [section.get("id") for section in by_id(tree, "main").findall("section")]
    verdict = made("ordinary").read_json("summary.json")["verdict"]
    assert sections[0] == "verdict"
    shown = text_of(by_id(tree, "verdict"))
    assert shown.startswith(f"Decision Use {verdict['recommended']} ")
    for line in [verdict["headline"], *verdict["warnings"], *verdict["does_not_show"], *verdict["reasons"]]:
        assert " ".join(line.split()) in shown
    assert sections == [
        "verdict", "questions", "published", "table", "checks", "scores", "costs", "price", "curves", "classes",
        "calibration", "examples", "differences", "record",
    ]  # fmt: skip


def test_table_has_every_row_its_figures_and_what_failed(parsed, made):
    table = by_id(parsed("ordinary"), "table")
    head, *lines = rows_of(next(table.iter("table")))
    rows = {row[0].split()[0]: dict(zip(head, row, strict=True)) for row in lines}
    scored = sorted(("head_only", "last_block", "lora", "full"), key=lambda name: -float(
        rows[name]["test accuracy %"].split()[0]
    ))  # fmt: skip
    top = made("ordinary").read_json("summary.json")["verdict"]["recommended"]
    assert list(rows) == [top, *(name for name in scored if name != top), "tfidf_char"]
    assert "1 of 3 not completed" in rows["full"]["run"]
    assert "baseline" in rows["tfidf_char"]["run"]
    runs = [run for run in made("ordinary").read_json("summary.json")["runs"] if run["label"] == "lora"]
    mean = 100 * sum(run["metrics"]["test"]["accuracy"] for run in runs) / len(runs)
    assert (rows["lora"]["rank"], rows["lora"]["ties"]) == ("1-3", "1")
    assert rows["lora"]["test accuracy %"].startswith(f"{mean:.2f} ")
    assert "The loss became infinite at step 12." in text_of(table)


def test_dot_plot_shows_every_seed(parsed, made):
    drawing = by_id(parsed("ordinary"), "scores").find(".//div[@class='wide']/svg")
    notes = [title.text for title in drawing.iter("title")]
    for run in made("ordinary").read_json("summary.json")["runs"]:
        if run["status"] == "completed" and run["role"] == "run":
            assert f"seed {run['seed']}: {100 * run['metrics']['test']['accuracy']:.2f} %" in notes
    assert len(list(drawing.iter("line"))) > len(notes) / 4  # grid, rules and intervals
    whiskers = [line for line in drawing.iter("line") if "whisker" in line.get("class")]
    assert len(whiskers) == 5  # every row, that of two seeds too


def test_difference_matrix_has_the_adjusted_p_of_tested_pairs_only(parsed, made):
    pairs = [p for p in made("ordinary").read_json("summary.json")["comparisons"] if p["difference"] is not None]
    pair = pairs[0]
    assert (pair["a"], pair["b"]) == ("lora", "head_only")
    matrix = by_id(parsed("ordinary"), "differences").find(".//table[@class='matrix diverging']")
    tested = [cell for cell in matrix.iter("td") if "p " in text_of(cell)]
    assert len(tested) == 2 * len(pairs) < 20  # each from both sides, of the 20 cells off the diagonal
    assert any(f"+{pair['difference']:.2f} ▲" in text_of(cell) for cell in tested)


def test_published_figures_stand_beside_measured_ones(parsed):
    section = by_id(parsed("ordinary"), "published")
    rows = rows_of(next(section.iter("table")))
    assert rows[1][:3] == ["lora", "test accuracy %", "95.00"]
    assert rows[2][:3] == ["lora", "training minutes", "2.50"]
    assert "LoRA is better" in text_of(section)
    assert "agrees" in text_of(section)


def test_published_figures_in_the_form_of_the_presets(tmp_path):
    """The figures that `whichtune reproduce` stores stand on the page, and why a row is no reproduction."""
    from report.made_studies import MadeStudy
    from whichtune.published.presets import load_preset
    from whichtune.report.details import published_table

    published = load_preset("sms-spam").model_dump(mode="json")["published"]
    label, figures = next(iter(published["rows"].items()))
    figures |= {"reproduced": False, "why_not": "the model is another"}
    study = MadeStudy(tmp_path, n=100, published=published)
    study.add(label, 0.94, seeds=(0,))
    measured = 100 * study.records[0].metrics.test.accuracy
    table = published_table(load_view(study.finish()))
    lines = table.table.rows
    test_line = next(line for line in lines if line[0] == label and line[1] == "test accuracy %")
    assert test_line[2:5] == ["95.00", f"{measured:.2f}", f"{measured - 95:+.2f}".replace("-", "−")]
    assert test_line[6] == "no: the model is another"
    assert {line[0] for line in lines} == {label}
    assert len(table.left_out.split("; ")) == 18  # named, not listed figure by figure


def test_record_has_command_machine_versions_and_fingerprints(parsed):
    shown = text_of(by_id(parsed("ordinary"), "record"))
    for wanted in ("whichtune compare --data messages", "Some CPU", "2.13.0", "ab" * 32, "learning_rate", "cache was"):
        assert wanted in shown


def test_examples_are_those_on_which_rows_are_divided(parsed, made):
    section = by_id(parsed("ordinary"), "examples")
    folder = made("ordinary")
    answers: dict[str, set[int]] = {}
    for run in folder.read_json("summary.json")["runs"]:
        if run["status"] == "completed":
            for line in folder.predictions(run["run_id"]).itertuples():
                answers.setdefault(line.example_id, set()).add(line.prediction)
    divided = {example for example, said in answers.items() if len(said) > 1}
    shown = re.findall(
        r"example (t\d+)", " ".join(text_of(x) for x in section.find(".//div[@class='browse-static']/ol"))
    )
    assert len(shown) == 12
    assert set(shown) <= divided
    assert f"On {len(answers) - len(divided)} of {len(answers)} test examples" in text_of(section)


def test_a_hostile_text_is_shown_and_never_run(parsed, made):
    tree = parsed("hostile")
    scripts = [element.text for element in tree.iter("script")]
    assert len(scripts) == 1
    assert "owned" not in scripts[0]
    assert not list(tree.iter("img"))
    assert all(not name.startswith("on") for element in tree.iter() for name in element.attrib)
    hostile = " ".join(HOSTILE.split())
    for section in ("verdict", "table", "classes", "examples", "published", "record"):
        assert hostile in text_of(by_id(tree, section)), section
    assert hostile in text_of(tree.find(".//h1"))
    assert any(HOSTILE[:40] in drawing.get("aria-label") for drawing in tree.iter("svg") if drawing.get("aria-label"))


def test_only_failures_gives_a_page_of_reasons(parsed):
    tree = parsed("only_failures")
    assert "No run completed" in text_of(by_id(tree, "verdict"))
    assert "The system killed the run (SIGKILL)." in text_of(by_id(tree, "table"))
    assert "out of memory" in text_of(by_id(tree, "table"))
    assert not list(by_id(tree, "main").iter("svg"))


def test_one_run_has_no_differences(parsed):
    tree = parsed("one_run")
    assert tree.find(".//*[@id='differences']") is None
    assert "One seed" in text_of(by_id(tree, "verdict"))


def test_thirty_classes_are_named_and_their_errors_listed(parsed):
    classes = by_id(parsed("thirty_classes"), "classes")
    assert "intent_29 (10)" in text_of(classes)
    maps = [drawing for drawing in classes.iter("svg") if drawing.get("class") == "grid-map"]
    assert len(maps) == 3
    assert "Most frequent errors" in text_of(classes)


def test_chinese_and_emoji_labels_are_kept(parsed, made):
    shown = text_of(parsed("many_tongues").find("body"))
    for wanted in ("短信分类 📱", "微调全部 🔥", "垃圾邮件 🚫", "恭喜您中奖了"):
        assert wanted in shown
    assert "微调全部 🔥" in (made("many_tongues").path / "table.md").read_text(encoding="utf-8")


def test_a_summary_without_a_verdict_still_has_its_page(made, tmp_path):
    folder = ALL["one_run"](tmp_path)
    summary = folder.read_json("summary.json")
    for key in ("comparisons", "verdict", "intervals"):
        summary.pop(key)
    folder.write_json("summary.json", summary)
    write_report(folder, figures=False)
    assert "No verdict is stored" in page(folder)
    assert "No verdict is stored" in (tmp_path / "table.md").read_text()


def test_a_page_for_100_runs_takes_under_a_million_function_calls(made):
    """About 400,000, a third of a second: counted, since a busy machine makes clocks of every kind run on."""
    folder = made("hundred_runs")
    calls = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        render_page(load_view(folder), folder)
    finally:
        sys.setprofile(None)
    assert calls < 1_000_000


def test_a_study_of_an_unknown_task_gets_a_plain_page(made):
    """Its scores and costs, and nothing that another task declares."""
    folder = made("ordinary")
    known = load_view(folder)
    study = known.study.model_copy(update={"task": "a plugin's"})
    view = View(known.summary.model_copy(update={"study": study}), known.curves)
    assert page_of(view).sections(view, folder, []) == []
    shown = render_page(view, folder)
    assert ">test accuracy %<" in shown
    for other in ('id="classes"', 'id="examples"', 'id="samples"'):
        assert other in render_page(known, folder) or other == 'id="samples"'
        assert other not in shown
    assert "The test split has 120 examples." in markdown_table(view)
    assert "one is 0.83 points" in markdown_table(known)


def test_every_task_declares_its_page():
    assert set(PAGES) == set(TASKS)
