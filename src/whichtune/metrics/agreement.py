"""More metrics of named classes, from the confusion matrix: counts `(..., C, C)`, labels down, predictions across.

All as scikit-learn has them; where it divides nought by nought the figure is 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def _share(part: FloatArray, whole: FloatArray) -> FloatArray:
    return np.divide(part, whole, out=np.zeros(np.broadcast(part, whole).shape), where=whole != 0)


def _margins(counts: NDArray[np.int64]) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Right answers, labels and predictions by class `(..., C)`, and examples `(...)`."""
    whole = np.asarray(counts, dtype=np.float64)
    right: FloatArray = np.diagonal(whole, axis1=-2, axis2=-1)
    return right, whole.sum(axis=-1), whole.sum(axis=-2), whole.sum(axis=(-2, -1))


def balanced_accuracy(counts: NDArray[np.int64]) -> FloatArray:
    """The mean share of right answers over the classes that examples have (Brodersen et al. 2010)."""
    right, labels, _, _ = _margins(counts)
    mean: FloatArray = _share(right, labels).sum(axis=-1) / np.maximum(1, (labels > 0).sum(axis=-1))
    return mean


def f1_micro(counts: NDArray[np.int64]) -> FloatArray:
    """F1 of all answers together: with one answer for each example it is accuracy."""
    right, _, _, n = _margins(counts)
    return _share(right.sum(axis=-1), n)


def f1_weighted(counts: NDArray[np.int64]) -> FloatArray:
    """The mean of the classes' F1, each weighted by its examples."""
    right, labels, predictions, n = _margins(counts)
    return _share((_share(2 * right, labels + predictions) * labels).sum(axis=-1), n)


def matthews(counts: NDArray[np.int64]) -> FloatArray:
    """The correlation of labels and predictions, for two classes or more (Gorodkin 2004); from -1 to 1."""
    right, labels, predictions, n = _margins(counts)
    together = right.sum(axis=-1) * n - (labels * predictions).sum(axis=-1)
    spread = (n**2 - (labels**2).sum(axis=-1)) * (n**2 - (predictions**2).sum(axis=-1))
    return _share(together, np.sqrt(spread))


def cohens_kappa(counts: NDArray[np.int64]) -> FloatArray:
    """Agreement of labels and predictions beyond that of chance (Cohen 1960); at most 1."""
    right, labels, predictions, n = _margins(counts)
    chance = _share((labels * predictions).sum(axis=-1), n)
    return _share(right.sum(axis=-1) - chance, n - chance)
