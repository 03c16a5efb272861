"""Studies that grow, and studies beside each other: extend, diff, history, gate."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest

from command import inside
from whichtune.errors import SettingError
from whichtune.evidence.gate import parse_least

COMMON = ["--data", "messages", "--set", "data.test_limit=60", "--set", "data.train_limit=60", "--no-figures"]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grown") / "first"
    inside("compare", *COMMON, "--methods", "linear_probe,majority,tfidf_word", "--seeds", "0", "--out", str(folder))
    return folder


def labels(folder: Path) -> list[tuple[str, int | None]]:
    return [(run["label"], run["seed"]) for run in json.loads((folder / "summary.json").read_text())["runs"]]


@pytest.mark.slow  # four commands; five steps in drawn orders are below
def test_extending_step_by_step_in_any_order_ends_where_one_command_does(study: Path, tmp_path: Path) -> None:
    at_once, grown = tmp_path / "at-once", tmp_path / "grown"
    for folder in (at_once, grown):
        shutil.copytree(study, folder)
    said = inside("extend", str(at_once), "--methods", "tfidf_char", "--seeds", "1").stdout
    assert "2 runs made" in said
    inside("extend", str(grown), "--seeds", "1")
    assert "1 run made" in inside("extend", str(grown), "--methods", "tfidf_char").stdout
    assert "0 runs made" in inside("extend", str(grown), "--seeds", "0,1", "--methods", "majority,linear_probe").stdout
    first, second = (json.loads((folder / "summary.json").read_text()) for folder in (at_once, grown))
    assert sorted(labels(at_once), key=str) == sorted(labels(grown), key=str)
    assert first["verdict"]["recommended"] == second["verdict"]["recommended"]
    assert set(labels(study)) < set(labels(grown))


STEPS = [
    ["--methods", "tfidf_char"],
    ["--methods", "knn"],
    ["--seeds", "1"],
    ["--seeds", "2"],
    ["--train-sizes", "20,40,all"],
]


def judged(folder: Path) -> dict[str, object]:
    """What a summary says of its rows, whatever their order and the seconds that they took."""
    summary = json.loads((folder / "summary.json").read_text())
    runs = {f"{run['label']} {run['seed']}": (run["run_id"], run["metrics"]) for run in summary["runs"]}
    rows = {row["label"]: row["interval"] for row in summary["intervals"]["methods"]}
    verdict = {key: summary["verdict"][key] for key in ("best", "best_fine_tuned", "best_without_model")}
    return {"runs": runs, "rows": rows, "verdict": verdict}


@pytest.mark.slow  # eleven commands
def test_five_steps_in_any_order_end_in_the_summary_of_one_command(study: Path, tmp_path: Path) -> None:
    at_once = tmp_path / "at-once"
    methods = "linear_probe,majority,tfidf_word,tfidf_char,knn"
    sizes = ["--train-sizes", "20,40,all", "--seeds", "0,1,2"]
    inside("compare", *COMMON, "--methods", methods, *sizes, "--out", str(at_once))
    expected = judged(at_once)
    for draw in range(2):
        grown = tmp_path / f"grown-{draw}"
        shutil.copytree(study, grown)
        for step in random.Random(draw).sample(STEPS, len(STEPS)):
            inside("extend", str(grown), *step)
        assert judged(grown) == expected


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "There is nothing to add"),
        (["--methods", "loar"], "did you mean 'lora'"),
        (["--seeds", "x"], "whole numbers"),
        (["--train-sizes", "few"], "write numbers of texts"),
        (["--methods", ""], "--methods is empty"),
    ],
)
def test_what_cannot_be_added_is_refused_and_nothing_changes(words: list[str], said: str, study: Path) -> None:
    before = (study / "summary.json").read_bytes(), (study / "study.json").read_bytes()
    assert said in inside("extend", str(study), *words, code=2).stderr
    assert ((study / "summary.json").read_bytes(), (study / "study.json").read_bytes()) == before


def test_diff_names_what_changed_and_the_same_runs(study: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    inside("compare", *COMMON, "--methods", "linear_probe,majority", "--seeds", "0", "--set", "token_position=first",
           "--out", str(other))  # fmt: skip
    said = inside("diff", str(study), str(other)).stdout
    assert "settings.token_position: none to first" in said
    assert "majority: test accuracy" in said
    assert "the same runs in both" in said
    assert "on the same test texts" in said
    assert "Only before: tfidf_word." in said
    found = json.loads(inside("diff", str(study), str(other), "--json").stdout)
    assert {row["label"] for row in found["rows"]} == {"linear_probe", "majority"}
    assert found["only_before"] == ["tfidf_word"]


def test_another_test_split_is_said_to_be_one(study: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    inside("compare", *COMMON, "--methods", "majority", "--set", "data.split_seed=3", "--out", str(other))
    assert "on different test texts" in inside("diff", str(study), str(other)).stdout


def test_a_gate_passes_and_fails_with_its_sentence(study: Path, tmp_path: Path) -> None:
    passed = inside("gate", str(study), "--row", "majority", "--at-least", "accuracy=0.2").stdout
    assert passed.startswith("passed  majority has accuracy")
    failed = inside("gate", str(study), "--row", "majority", "--at-least", "accuracy=99%", code=1).stdout
    assert "FAILED  majority has accuracy" in failed
    assert "was to have at least 99.00 %" in failed
    assert "the same runs" in inside("gate", str(study), "--row", "majority", "--not-worse-than", str(study)).stdout


def test_a_row_that_became_worse_does_not_pass(tmp_path: Path) -> None:
    from report.made_studies import MadeStudy

    sides = []
    for name, accuracy in (("before", 0.9), ("after", 0.6)):
        made = MadeStudy(tmp_path / name, n=300)
        made.add("lora", accuracy)
        made.finish()
        sides.append(str(tmp_path / name))
    said = inside("gate", sides[1], "--row", "lora", "--not-worse-than", sides[0], code=1).stdout
    assert "FAILED" in said
    assert "worse" in said
    assert "passed" in inside("gate", sides[0], "--row", "lora", "--not-worse-than", sides[1], "--margin", "1").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--row", "loar", "--at-least", "accuracy=0.5"], "has no completed row 'loar'"),
        (["--row", "majority"], "There is nothing to check"),
        (["--row", "majority", "--at-least", "accuracy"], "write a metric and a number"),
        (["--row", "majority", "--at-least", "acuracy=0.5"], "there is no metric 'acuracy'"),
        (["--row", "majority", "--at-least", "accuracy=95"], "is at most 1"),
        (["--row", "majority", "--at-least", "accuracy=0.5", "--margin", "1"], "give --not-worse-than, too"),
        (["--row", "majority", "--not-worse-than", "nowhere"], "nowhere"),
    ],
)
def test_a_gate_that_means_nothing_is_refused(words: list[str], said: str, study: Path) -> None:
    assert said in inside("gate", str(study), *words, code=2).stderr


@pytest.mark.parametrize(("text", "bound"), [("accuracy=0.95", 0.95), ("accuracy>=95%", 0.95), ("f1_macro=1", 1.0)])
def test_bounds_are_shares_or_percent(text: str, bound: float) -> None:
    assert parse_least(text).bound == pytest.approx(bound)
    with pytest.raises(SettingError):
        parse_least(text + "x")


def test_history_lists_studies_by_when_they_were_made(study: Path, tmp_path: Path) -> None:
    said = inside("history", str(study.parent)).stdout
    assert "first: messages with embedded, 3 runs; use " in said
    assert "There is no study" in inside("history", str(tmp_path), code=2).stderr
    assert "There is no folder" in inside("history", str(tmp_path / "none"), code=2).stderr
