"""Checks of small studies on disk, whose records, predictions and curves are real and their figures made up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stats.study_files import StudyOnDisk, evidence
from whichtune.evidence.checked import Check
from whichtune.evidence.checks import make_checks
from whichtune.evidence.judge import trials_of
from whichtune.records.record import CurvePoint
from whichtune.stats.tuning import TuningFigures

Curve = list[CurvePoint]


def curve(validation: Sequence[float], train: Sequence[float] | None = None, rate: float = 1e-3) -> Curve:
    """A point an epoch of 100 steps, with a learning rate that falls in a line to 0."""
    points, n = [], len(validation)
    for epoch, loss in enumerate(validation, start=1):
        fitted = loss if train is None else train[epoch - 1]
        points.append(
            {
                "step": 100 * epoch,
                "epoch": float(epoch),
                "train_loss": fitted,
                "validation_loss": loss,
                "learning_rate": rate * (1 - epoch / n),
            }
        )
    return points  # type: ignore[return-value]


def checks_of(
    study: StudyOnDisk, curves: Mapping[str, Curve] | None = None, tuning: TuningFigures | None = None
) -> dict[str, Check]:
    """By code; `curves` by the label of a row, the same for all its runs."""
    of_run = {run.run_id: curves[run.label] for run in study.records if curves and run.label in curves}
    shown = evidence(study).model_copy(update={"tuning": tuning})
    trials = trials_of(study.resolved, study.records, study.read)
    found = make_checks(study.resolved, trials, shown, lambda run_id: of_run.get(run_id, []))
    return {check.code: check for check in found}


def with_metrics(study: StudyOnDisk, label: str, split: str, **figures: Any) -> None:
    """Change figures of a split in the records of a row."""
    for place, run in enumerate(study.records):
        if run.label == label:
            metrics = run.metrics.of(split).model_copy(update=figures)  # type: ignore[arg-type, union-attr]
            study.records[place] = run.model_copy(update={"metrics": run.metrics.model_copy(update={split: metrics})})
