"""Figures of sets of labels, from logits of each label."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from whichtune.metrics import metrics_of
from whichtune.metrics.labels import average_precision, counts_by_label, probabilities_of
from whichtune.records.record import CurvePoint, LabelSetMetrics, MetricsBySplit
from whichtune.tasks.base import Judged
from whichtune.tasks.multilabel.settings import MultilabelSettings
from whichtune.tasks.multilabel.thresholds import best_thresholds

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from whichtune.data.encoding import EncodedSplit
    from whichtune.data.splits import Split


def losses_of(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Each text's binary cross-entropy in nats, a mean over labels (n,), from logits and targets (n, L)."""
    exact = logits.astype(np.float32).astype(np.float64)
    found: np.ndarray = (np.logaddexp(0.0, exact) - exact * targets).mean(axis=1)
    return found


def thresholds_by(own: MultilabelSettings, logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The thresholds (L,) that the settings say, from the validation split's logits and targets (n, L)."""
    if isinstance(own.label_thresholds, float):
        return np.full(targets.shape[1], own.label_thresholds)
    return best_thresholds(probabilities_of(logits), targets)


def measure(
    logits: np.ndarray,
    targets: np.ndarray,
    thresholds: np.ndarray,
    duplicate_of_train: np.ndarray | None = None,
    truncated: int = 0,
) -> LabelSetMetrics:
    """Every metric of sets of labels, from logits and targets (n, L) and thresholds (L,)."""
    probabilities = probabilities_of(logits)
    chosen = probabilities >= thresholds
    known = [(metric.name, metric.of_labels) for metric in metrics_of("labels") if metric.of_labels is not None]
    return LabelSetMetrics(
        **{name: float(of(chosen, probabilities, targets).mean()) for name, of in known},
        loss=float(losses_of(logits, targets).mean()),
        n=len(targets),
        thresholds=thresholds.tolist(),
        label_counts=counts_by_label(chosen, targets).tolist(),
        average_precision=[
            float(average_precision(scores, true).mean()) if true.any() else None
            for scores, true in zip(probabilities.T, targets.T, strict=True)
        ],
        labels_per_text=float(targets.sum(axis=1).mean()),
        without_labels=int((~targets.any(axis=1)).sum()),
        truncated=truncated,
        duplicates_of_train=0 if duplicate_of_train is None else int(duplicate_of_train.sum()),
    )


def validation_point(metrics: LabelSetMetrics) -> CurvePoint:
    """What a point of the curves says of the validation split: the loss, and every metric of sets of labels."""
    scores = {f"validation_{metric.name}": metrics.value(metric.name) for metric in metrics_of("labels")}
    return {"validation_loss": metrics.loss, **scores}


def figures_of(
    logits: Mapping[str, np.ndarray],
    splits: Mapping[str, Split] | Mapping[str, EncodedSplit],
    own: MultilabelSettings,
) -> Judged:
    """Metrics and prediction rows of every split that logits (n, L) are given for, validation among them."""
    import pandas as pd

    thresholds = thresholds_by(own, logits["validation"], splits["validation"].labels)
    metrics, tables = {}, []
    for name, scores in logits.items():
        part = splits[name]
        metrics[name] = measure(scores, part.labels, thresholds, part.duplicate_of_train, getattr(part, "truncated", 0))
        tables.append(_table(name, part, scores, thresholds))
    return Judged(MetricsBySplit(**metrics), pd.concat(tables, ignore_index=True))


def _table(split: str, part: Split | EncodedSplit, logits: np.ndarray, thresholds: np.ndarray) -> pd.DataFrame:
    """Rows of predictions.parquet: true and chosen labels by their places, and a logit for each."""
    import pandas as pd

    chosen = probabilities_of(logits) >= thresholds
    return pd.DataFrame(
        {
            "split": split,
            "example_id": part.ids,
            "target": _places(part.labels),
            "prediction": _places(chosen),
            "loss": losses_of(logits, part.labels),
            "logits": [row.astype("float32") for row in logits],
            "duplicate_of_train": part.duplicate_of_train,
        }
    )


def _places(indicators: np.ndarray) -> list[list[int]]:
    return [np.flatnonzero(row).tolist() for row in indicators]
