"""Metrics of named classes, all from the confusion matrix: counts `(..., C, C)`, labels down, predictions across."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
OfConfusion = Callable[[NDArray[np.int64]], FloatArray]

# Above so many classes the influence of cells that no example stands in is left at zero: there are too many of them.
MOST_CLASSES_IN_FULL = 32


def confusion(labels: NDArray[np.int64], predictions: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Counts `(C, C)` of labels and predictions `(n,)`."""
    cells = np.asarray(labels, dtype=np.int64) * classes + np.asarray(predictions, dtype=np.int64)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def accuracy_of_confusion(counts: NDArray[np.int64]) -> FloatArray:
    """The share of right answers `(...)`."""
    counts = np.asarray(counts, dtype=np.float64)
    share: FloatArray = np.trace(counts, axis1=-2, axis2=-1) / counts.sum(axis=(-2, -1))
    return share


def f1_macro_of_confusion(counts: NDArray[np.int64]) -> FloatArray:
    """Macro F1 of confusion matrices `(..., C, C)`: the mean over all C classes.

    A class that occurs neither as label nor as prediction counts 0, as in scikit-learn's
    `f1_score(labels=range(C), average="macro", zero_division=0)`.
    """
    counts = np.asarray(counts, dtype=np.float64)
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    size = counts.sum(axis=-1) + counts.sum(axis=-2)
    f1 = np.divide(2 * right, size, out=np.zeros_like(right), where=size > 0)
    mean: FloatArray = f1.mean(axis=-1)
    return mean


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
    found: NDArray[np.float64] = influence * n / classes
    return found


def jackknife_influence(of_confusion: OfConfusion, counts: NDArray[np.int64]) -> FloatArray:
    """Influence `(C, C)` of one example on any metric of the confusion matrix, by leaving it out (Tukey 1958).

    Where no example stands in a cell, by adding one. Weighted by the counts it sums to zero.
    """
    counts = np.asarray(counts, dtype=np.float64)
    n, whole = counts.sum(), float(of_confusion(counts))
    influence = np.zeros_like(counts)
    everywhere = len(counts) <= MOST_CLASSES_IN_FULL
    for row, column in zip(*np.nonzero(np.ones_like(counts) if everywhere else counts), strict=True):
        step = -1.0 if counts[row, column] > 0 else 1.0
        moved = counts.copy()
        moved[row, column] += step
        if moved.sum() > 0:
            influence[row, column] = (n + step) * step * (float(of_confusion(moved)) - whole)
    centred: FloatArray = influence - (influence * counts).sum() / max(1.0, n)
    return centred
