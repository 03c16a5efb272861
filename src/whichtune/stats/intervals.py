"""Intervals for one run: Wilson for a proportion, BCa bootstrap for anything else.

Everything here is a fraction or a plain number; points and wording belong to the report.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from whichtune.metrics.confusion import Cells, occupied_cells

Interval = tuple[float, float]
OfCells = Callable[[Cells, NDArray[np.int64]], NDArray[np.float64]]  # a metric of counts (..., K) in cells

Value = TypeVar("Value", bound=np.generic)
Value_contra = TypeVar("Value_contra", bound=np.generic, contravariant=True)

RESAMPLES = 1999
BOOTSTRAP_SEED = 20240
MOST_NUMBERS = 2_000_000  # held at a time


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
            batch=_batch(len(values), resamples),
            vectorized=True,
            method="BCa",
            rng=np.random.default_rng(seed),
        )
    low, high = (float(bound) for bound in result.confidence_interval)
    return (low, high) if np.isfinite(low) and np.isfinite(high) else None


def confusion_interval(
    of_cells: OfCells, labels: NDArray[np.int64], predictions: NDArray[np.int64], classes: int, level: float = 0.95
) -> Interval | None:
    """BCa interval of a function of the confusion matrix, from labels and predictions (both `(N,)`).

    Examples are resampled as in `bca`; of a resample only the counts in the cells that occur are kept, and the
    acceleration leaves out one example of each such cell. None where no answer is wrong, and where the corrected ends
    lie beyond the resamples: where most of many classes have a single example, these lose classes that the figure has.
    """
    from scipy.special import ndtr, ndtri

    if np.array_equal(labels, predictions) or len(labels) < 2:
        return None
    cells = occupied_cells(labels, predictions, classes)
    drawn = _resampled_counts(_place_of_each(labels, predictions, classes), len(cells.counts))
    resampled = np.concatenate([of_cells(cells, counts) for counts in drawn])
    whole = float(of_cells(cells, cells.counts))
    below = ((resampled < whole).sum() + (resampled <= whole).sum()) / (2 * len(resampled))
    if not 0 < below < 1:
        return None
    bias, accelerated = ndtri(below), _acceleration(of_cells, cells)
    reach = ndtri((1 + level) / 2)
    ends = [ndtr(bias + (bias + side) / (1 - accelerated * (bias + side))) for side in (-reach, reach)]
    if min(ends) < 1 / len(resampled) or max(ends) > 1 - 1 / len(resampled):
        return None
    low, high = (float(bound) for bound in np.percentile(resampled, [100 * end for end in ends]))
    return low, high


def _place_of_each(labels: NDArray[np.int64], predictions: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """In which of the occupied cells each example stands `(N,)`."""
    places: NDArray[np.int64] = np.unique(np.asarray(labels) * classes + predictions, return_inverse=True)[1]
    return places


def _resampled_counts(place_of: NDArray[np.int64], kinds: int) -> Iterator[NDArray[np.int64]]:
    """Counts `(R, K)` in the cells of as many examples drawn with replacement, in batches."""
    rng, n = np.random.default_rng(BOOTSTRAP_SEED), len(place_of)
    batch = _batch(n, RESAMPLES)
    for start in range(0, RESAMPLES, batch):
        rows = min(batch, RESAMPLES - start)
        drawn = place_of[rng.integers(0, n, (rows, n))] + kinds * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * kinds).reshape(rows, kinds)


def _acceleration(of_cells: OfCells, cells: Cells) -> float:
    """Efron's a by the jackknife: all examples of a cell leave the same figure behind."""
    kinds, n = len(cells.counts), int(cells.counts.sum())
    left = np.empty(kinds)
    batch = _batch(kinds, kinds)
    for start in range(0, kinds, batch):
        rows = np.arange(start, min(start + batch, kinds))
        counts = np.repeat(cells.counts[None, :], len(rows), axis=0)
        counts[np.arange(len(rows)), rows] -= 1
        left[rows] = of_cells(cells, counts)
    moved = (cells.counts * left).sum() / n - left
    spread = (cells.counts * moved**2).sum()
    return float((cells.counts * moved**3).sum() / (6 * spread**1.5)) if spread > 0 else 0.0


def _batch(width: int, rows: int) -> int:
    """How many rows of `width` numbers are held at a time."""
    return max(1, min(rows, MOST_NUMBERS // width))
