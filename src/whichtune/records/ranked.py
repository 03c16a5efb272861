"""Which of several runs is the best on validation: one order for what is kept, handed over, served and loaded."""

from __future__ import annotations

from whichtune.metrics import METRICS
from whichtune.records.record import RunRecord


def validation_rank(run: RunRecord, metric: str) -> tuple[float, float]:
    """By the metric on validation, then by the loss; the larger the better. A run without the metric comes last."""
    figures = run.metrics.validation
    score = figures.value(metric) if figures is not None else None
    loss = figures.loss if figures is not None else None
    sign = 1.0 if METRICS[metric].higher_is_better else -1.0
    return (float("-inf") if score is None else sign * score, -(loss or 0.0))
