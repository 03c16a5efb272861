"""What a Result tells is what its records hold, finished or cut off; saved runs answer as they were recorded."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import webbrowser
from pathlib import Path
from xml.etree import ElementTree

import html5lib
import numpy as np
import pandas as pd
import pytest

from command import inside
from python.conftest import ODD
from whichtune import Result, Row, open_study
from whichtune.errors import DataError, SettingError, StoreError, UnknownNameError
from whichtune.records.store import StudyFolder

XHTML = "{http://www.w3.org/1999/xhtml}"


def test_the_table_holds_the_records_figures(opened: Result) -> None:
    table = opened.table
    assert list(table.index) == [ODD, "head_only", "tfidf_word", "majority"]
    runs = [run for run in opened.runs if run.label == "head_only"]
    assert len(runs) == 2
    row = table.loc["head_only"]
    for split in ("test", "validation", "train"):
        for name in ("accuracy", "f1_macro", "loss"):
            figures = [run.metrics.of(split).value(name) for run in runs]
            assert row[f"{split}_{name}"] == pytest.approx(statistics.mean(figures))
    for cost in ("training_seconds", "training_flops", "inference_ms", "peak_memory_bytes", "trainable_parameters"):
        assert row[cost] == statistics.median(getattr(run.cost, cost) for run in runs)
    judged = next(each for each in opened.verdict.candidates if each.label == "head_only")
    assert (row["rank_low"], row["rank_high"], row["tie_group"]) == (*judged.ranks, judged.tie_group)
    assert row["interval_low"] < row["test_accuracy"] < row["interval_high"]
    assert row["seeds"] == (0, 1)
    assert list(table["recommended"]) == [label == opened.verdict.recommended for label in table.index]


def test_the_table_is_typed_and_keeps_what_failed(opened: Result) -> None:
    table = opened.table
    failed = table.loc[ODD]
    assert (failed["status"], failed["runs"], failed["completed"], failed["seeds"]) == ("failed", 2, 0, ())
    assert table["status"].drop(ODD).eq("completed").all()
    texts = {"method", "role", "status", "seeds"}
    for name in table.columns.difference(list(texts)):
        assert pd.api.types.is_bool_dtype(table[name]) or pd.api.types.is_numeric_dtype(table[name]), name
    empty = table.loc[ODD, table.columns.difference([*texts, "recommended", "runs", "completed"])]
    assert empty.isna().all()


def test_answers_are_rows(opened: Result) -> None:
    verdict = opened.verdict
    assert isinstance(opened.recommended, Row)
    assert opened.recommended.label == verdict.recommended
    assert opened.best.label == verdict.leader
    assert opened.best_fine_tuned.label == verdict.best_fine_tuned == "head_only"
    assert (opened.cheapest is not None) == verdict.margin_reached
    row = opened.row("head_only")
    assert (row.method, row.seeds, row.status, len(row.runs)) == ("head_only", (0, 1), "completed", 2)
    assert row.score == opened.table.loc["head_only", "test_accuracy"]
    assert row.settings["epochs"] == 1
    assert row.settings["context_length"] == 30
    assert opened.row(ODD).settings["lora_targets"] == ["q_prj"]
    assert (opened.row(ODD).score, opened.row(ODD).ranks) == (None, None)
    assert [str(each) for each in opened.rows] == list(opened.table.index)
    with pytest.raises(UnknownNameError, match="did you mean 'head_only'"):
        opened.row("head_onyl")


def test_opening_gives_what_compare_gave(made: Result, opened: Result) -> None:
    assert opened.summary.to_json() == made.summary.to_json()
    assert (opened.started, made.started) == (0, 6)
    assert opened.to_markdown() == (made.folder / "table.md").read_text(encoding="utf-8")
    assert repr(opened).startswith("<Result 'small' in ")
    assert "4 rows, 6 runs, 2 not completed" in repr(opened)
    assert opened.comparisons == made.summary.comparisons


def test_no_study_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="There is no study folder"):
        open_study(tmp_path / "nothing")
    with pytest.raises(StoreError, match=r"holds no summary\.json"):
        open_study(tmp_path)


def test_what_was_changed_is_told_first(made: Result, copy: Path) -> None:
    run = next(run for run in made.runs if run.label == "tfidf_word")
    with (copy / "runs" / run.run_id / "predictions.parquet").open("ab") as file:
        file.write(b"more")
    warning = open_study(copy).verdict.warnings[0]
    assert warning.startswith("Not to be believed: the run 'tfidf_word'")
    with pytest.raises(StoreError, match="is refused"):
        open_study(copy).predictor("tfidf_word")


def test_a_study_that_was_killed_shows_what_it_has(made: Result, copy: Path) -> None:
    """Before it wrote a summary at all, and again when it had one of fewer runs."""
    gone = next(run for run in made.runs if (run.label, run.seed) == ("head_only", 1))
    shutil.rmtree(copy / "runs" / gone.run_id)
    for name in ("summary.json", "table.md", "report.html"):
        (copy / name).unlink()
    half = open_study(copy)
    assert half.verdict.warnings[0].startswith("The study was cut off: 1 run of 6 is still to be made")
    assert "the run 'head_only', seed 1" in half.verdict.warnings[0]
    assert (half.row("head_only").status, half.row("head_only").seeds) == ("partial", (0,))
    first = next(run for run in made.runs if (run.label, run.seed) == ("head_only", 0))
    assert half.row("head_only").score == first.metrics.test.accuracy
    assert half.row("tfidf_word") == open_study(made.folder).row("tfidf_word")
    assert not (copy / "summary.json").exists()
    assert "The study was cut off" in half._repr_html_()
    stored = json.loads((made.folder / "summary.json").read_text(encoding="utf-8"))
    (copy / "summary.json").write_text(json.dumps(stored), encoding="utf-8")
    study = json.loads((copy / "study.json").read_text(encoding="utf-8"))
    study["runs_resolved"].append({"run_id": "0" * 16, "label": "lora", "seed": 0})
    (copy / "study.json").write_text(json.dumps(study), encoding="utf-8")
    later = open_study(copy)
    assert "2 runs of 7 are still to be made" in later.verdict.warnings[0]
    assert "lora" not in later.table.index


# -- figures and HTML -------------------------------------------------------------------------------


def test_figures_are_objects_that_notebooks_show(opened: Result, tmp_path: Path) -> None:
    assert {"scores", "cost-training_seconds", "confusion"} <= set(opened.figures)
    for name in ("scores", "confusion"):
        figure = opened.figure(name)
        drawn = ElementTree.fromstring(figure._repr_svg_())
        assert drawn.tag == "{http://www.w3.org/2000/svg}svg"
        assert drawn.attrib["aria-label"] == figure.alt != ""
        assert figure.title
    figure = opened.figure("scores")
    assert figure._repr_png_().startswith(b"\x89PNG\r\n")
    assert "head_only" in figure.svg()
    assert figure.save(tmp_path / "a.svg").read_text(encoding="utf-8") == figure.svg()
    assert figure.save(str(tmp_path / "b.PNG")).read_bytes() == figure.png()
    with pytest.raises(SettingError, match=r"name it \.svg or \.png"):
        figure.save(tmp_path / "a.pdf")
    with pytest.raises(StoreError, match="cannot be written"):
        figure.save(tmp_path / "nowhere" / "a.svg")
    with pytest.raises(UnknownNameError, match="did you mean 'scores'"):
        opened.figure("score")


def test_the_card_is_one_piece_and_every_text_is_text(opened: Result) -> None:
    document = html5lib.HTMLParser(strict=False).parseFragment(opened._repr_html_())
    assert not list(document.iter(f"{XHTML}script"))
    text = "".join(document.itertext())
    assert opened.verdict.headline in text
    assert all(answer.sentence in text for answer in opened.verdict.answers)
    assert all(warning in text for warning in opened.verdict.warnings)
    names = [head.text for head in document.iter(f"{XHTML}th") if head.attrib.get("scope") == "row"]
    assert sorted(names) == sorted(opened.table.index)
    (picture,) = document.iter(f"{XHTML}img")
    assert picture.attrib["src"].startswith("data:image/svg+xml;base64,")
    assert picture.attrib["alt"]
    (link,) = document.iter(f"{XHTML}a")
    assert link.attrib["href"] == opened.report.resolve().as_uri()
    assert "did you mean 'q_proj'" in text
    addresses = [node.attrib.get("src", "") for node in document.iter() if isinstance(node.tag, str)]
    assert not [address for address in addresses if address.startswith("http")]


def test_the_card_links_to_the_page_as_a_notebook_beside_it_finds_it(
    made: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(made.folder.parent)
    assert f'href="{made.folder.name}/report.html"' in made._repr_html_()


def test_show_opens_the_page(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the web browser, here one that writes down where it was sent; a page that is not there yet is written."""
    code = f"import sys; open({str(tmp_path / 'asked')!r}, 'w').write(sys.argv[1])"
    monkeypatch.setattr(webbrowser, "_tryorder", ["recorder"])
    webbrowser.register("recorder", None, webbrowser.GenericBrowser([sys.executable, "-c", code, "%s"]))
    page = (copy / "report.html").read_bytes()
    (copy / "report.html").unlink()
    assert open_study(copy).show() == copy / "report.html"
    assert (tmp_path / "asked").read_text() == (copy / "report.html").resolve().as_uri()
    assert (copy / "report.html").read_bytes() == page


# -- predictors -------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["head_only", "tfidf_word"])
def test_a_predictor_gives_the_recorded_predictions(opened: Result, label: str) -> None:
    predictor = opened.predictor(opened.row(label))
    folder = StudyFolder(opened.folder)
    recorded = folder.predictions(predictor.record.run_id)
    recorded = recorded[recorded["split"] == "test"]
    texts = folder.examples().query("split == 'test'").set_index("example_id").loc[recorded["example_id"], "text"]
    for answers in (predictor(texts), predictor.predict(list(texts))):
        assert list(answers["text"]) == list(texts)
        assert list(answers["prediction"]) == [predictor.record.labels[i] for i in recorded["prediction"]]
        shares = answers[[f"probability of {name}" for name in predictor.record.labels]].to_numpy()
        np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    assert len(predictor("one text")) == 1


def test_a_predictor_is_of_the_run_that_is_meant(opened: Result) -> None:
    runs = opened.row("head_only").runs
    best = max(runs, key=lambda run: run.metrics.validation.accuracy)
    assert opened.predictor("head_only").record.metrics.validation.accuracy == best.metrics.validation.accuracy
    assert opened.predictor("head_only", seed=1).record == runs[1]
    assert opened.predictor(runs[0].run_id).record == opened.predictor("head_only:0").record == runs[0]
    assert opened.predictor().record.label == opened.verdict.recommended
    assert repr(opened.predictor("head_only", seed=1)) == "<Predictor: head_only, seed 1>"


def test_predictors_refuse_in_one_sentence(opened: Result, copy: Path) -> None:
    with pytest.raises(UnknownNameError, match="has no seed 7: its seeds are 0, 1"):
        opened.predictor("head_only", seed=7)
    with pytest.raises(StoreError, match="did you mean 'head_only'"):
        opened.predictor("head_olny")
    with pytest.raises(UnknownNameError, match="did you mean 'head_only'"):
        opened.predictor("head_olny", seed=0)
    with pytest.raises(StoreError, match="did not complete"):
        opened.predictor(ODD)
    predictor = opened.predictor("tfidf_word")
    for texts, words in (([], "There is no text"), (["a", " "], "Text 2 of"), ([3.5, None], "Text 2"), (5, "not int")):
        with pytest.raises(DataError, match=words):
            predictor(texts)
    for file in copy.glob("runs/*/weights.safetensors"):
        file.unlink()
    with pytest.raises(StoreError, match=r"The weights of 'head_only', seed \d, were not saved: .*save=\"all\""):
        open_study(copy).predictor("head_only")


def test_a_study_opens_without_torch(made: Result) -> None:
    code = (
        "import sys, whichtune\n"
        f"result = whichtune.open_study({str(made.folder)!r})\n"
        "result.table, result._repr_html_(), result.figure('scores').svg(), result.to_markdown()\n"
        "print('torch' in sys.modules, 'IPython' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_the_command_shows_the_same_study(made: Result) -> None:
    assert json.loads(inside("show", str(made.folder), "--json").stdout)["verdict"]["headline"] == (
        made.verdict.headline
    )
