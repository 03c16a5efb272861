"""Metrics of named classes, all from the confusion matrix: counts `(..., C, C)`, labels down, predictions across."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Cells:
    """The cells of a confusion matrix that examples stand in: labels, predictions and counts, `(K,)` each.

    With many classes almost all of its cells are empty.
    """

    labels: NDArray[np.int64]
    predictions: NDArray[np.int64]
    counts: NDArray[np.int64]
    classes: int

    def matrices(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Confusion matrices `(..., C, C)` of other counts `(..., K)` in these cells."""
        whole = np.zeros((*counts.shape[:-1], self.classes, self.classes), dtype=counts.dtype)
        whole[..., self.labels, self.predictions] = counts
        return whole


def occupied_cells(labels: NDArray[np.int64], predictions: NDArray[np.int64], classes: int) -> Cells:
    """The cells of labels and predictions `(n,)`, in the order of the matrix."""
    cells = np.asarray(labels, dtype=np.int64) * classes + np.asarray(predictions, dtype=np.int64)
    found, counts = np.unique(cells, return_counts=True)
    return Cells(found // classes, found % classes, counts, classes)


def accuracy_of_confusion(counts: NDArray[np.int64]) -> FloatArray:
    """The share of right answers `(...)`."""
    counts = np.asarray(counts, dtype=np.float64)
    share: FloatArray = np.trace(counts, axis1=-2, axis2=-1) / counts.sum(axis=(-2, -1))
    return share


def f1_macro_of_confusion(counts: NDArray[np.int64]) -> FloatArray:
    """Macro F1 of confusion matrices `(..., C, C)`: the mean over the classes that occur in each, as label or as
    prediction.

    As in scikit-learn's `f1_score(average="macro")`: a class of which a split says nothing does not count.
    """
    counts = np.asarray(counts, dtype=np.float64)
    right: FloatArray = np.diagonal(counts, axis1=-2, axis2=-1)
    return _mean_f1(right, counts.sum(axis=-1) + counts.sum(axis=-2))


def f1_macro_of_cells(cells: Cells, counts: NDArray[np.int64]) -> FloatArray:
    """The same of counts `(..., K)` in `cells`, without the matrices."""
    from scipy.sparse import csr_array

    places, ones = np.arange(len(cells.labels)), np.ones(len(cells.labels))
    shape = (len(places), cells.classes)
    of_labels = csr_array((ones, (places, cells.labels)), shape=shape)
    of_predictions = csr_array((ones, (places, cells.predictions)), shape=shape)
    flat = np.asarray(counts, dtype=np.float64).reshape(-1, len(places))
    right = (flat * (cells.labels == cells.predictions)) @ of_labels
    mean: FloatArray = _mean_f1(right, flat @ (of_labels + of_predictions)).reshape(counts.shape[:-1])
    return mean


def _mean_f1(right: FloatArray, size: FloatArray) -> FloatArray:
    """From right answers and mentions, `(..., C)` each; a class without a mention is left out."""
    f1 = np.divide(2 * right, size, out=np.zeros_like(right), where=size > 0)
    mean: FloatArray = f1.sum(axis=-1) / np.maximum(1, (size > 0).sum(axis=-1))
    return mean


def f1_influence(counts: NDArray[np.int64]) -> FloatArray:
    """Influence `(C, C)` on macro F1 of one example with that label (row) and prediction (column).

    The derivative of macro F1 with respect to the share of examples in a cell; zero for a class that does not occur.
    Weighted by the counts it sums to zero.
    """
    counts = np.asarray(counts, dtype=np.float64)
    classes, n = len(counts), counts.sum()
    right, size = np.diag(counts), counts.sum(axis=1) + counts.sum(axis=0)
    present = size > 0
    safe = np.where(present, size, 1.0)
    per_mention = np.where(present, -2 * right / safe**2, 0.0)
    influence = per_mention[:, None] + per_mention[None, :]
    influence[np.diag_indices(classes)] += np.where(present, 2 / safe, 0.0)
    found: NDArray[np.float64] = influence * n / max(1, int(present.sum()))
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
