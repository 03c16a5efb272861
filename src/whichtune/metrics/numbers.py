"""Metrics of foretold numbers, example by example: the metric plus the example's influence on it.

The mean over examples is the metric itself, and the spread is its test-set noise to first order (Hampel 1974), so that
intervals and paired tests take every one of them as a mean over examples. Predictions and targets are `(n,)`, in the
targets' own unit; so is what is given. Rank correlation: Spearman's, of mid-ranks, whose influence has that of every
example on the others' ranks (Croux and Dehon 2010).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def absolute_errors(predictions: FloatArray, targets: FloatArray) -> FloatArray:
    """Absolute errors; their mean is the MAE."""
    found: FloatArray = np.abs(predictions - targets)
    return found


def root_mean_square(predictions: FloatArray, targets: FloatArray) -> FloatArray:
    """RMSE."""
    squares = (predictions - targets) ** 2
    root = float(np.sqrt(squares.mean()))
    if root == 0:
        return np.zeros(len(squares))
    found: FloatArray = root + (squares - root**2) / (2 * root)
    return found


def explained(predictions: FloatArray, targets: FloatArray) -> FloatArray:
    """R2, the share of the targets' variance that is explained; below 0 for what is worse than their mean. 0 where the
    targets do not vary."""
    spread = (targets - targets.mean()) ** 2
    squares = (predictions - targets) ** 2
    variance, error = float(spread.mean()), float(squares.mean())
    if variance == 0:
        return np.zeros(len(squares))
    found: FloatArray = 1 - squares / variance + error * (spread - variance) / variance**2
    return found


def pearson(predictions: FloatArray, targets: FloatArray) -> FloatArray:
    """The linear correlation; 0 where either does not vary."""
    one, other = predictions - predictions.mean(), targets - targets.mean()
    return _correlation(one * other, one**2, other**2)


def spearman(predictions: FloatArray, targets: FloatArray) -> FloatArray:
    """The correlation of ranks; 0 where either does not vary."""
    one, other = _shares(predictions), _shares(targets)
    return _correlation(
        _with_ranks(predictions, one, targets, other),
        _with_ranks(predictions, one, predictions, one),
        _with_ranks(targets, other, targets, other),
    )


def rounded(values: FloatArray) -> FloatArray:
    """Numbers as places among ordered classes: the nearest whole one, a half upwards."""
    found: FloatArray = np.floor(values + 0.5)
    return found


def rounded_hits(predictions: FloatArray, targets: FloatArray) -> FloatArray:
    """1 where the rounded prediction is the target's; their mean is the accuracy."""
    found: FloatArray = (rounded(predictions) == rounded(targets)).astype(np.float64)
    return found


def rounded_errors(predictions: FloatArray, targets: FloatArray) -> FloatArray:
    """Absolute errors in classes; their mean is the MAE of rounded predictions."""
    return absolute_errors(rounded(predictions), rounded(targets))


def quadratic_kappa(predictions: FloatArray, targets: FloatArray) -> FloatArray:
    """Cohen's kappa of rounded predictions with quadratic weights (Cohen 1968): one less the mean squared distance over
    that of answers dealt out anew. 0 where neither varies and both are alike."""
    found, true = rounded(predictions), rounded(targets)
    squares = (found - true) ** 2
    # What is expected by chance, as the mean over pairs of any prediction with any target, is a sum of moments.
    of_found = (found - true.mean()) ** 2 + true.var()
    of_true = (true - found.mean()) ** 2 + found.var()
    error, chance = float(squares.mean()), float(of_found.mean())
    if chance == 0:
        return np.zeros(len(squares))
    spread = of_found + of_true - 2 * chance
    kappa: FloatArray = 1 - squares / chance + error * spread / chance**2
    return kappa


def _correlation(products: FloatArray, first: FloatArray, second: FloatArray) -> FloatArray:
    """A correlation from what each example adds to the covariance and to the two variances, which are their means."""
    scale = float(np.sqrt(first.mean() * second.mean()))
    if not scale > 1e-15:
        return np.zeros(len(products))
    value = products.mean() / scale
    found: FloatArray = (
        value + (products - products.mean()) / scale - value / 2 * (first / first.mean() + second / second.mean() - 2)
    )
    return found


def _shares(values: FloatArray) -> FloatArray:
    """Mid-ranks as shares of the examples, less their mean."""
    from scipy.stats import rankdata

    shares: FloatArray = (rankdata(values) - 0.5) / len(values)
    return _centred(shares)


def _with_ranks(x: FloatArray, of_x: FloatArray, y: FloatArray, of_y: FloatArray) -> FloatArray:
    """What each example adds to the covariance of ranks: by its own, and by moving those of others."""
    found: FloatArray = of_x * of_y + _centred(_above(x, of_y)) + _centred(_above(y, of_x))
    return found


def _centred(values: FloatArray) -> FloatArray:
    centred: FloatArray = values - values.mean()
    return centred


def _above(values: FloatArray, weights: FloatArray) -> FloatArray:
    """The mean of the weights of examples with larger values, and of half of those with equal ones."""
    _, place = np.unique(values, return_inverse=True)
    sums = np.bincount(place, weights=weights)
    larger = np.cumsum(sums[::-1])[::-1] - sums
    found: FloatArray = (larger + sums / 2)[place] / len(values)
    return found
