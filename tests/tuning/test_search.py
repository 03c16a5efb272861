"""A real search on real (tiny) models: it finds what is known to be best, and never sees the test split."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tuning.conftest import KNOWN_BEST, known_study, write_data
from whichtune.compare import Result, compare, prepare
from whichtune.data.splits import Split
from whichtune.records.record import RunRecord, RunStatus
from whichtune.records.store import StudyFolder
from whichtune.runs.run import run_one
from whichtune.tuning.search import draws_of


def line_of(comparison: Result, label: str) -> dict:
    return next(line for line in comparison.summary.to_json()["tuning"]["lines"] if line["label"] == label)


@pytest.mark.slow
def test_the_search_finds_the_known_best_rate_of_each_method(searched: Result) -> None:
    for label, (low, high) in KNOWN_BEST.items():
        line = line_of(searched, label)
        rates = [draw["settings"]["learning_rate"] for draw in line["draws"]]
        assert any(low <= rate <= high for rate in rates)
        assert any(not low <= rate <= high for rate in rates)
        assert low <= line["settings"]["learning_rate"] <= high
        run = next(run for run in searched.summary.to_json()["runs"] if run["label"] == label)
        assert run["spec"]["learning_rate"] == line["settings"]["learning_rate"]
        assert run["spec"]["learning_rate_source"] == "tuned"
        assert run["spec"]["tuned"] == ["learning_rate", "warmup_ratio"]
        assert run["status"] == "completed"
        assert run["metrics"]["test"]["n"] == 60


def test_the_two_bests_differ_so_one_rate_for_both_would_decide_the_winner(searched: Result) -> None:
    head, full = line_of(searched, "head_only"), line_of(searched, "full")
    assert head["settings"]["learning_rate"] > 3 * full["settings"]["learning_rate"]


def test_draws_are_ordinary_runs_without_test_figures(searched: Result) -> None:
    folder = StudyFolder(searched.folder)
    for label in KNOWN_BEST:
        for draw in line_of(searched, label)["draws"]:
            record = folder.read_run(draw["run_id"])
            assert record is not None
            assert (record.role, record.seed, record.status) == ("draw", 3, "completed")
            assert record.metrics.test is None
            assert record.metrics.validation is not None
            assert record.metrics.validation.accuracy == draw["score"]
            assert set(folder.predictions(record.run_id)["split"]) == {"validation"}
            assert folder.curves(record.run_id)
            assert not folder.weight_files(record.run_id)
    assert not [run for run in searched.summary.to_json()["runs"] if run["role"] == "draw"]


def test_a_method_in_closed_form_is_not_searched(searched: Result) -> None:
    line = line_of(searched, "linear_probe")
    assert (line["spaces"], line["draws"], line["selected"]) == ({}, [], None)
    run = next(run for run in searched.summary.to_json()["runs"] if run["label"] == "linear_probe")
    assert run["spec"]["tuned"] == []
    assert run["metrics"]["test"] is not None


def test_study_and_summary_hold_the_search(searched: Result) -> None:
    stored = json.loads((searched.folder / "study.json").read_text())["tuning"]
    tuning = searched.summary.to_json()["tuning"]
    assert (stored["draws"], stored["seed"]) == (5, 5)
    assert (tuning["metric"], tuning["higher_is_better"], tuning["unit"], tuning["run_seed"]) == (
        "accuracy", True, "draws", 3,
    )  # fmt: skip
    for label in KNOWN_BEST:
        line, planned = line_of(searched, label), stored["lines"][label]
        assert planned["selected"] == line["selected"]
        assert [d["run_id"] for d in planned["draws"]] == [d["run_id"] for d in line["draws"]]
        assert [point["draws"] for point in line["curve"]] == [1, 2, 3, 4, 5]
        scores = [draw["score"] for draw in line["draws"]]
        assert line["curve"][0]["best"] == pytest.approx(sum(scores) / 5)
        assert line["curve"][-1]["best"] == max(scores)
        assert line["spent_flops"] > 0


def test_resuming_does_nothing_and_chooses_the_same(searched: Result, known_data: Path, tiny_gpt2: Path) -> None:
    again = compare(known_study(known_data, tiny_gpt2), searched.folder, threads=1)
    assert again.started == 0
    assert again.summary == searched.summary


# -- the test split ------------------------------------------------------------------------------------


class Forbidden(Split):
    """A split that cannot be looked at."""

    def __getattribute__(self, name: str) -> object:
        if name in ("ids", "texts", "labels", "duplicate_of_train", "__len__"):
            raise AssertionError(f"a search looked at {name} of the test split")
        return super().__getattribute__(name)


def test_making_a_draw_touches_nothing_of_the_test_split(
    tiny_gpt2: Path, known_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data set that a run loads has a test split that raises when anything of it is read."""
    from whichtune.data import splits

    expansion, dataset = prepare(known_study(known_data, tiny_gpt2, methods=["full"]))
    draw = draws_of(expansion, dataset.without_test())["full"][0].spec
    real = splits.load_dataset

    def guarded(settings, *rest):
        loaded = real(settings, *rest)
        forbidden = object.__new__(Forbidden)
        return splits.replace(loaded, splits={**loaded.splits, "test": forbidden})

    monkeypatch.setattr(splits, "load_dataset", guarded)
    result = run_one(draw)
    assert result.record.metrics.validation is not None
    assert result.record.metrics.test is None
    with pytest.raises(AssertionError, match="looked at"):  # the guard does guard: a run does read it
        run_one(expansion.specs[0])


@pytest.mark.slow  # a second search
def test_flipping_every_test_label_changes_no_draw_and_no_choice(
    searched: Result, tiny_gpt2: Path, tmp_path: Path
) -> None:
    data = write_data(tmp_path / "texts", flip_test=True)
    flipped = compare(known_study(data, tiny_gpt2, methods=["head_only"]), tmp_path / "study", threads=1)
    keys = ("number", "status", "settings", "score", "loss", "flops")
    one, two = line_of(searched, "head_only"), line_of(flipped, "head_only")
    assert [[d[k] for k in keys] for d in one["draws"]] == [[d[k] for k in keys] for d in two["draws"]]
    assert one["selected"] == two["selected"]
    accuracies = [c.summary.to_json()["runs"][0]["metrics"]["test"]["accuracy"] for c in (searched, flipped)]
    assert sum(accuracies) == pytest.approx(1)


# -- draws that fail -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_failed_draw_counts_and_a_line_whose_draws_all_fail_is_a_failed_row(
    tiny_gpt2: Path, known_data: Path, tmp_path: Path
) -> None:
    spaces = {
        "some": {"blocks": [1, 9], "learning_rate": [0.01], "weight_decay": None, "warmup_ratio": None},
        "none": {"blocks": [8, 9], "learning_rate": [0.01], "weight_decay": None, "warmup_ratio": None},
    }
    study = known_study(
        known_data,
        tiny_gpt2,
        methods=[],
        runs=[{"method": "last_blocks", "label": "some"}, {"method": "last_blocks", "label": "none"}],
        settings={"epochs": 1},
        tuning={"draws": 3, "seed": 1, "spaces": spaces},
    )
    result = compare(study, tmp_path / "s", threads=1)
    some, none = line_of(result, "some"), line_of(result, "none")
    tried = [draw["settings"]["blocks"] for draw in some["draws"]]
    assert set(tried) == {1, 9}
    assert [draw["status"] for draw in some["draws"]] == ["completed" if blocks == 1 else "failed" for blocks in tried]
    assert some["failed"] == tried.count(9)
    assert some["settings"]["blocks"] == 1
    assert len(some["curve"]) == 3
    rows = {run["label"]: RunRecord.model_validate(run) for run in result.summary.to_json()["runs"]}
    assert rows["some"].status is RunStatus.COMPLETED
    assert rows["none"].status is RunStatus.FAILED
    assert "All 3 draws of its search failed: The model has 3 blocks" in str(rows["none"].error)
    assert none["selected"] is None
    assert any("draws for some failed" in warning for warning in result.summary.to_json()["verdict"]["warnings"])
    assert pd.read_csv(result.folder / "table.csv")["error"].notna().any()
