"""Models and numbers of training texts as axes of a study, from the command to the summary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from command import inside
from whichtune.errors import SettingError
from whichtune.expansion.asked import parse_sizes
from whichtune.expansion.assemble import assemble_study
from whichtune.expansion.axes import short_models
from whichtune.study.load import parse_study


def test_short_names_of_models_are_never_alike() -> None:
    folders = ["/a/MiniLM/model", "/b/tiny-gpt2"]
    assert short_models(folders) == dict(zip(folders, ["MiniLM", "tiny-gpt2"], strict=True))
    assert short_models(["one/bert", "two/bert"]) == {"one/bert": "one/bert", "two/bert": "two/bert"}
    assert short_models(["embedded"]) == {"embedded": "embedded"}


@pytest.mark.parametrize(("text", "wanted"), [("50,all", [50, "all"]), ("2", [2])])
def test_sizes_are_numbers_or_all(text: str, wanted: list[object]) -> None:
    assert parse_sizes(text) == wanted


@pytest.mark.parametrize("text", ["", "50,", "many", "1e3"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(SettingError, match="write numbers of texts, or all"):
        parse_sizes(text)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"train_sizes": [50, 50]}, "a size is given twice"),
        ({"train_sizes": [1]}, "a size is 2 or more"),
        ({"models": ["a", "a"]}, "name each model once"),
    ],
)
def test_axes_that_mean_nothing_are_refused(value: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        parse_study({"methods": ["lora"], **value}, "the study")


def test_several_models_of_a_command_are_a_list_and_declared_pairs_go() -> None:
    study = assemble_study(None, None, None, None, "embedded,other/model", None, "0", [], None, None)
    assert study.models == ["embedded", "other/model"]
    assert study.pairs == []


def test_sizes_are_crossed_and_the_largest_is_recommended(tmp_path: Path) -> None:
    common = ["--data", "messages", "--set", "data.test_limit=100", "--set", "epochs=1", "--out", str(tmp_path / "out")]
    first = ["--methods", "tfidf_char,tfidf_word", "--seeds", "0", *common]
    inside("compare", *first, "--train-sizes", "20,40,80,160", "--no-figures")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    labels = [run["label"] for run in summary["runs"]]
    sizes = [f", {size} texts" for size in (20, 40, 80, 160)]
    assert labels == [f"{name}{size}" for name in ("tfidf_char", "tfidf_word") for size in sizes]
    candidates = {row["label"] for row in summary["verdict"]["candidates"]}
    assert candidates == {"tfidf_char, 160 texts", "tfidf_word, 160 texts"}
    curves = {curve["name"]: curve for curve in summary["learning"]["curves"]}
    assert [point["size"] for point in curves["tfidf_word"]["points"]] == [20, 40, 80, 160]
    assert summary["learning"]["sentences"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert 'id="learning"' in page
    # the whole split is added, and nothing is made again
    out = inside("compare", *first, "--train-sizes", "20,40,80,160,all", "--no-figures").stdout
    assert "2 runs made" in out


@pytest.mark.slow
def test_a_model_that_cannot_be_had_leaves_the_others_their_rows(tmp_path: Path) -> None:
    common = ["--data", "messages", "--set", "data.test_limit=40", "--set", "data.train_limit=40", "--seeds", "0"]
    words = ["--methods", "linear_probe", *common, "--out", str(tmp_path / "out"), "--no-figures"]
    nowhere = str(tmp_path / "nowhere")
    said = inside("compare", "--model", f"embedded,{nowhere}", *words, code=1).stdout
    assert "cannot be made: There is no model folder" in " ".join(said.split())
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert {run["label"]: run["status"] for run in summary["runs"] if run["role"] == "run"} == {
        "linear_probe, embedded": "completed",
        "linear_probe, nowhere": "failed",
    }
    assert "no model folder" in inside("compare", "--model", f"{nowhere},{nowhere}2", *words, code=2).stderr
