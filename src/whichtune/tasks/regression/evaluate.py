"""Figures of foretold numbers. Models learn targets in standard deviations from their mean, as `Scale` has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from whichtune.metrics import possible_metrics
from whichtune.records.record import CurvePoint, MetricsBySplit, NumberMetrics
from whichtune.tasks.base import Judged

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from whichtune.data.encoding import EncodedSplit
    from whichtune.data.splits import Split


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of the training targets."""

    mean: float
    sd: float

    @classmethod
    def of(cls, targets: np.ndarray) -> Scale:
        """Of training targets (n,), not all the same."""
        return cls(float(targets.mean()), float(targets.std()))

    def standardised(self, numbers: np.ndarray) -> np.ndarray:
        """Numbers in the targets' unit, in standard deviations from the mean."""
        return (numbers - self.mean) / self.sd

    def restored(self, logits: np.ndarray) -> np.ndarray:
        """Numbers (n,) in the targets' unit, from a model's (n, 1)."""
        found: np.ndarray = logits[:, 0].astype(np.float64) * self.sd + self.mean
        return found


def bounded(predictions: np.ndarray, classes: Sequence[str] | None) -> np.ndarray:
    """Numbers between the first and the last of ordered classes, where there are any."""
    return predictions if not classes else np.clip(predictions, 0, len(classes) - 1)


def losses_of(predictions: np.ndarray, targets: np.ndarray, scale: Scale) -> np.ndarray:
    """Squared errors (n,) in variances of the training targets."""
    found: np.ndarray = ((predictions - targets) / scale.sd) ** 2
    return found


def measure(
    predictions: np.ndarray,
    targets: np.ndarray,
    scale: Scale,
    duplicate_of_train: np.ndarray | None = None,
    truncated: int = 0,
) -> NumberMetrics:
    """Every metric of numbers, from predictions and targets (n,) in the targets' unit."""
    known = [(each.name, each.of_numbers) for each in possible_metrics("numbers") if each.of_numbers is not None]
    return NumberMetrics(
        **{name: float(of(predictions, targets).mean()) for name, of in known},
        loss=float(losses_of(predictions, targets, scale).mean()),
        target_mean=float(targets.mean()),
        target_sd=float(targets.std()),
        n=len(targets),
        truncated=truncated,
        duplicates_of_train=0 if duplicate_of_train is None else int(duplicate_of_train.sum()),
    )


def validation_point(metrics: NumberMetrics) -> CurvePoint:
    """What a point of the curves says of the validation split: the loss, and every metric of numbers."""
    scores = {f"validation_{metric.name}": metrics.value(metric.name) for metric in possible_metrics("numbers")}
    return {"validation_loss": metrics.loss, **scores}


def figures_of(
    predictions: Mapping[str, np.ndarray], splits: Mapping[str, Split] | Mapping[str, EncodedSplit], scale: Scale
) -> Judged:
    """Metrics and prediction rows of every split that predictions (n,) are given for."""
    import pandas as pd

    metrics, tables = {}, []
    for name, found in predictions.items():
        part = splits[name]
        metrics[name] = measure(found, part.labels, scale, part.duplicate_of_train, getattr(part, "truncated", 0))
        tables.append(
            pd.DataFrame(
                {
                    "split": name,
                    "example_id": part.ids,
                    "target": part.labels,
                    "prediction": found,
                    "loss": losses_of(found, part.labels, scale),
                    "duplicate_of_train": part.duplicate_of_train,
                }
            )
        )
    return Judged(MetricsBySplit(**metrics), pd.concat(tables, ignore_index=True))
