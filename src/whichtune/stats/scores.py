"""From predictions to one number an example, so that every metric meets the same tests.

Accuracy and loss are means over examples. Macro F1 is not, so it is linearised: each example gets F1
plus its influence on F1 (Hampel 1974; the infinitesimal jackknife). The mean of these is F1 itself, and
their spread is the test-set noise of F1, to first order. `docs/statistics.md` has the simulation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

ROUGE = ("rouge1", "rouge2", "rougeL", "rougeLsum")
METRICS = ("accuracy", "f1_macro", *ROUGE, "loss")


def confusion(labels: NDArray[np.int64], predictions: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Counts `(C, C)`: row is the label, column the prediction."""
    cells = np.asarray(labels, dtype=np.int64) * classes + np.asarray(predictions, dtype=np.int64)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def f1_macro_of_confusion(counts: NDArray[np.int64]) -> FloatArray:
    """Macro F1 of confusion matrices `(..., C, C)`: the mean over all C classes.

    A class that occurs neither as label nor as prediction counts 0, as in scikit-learn's
    `f1_score(labels=range(C), average="macro", zero_division=0)` and in the records.
    """
    counts = np.asarray(counts, dtype=np.float64)
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    size = counts.sum(axis=-1) + counts.sum(axis=-2)
    f1 = np.divide(2 * right, size, out=np.zeros_like(right), where=size > 0)
    return f1.mean(axis=-1)


def f1_influence(counts: NDArray[np.int64]) -> FloatArray:
    """Influence `(C, C)` on macro F1 of one example with that label (row) and prediction (column).

    The derivative of macro F1 with respect to the share of examples in a cell. Weighted by the counts
    it sums to zero.
    """
    counts = np.asarray(counts, dtype=np.float64)
    classes, n = len(counts), counts.sum()
    right, size = np.diag(counts), counts.sum(axis=1) + counts.sum(axis=0)
    present = size > 0
    safe = np.where(present, size, 1.0)
    per_mention = np.where(present, -2 * right / safe**2, 0.0)
    influence = per_mention[:, None] + per_mention[None, :]
    influence[np.diag_indices(classes)] += np.where(present, 2 / safe, 0.0)
    return influence * n / classes


@dataclass(frozen=True)
class Scores:
    """A method's figures on one test set, seed by seed.

    `values (S, E)` has one number a seed and example whose mean over examples is the metric of that
    seed; `weight` is how much one example can count (1 for accuracy, more where macro F1 rests on a
    rare class), None where that has no bound (loss).
    """

    values: FloatArray
    weight: float | None

    @property
    def constant(self) -> bool:
        """True where every seed has the same scores on every example."""
        return bool((self.values == self.values[0]).all())

    @property
    def per_seed(self) -> FloatArray:
        return self.values.mean(axis=1)


def scores(
    metric: str,
    labels: NDArray[np.int64],
    predictions: NDArray[np.int64],
    classes: int,
    losses: FloatArray | None = None,
) -> Scores:
    """Scores of one method: `labels (E,)`, `predictions (S, E)`, `losses (S, E)` for the metric loss.

    Raises ValueError for a metric that is not in `METRICS` or losses that are missing.
    """
    predictions = np.atleast_2d(predictions)
    if metric == "accuracy":
        return Scores((predictions == labels).astype(np.float64), 1.0)
    if metric == "f1_macro":
        return _f1_scores(labels, predictions, classes)
    if metric == "loss":
        if losses is None or not np.isfinite(losses).all():
            raise ValueError("the loss of some example is missing")
        return Scores(np.atleast_2d(losses).astype(np.float64), None)
    raise ValueError(f"no per-example scores for the metric '{metric}'; known are {', '.join(METRICS)}")


def figure_scores(values: FloatArray) -> Scores:
    """Scores of a figure that each example has by itself, `values (S, E)`, such as ROUGE.

    A difference is spread over many examples here, and not carried by the few that are right and wrong: what one
    example can count needs no bound of its own.
    """
    return Scores(np.atleast_2d(values).astype(np.float64), None)


def ratio_scores(sums: FloatArray, counts: FloatArray) -> Scores:
    """Scores of a ratio of totals, such as the loss of a token: `sums (S, E)` by `counts (S, E)`.

    A ratio is no mean over examples, so it is linearised as macro F1 is: each example gets the ratio plus its
    influence on it. The mean of these is the ratio itself.
    """
    sums, counts = np.atleast_2d(sums), np.atleast_2d(counts).astype(np.float64)
    ratio = sums.sum(axis=1, keepdims=True) / counts.sum(axis=1, keepdims=True)
    influence = (sums - ratio * counts) / counts.mean(axis=1, keepdims=True)
    return Scores(ratio + influence, None)


def _f1_scores(labels: NDArray[np.int64], predictions: NDArray[np.int64], classes: int) -> Scores:
    rows, weights = [], []
    for row in predictions:
        counts = confusion(labels, row, classes)
        influence = f1_influence(counts)
        rows.append(float(f1_macro_of_confusion(counts)) + influence[labels, row])
        seen = counts.sum(axis=1) > 0
        weights.append(float((np.diag(influence)[:, None] - influence)[seen].max()))
    return Scores(np.stack(rows), max(weights))
