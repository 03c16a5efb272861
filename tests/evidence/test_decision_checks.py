"""Noise, margin, ranges and costs: found, and not found where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evidence.asked import checks_of
from stats.study_files import StudyOnDisk, answers, seeds_of, study_on_disk
from whichtune.stats.tuning import DrawFigures, TuningFigures, line_figures
from whichtune.study.roles import Role
from whichtune.study.spaces import log_uniform


def with_noise(study: StudyOnDisk, label: str, counts: list[int]) -> None:
    """A row that is wrong on so many of 300 texts, seed by seed."""
    study.add(label, [answers(300, list(range(count))) for count in counts])


@pytest.mark.parametrize(
    ("noisy", "status"),
    [([10, 40, 70], "warned"), ([10, 14, 18], "passed"), ([14, 15, 16], "passed")],  # 10, 1.3 and 0.3 points
)
def test_one_row_much_noisier_than_the_others(noisy: list[int], status: str, tmp_path: Path) -> None:
    study = study_on_disk(tmp_path)
    for label in ("calm", "calm too"):
        with_noise(study, label, [14, 15, 16])
    with_noise(study, "noisy", noisy)
    found = checks_of(study)["unequal_seed_noise"]
    assert (found.status, found.rows) == (status, ["noisy"] if status == "warned" else [])


def test_two_seeds_say_nothing_of_noise(tmp_path: Path) -> None:
    study = study_on_disk(tmp_path)
    with_noise(study, "calm", [14, 15])
    with_noise(study, "noisy", [10, 90])
    assert checks_of(study)["unequal_seed_noise"].status == "not_applicable"


@pytest.mark.parametrize(("margin", "status"), [(0.2, "warned"), (30.0, "passed")])
def test_a_margin_that_no_pair_can_be_shown_to_be_within(margin: float, status: str, tmp_path: Path) -> None:
    rng, study = np.random.default_rng(8), study_on_disk(tmp_path, margin=margin)
    for label in ("one", "two"):
        study.add(label, seeds_of(rng, 0.1))
    found = checks_of(study)["margin_out_of_reach"]
    assert found.status == status
    if status == "warned":
        assert "no pair could be shown to be equivalent" in found.sentence


def searched(best: float) -> TuningFigures:
    """Three draws of a rate between 0.0001 and 0.01, of which `best` scores highest."""
    draws = [
        DrawFigures(
            number=number,
            run_id=f"{number:016x}",
            status="completed",
            settings={"learning_rate": rate},
            score=0.9 if rate == best else 0.8,
        )
        for number, rate in enumerate((0.00011, 0.001, 0.0099), start=1)
    ]
    line = line_figures("one", "lora", {"learning_rate": log_uniform(0.0001, 0.01)}, draws, True, (0.0, 0.0), None)
    return TuningFigures(
        metric="accuracy",
        higher_is_better=True,
        seed=0,
        run_seed=0,
        budget=None,
        unit="draws",
        amount=3.0,
        limit=3,
        lines=[line],
    )


@pytest.mark.parametrize(
    ("best", "status", "end"), [(0.00011, "warned", "low"), (0.0099, "warned", "high"), (0.001, "passed", "")]
)
def test_a_rate_at_the_end_of_its_range(best: float, status: str, end: str, tmp_path: Path) -> None:
    study = study_on_disk(tmp_path)
    with_noise(study, "one", [14, 15, 16])
    found = checks_of(study, tuning=searched(best))["edge_of_range"]
    assert (found.status, found.rows) == (status, ["one"] if status == "warned" else [])
    assert not end or f"at the {end} end of its range" in found.sentence


@pytest.mark.parametrize(
    ("wrong", "seconds", "milliseconds", "status"),
    [
        (40, 10.0, 5.0, "warned"),  # worse, dearer, slower
        (5, 10.0, 5.0, "passed"),  # better
        (40, 0.1, 5.0, "passed"),  # made faster
        (40, 10.0, 0.01, "passed"),  # answers faster
    ],
)
def test_slower_and_worse_than_a_baseline(
    wrong: int, seconds: float, milliseconds: float, status: str, tmp_path: Path
) -> None:
    study = study_on_disk(tmp_path)
    cost = {"train_seconds": seconds, "inference_ms": milliseconds}
    study.add("model", [answers(300, list(range(wrong)))] * 3, cost=cost)
    words = {"train_seconds": 0.5, "inference_ms": 0.1}
    study.add("tfidf", [answers(300, list(range(10)))], seeds=[None], role=Role.BASELINE, method="tfidf", cost=words)
    found = checks_of(study)["worse_than_baseline"]
    assert (found.status, found.rows) == (status, ["model"] if status == "warned" else [])
    if status == "warned":
        assert "tfidf needs no language model" in found.sentence
        assert "model (10.0 points behind, 20 times the training time, 50 times" in found.sentence


def test_of_many_rows_that_are_slower_and_worse_six_are_named_beside_the_best_baseline(tmp_path: Path) -> None:
    study = study_on_disk(tmp_path)
    for place in range(9):
        cost = {"train_seconds": 10.0, "inference_ms": 5.0}
        study.add(f"model {place}", [answers(300, list(range(40 + place)))] * 3, cost=cost)
    for name, wrong in (("few", 20), ("many", 10)):
        words = {"train_seconds": 0.5, "inference_ms": 0.1}
        study.add(
            name, [answers(300, list(range(wrong)))], seeds=[None], role=Role.BASELINE, method="tfidf", cost=words
        )
    found = checks_of(study)["worse_than_baseline"]
    assert len(found.rows) == 9
    assert found.sentence.startswith(
        "many needs no language model and is better and faster than 'model 0' (10.0 points"
    )
    assert found.sentence.endswith("and 3 more.")
    assert "model 6" not in found.sentence


def test_without_a_baseline_there_is_nothing_to_be_worse_than(tmp_path: Path) -> None:
    study = study_on_disk(tmp_path)
    with_noise(study, "one", [14, 15, 16])
    assert checks_of(study)["worse_than_baseline"].status == "not_applicable"
