"""Intervals for one run: Wilson for a proportion, BCa bootstrap for anything else.

Everything here is a fraction or a plain number; points and wording belong to the report.
"""

from __future__ import annotations

import warnings
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from whichtune.metrics.confusion import OfConfusion

Interval = tuple[float, float]

Value = TypeVar("Value", bound=np.generic)
Value_contra = TypeVar("Value_contra", bound=np.generic, contravariant=True)

RESAMPLES = 1999
BOOTSTRAP_SEED = 20240


class Statistic(Protocol[Value_contra]):
    """A figure of resampled values `(R, N)`, one for each of the R samples."""

    def __call__(self, sample: NDArray[Value_contra], axis: int = -1) -> NDArray[np.float64]: ...


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Wilson score interval of a proportion (Wilson 1927; Newcombe 1998a, method 3).

    Raises ValueError unless 0 <= successes <= n and n >= 1.
    """
    from statsmodels.stats.proportion import proportion_confint

    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n} is not a proportion")
    low, high = proportion_confint(successes, n, alpha=1 - level, method="wilson")
    return float(low), float(high)


def bca(
    values: NDArray[Value],
    statistic: Statistic[Value] | None = None,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = BOOTSTRAP_SEED,
) -> Interval | None:
    """Bias-corrected and accelerated bootstrap interval (Efron 1987), resampling examples.

    `values (N,)` has one number an example; `statistic(values, axis)` is their mean unless given.
    None where every example has the same value: resampling then shows no noise, which is not the same
    as there being none.
    """
    from scipy.stats import bootstrap

    values = np.asarray(values)
    if len(values) < 2 or np.all(values == values[0]):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = bootstrap(
            (values,),
            statistic or (lambda sample, axis=-1: np.mean(sample, axis=axis)),
            confidence_level=level,
            n_resamples=resamples,
            batch=max(1, min(resamples, 2_000_000 // len(values))),
            vectorized=True,
            method="BCa",
            rng=np.random.default_rng(seed),
        )
    low, high = (float(bound) for bound in result.confidence_interval)
    return (low, high) if np.isfinite(low) and np.isfinite(high) else None


def confusion_interval(
    of_confusion: OfConfusion,
    labels: NDArray[np.int64],
    predictions: NDArray[np.int64],
    classes: int,
    level: float = 0.95,
) -> Interval | None:
    """BCa interval of a function of the confusion matrix, from labels and predictions (both `(N,)`).

    None where no answer is wrong.
    """
    cells = np.asarray(labels) * classes + np.asarray(predictions)
    if np.array_equal(labels, predictions):
        return None

    def statistic(sample: NDArray[np.int64], axis: int = -1) -> NDArray[np.float64]:
        counts = np.stack([(sample == cell).sum(axis=axis) for cell in range(classes * classes)], axis=-1)
        return of_confusion(counts.reshape(*counts.shape[:-1], classes, classes))

    return bca(cells, statistic, level)
