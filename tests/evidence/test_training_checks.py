"""Undertrained, overfitted, diverged: what curves tell, and what they do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evidence.asked import checks_of, curve, with_metrics
from stats.study_files import StudyOnDisk, seeds_of, study_on_disk
from whichtune.evidence.checks.training import STILL_FALLING, Losses, pace_at_end
from whichtune.records.record import RunStatus

STEPS = np.arange(0, 301)


def study_of(folder: Path, *labels: str, method: str = "lora", **settings: object) -> StudyOnDisk:
    rng = np.random.default_rng(1)
    study = study_on_disk(folder)
    for label in labels:
        study.add(label, seeds_of(rng, 0.05), method=method, settings={"learning_rate": 1e-3, **settings})
    return study


@pytest.mark.parametrize(
    ("validation", "status"),
    [
        ([0.69, 0.688, 0.6875], "passed"),  # flat: it never fell, and nothing else shows that it could
        ([0.66, 0.64, 0.63], "warned"),  # a third of the rate lies after the first epoch's end, and it still falls
        ([0.30, 0.20, 0.198], "passed"),  # settled
        ([0.30, 0.20, 0.21], "passed"),  # risen
    ],
)
def test_a_curve_that_still_falls(validation: list[float], status: str, tmp_path: Path) -> None:
    found = checks_of(study_of(tmp_path, "one"), {"one": curve(validation)})["undertrained"]
    assert found.status == status
    assert found.rows == (["one"] if status == "warned" else [])


def test_the_pace_is_measured_against_the_learning_rate() -> None:
    """Losses that fall evenly for each unit of rate keep a pace of 1 to the end, however the schedule flattens them."""
    ends, rates = [100.0, 200.0, 300.0], [2 / 3, 1 / 3, 0.0]
    spent = [sum(1 - step / 300 for step in range(int(end))) for end in ends]
    even = [1.0 - 0.5 * each / spent[-1] for each in spent]
    assert pace_at_end(Losses(ends, even, even, rates), 1.0, 1.0) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize(("reached", "falls"), [(0.5, True), (0.8, True), (0.85, False), (0.95, False)])
def test_an_exponential_decline_counts_as_falling_below_five_sixths_of_its_way(reached: float, falls: bool) -> None:
    k, ends = -np.log(1 - reached), np.linspace(20, 300, 15)
    losses = [float(np.exp(-k * end / 300)) for end in ends]
    pace = pace_at_end(Losses(list(ends), losses, losses, [1.0] * 15), 1.0, 1.0)
    assert pace is not None
    assert bool(pace >= STILL_FALLING) is falls


def test_one_that_learned_nothing_where_another_did(tmp_path: Path) -> None:
    study = study_of(tmp_path, "stuck", "learns")
    found = checks_of(study, {"stuck": curve([0.695, 0.69, 0.692]), "learns": curve([0.3, 0.2, 0.199])})
    assert found["undertrained"].rows == ["stuck"]
    assert "hardly fell" in found["undertrained"].sentence


@pytest.mark.parametrize(
    ("mine", "position", "status"),
    [(0.8, "last", "warned"), (0.93, "last", "passed"), (0.8, "first", "passed")],
)
def test_steps_far_behind_the_closed_form_on_the_same_features(
    mine: float, position: str, status: str, tmp_path: Path
) -> None:
    study = study_of(tmp_path, "head", method="head_only", token_position=position)
    study.add("probe", seeds_of(np.random.default_rng(2), 0.05), method="linear_probe", validation=0.95)
    with_metrics(study, "head", "validation", accuracy=mine)
    found = checks_of(study, {"head": curve([0.30, 0.20, 0.199])})["undertrained"]
    assert found.status == status
    if status == "warned":
        assert found.rows == ["head"]
        assert "15.0 points" in found.sentence


@pytest.mark.parametrize(
    ("validation", "train", "status"),
    [
        ([0.3, 0.4, 0.6], [0.3, 0.1, 0.05], "warned"),
        ([0.3, 0.4, 0.6], [0.3, 0.5, 0.7], "passed"),  # both rise: that is no overfitting
        ([0.3, 0.31, 0.33], [0.3, 0.1, 0.05], "passed"),  # a little
        ([0.02, 0.03, 0.04], [0.3, 0.1, 0.05], "passed"),  # twice as much, of next to nothing
    ],
)
def test_validation_rises_while_train_falls(
    validation: list[float], train: list[float], status: str, tmp_path: Path
) -> None:
    found = checks_of(study_of(tmp_path, "one"), {"one": curve(validation, train)})["overfitted"]
    assert found.status == status
    if status == "warned":
        assert "2.00 times its minimum" in found.sentence


def test_a_run_that_diverged_is_told_from_one_that_failed(tmp_path: Path) -> None:
    study = study_of(tmp_path, "good", "bad")
    study.add_failed("bad", RunStatus.FAILED, "Diverged at step 3: the loss is nan.", seeds=(7,))
    assert checks_of(study, {"good": curve([0.3, 0.2, 0.19])})["diverged"].status == "passed"  # of no kind
    study.records[-1] = study.records[-1].model_copy(update={"error_kind": "DivergedError"})
    found = checks_of(study, {"good": curve([0.3, 0.2, 0.19])})["diverged"]
    assert (found.status, found.rows) == ("warned", ["bad"])


@pytest.mark.parametrize(("train", "status"), [([0.7, 0.9, 1.4], "warned"), ([0.7, 0.6, 0.72], "passed")])
def test_a_training_loss_that_ends_above_guessing(train: list[float], status: str, tmp_path: Path) -> None:
    found = checks_of(study_of(tmp_path, "one"), {"one": curve([0.6, 0.6, 0.6], train)})["diverged"]
    assert found.status == status


def test_without_curves_nothing_is_said_of_training(tmp_path: Path) -> None:
    found = checks_of(study_of(tmp_path, "one", method="linear_probe"))
    assert {found[code].status for code in ("undertrained", "overfitted", "diverged")} == {"not_applicable"}
