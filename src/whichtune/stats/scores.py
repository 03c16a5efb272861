"""From predictions to one number an example, so that every metric meets the same tests.

Accuracy and loss are means over examples. Macro F1 is not, nor are other functions of the confusion matrix, so they
are linearised: each example gets the metric plus its influence on it (Hampel 1974; the infinitesimal jackknife). The
mean of these is the metric itself, and their spread is its test-set noise, to first order. `docs/statistics.md` has
the simulation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whichtune.metrics import Metric
from whichtune.metrics.confusion import confusion
from whichtune.metrics.terms import Terms

FloatArray = NDArray[np.float64]
SLOPE_STEP = 1e-5  # of a total


@dataclass(frozen=True)
class Scores:
    """A method's figures on one test set, seed by seed.

    `values (S, E)` has one number a seed and example whose mean over examples is the metric of that
    seed; `weight` is how much one example can count (1 for accuracy, more where macro F1 rests on a
    rare class), None where that has no bound (loss), and `reach` then how far two methods can be apart. Of splits of
    their own `values (S, 2)` has each split's figure twice, and `stretch` is how far they are set apart
    (`split_scores`).
    """

    values: FloatArray
    weight: float | None
    stretch: float | None = None
    reach: float = 1.0

    @property
    def constant(self) -> bool:
        """True where every seed has the same scores on every example."""
        return bool((self.values == self.values[0]).all())

    @property
    def per_seed(self) -> FloatArray:
        means: FloatArray = self.values.mean(axis=1)
        return means

    @property
    def shown(self) -> FloatArray:
        """The seeds' figures `(S,)` as they were seen."""
        means = self.per_seed
        if self.stretch is None:
            return means
        seen: FloatArray = np.round(means.mean() + (means - means.mean()) / self.stretch, 14)
        return seen


def split_scores(figures: FloatArray, test_by_train: float) -> Scores:
    """Scores of a method on splits of one data set, a figure each: `figures (S,)`.

    The splits share examples, so their figures resemble each other and vary less than the method does from data set to
    data set: the variance of their mean is (1/S + n_test/n_train) times that of the figures and not 1/S times (Nadeau
    and Bengio 2003). Figures are set apart from their mean by the square root of 1 + S n_test/n_train, by which what is
    computed of them as if they were independent comes out so. It is linear, so a difference of two methods comes out as
    its own figures' would.
    """
    stretch = float(np.sqrt(1 + len(figures) * test_by_train))
    apart = figures.mean() + stretch * (figures - figures.mean())
    return Scores(np.repeat(apart[:, None], 2, axis=1), None, stretch)


def class_scores(metric: Metric, labels: NDArray[np.int64], predictions: NDArray[np.int64], classes: int) -> Scores:
    """Scores of one method that names classes: `labels (E,)`, `predictions (S, E)`."""
    predictions = np.atleast_2d(predictions)
    if metric.resampling == "proportion":
        return Scores((predictions == labels).astype(np.float64), 1.0)
    return _linearised(metric, labels, predictions, classes)


def loss_scores(losses: FloatArray) -> Scores:
    """Scores of a loss that each example has one of: `losses (S, E)`. Raises ValueError where some are missing."""
    if not np.isfinite(losses).all():
        raise ValueError("the loss of some example is missing")
    return Scores(np.atleast_2d(losses).astype(np.float64), None)


def figure_scores(values: FloatArray, weight: float | None = None) -> Scores:
    """Scores of a figure that each example has by itself, `values (S, E)`, such as ROUGE; `weight` where one is known.

    A difference is spread over many examples here, and not carried by the few that are right and wrong: what one
    example can count needs no bound of its own.
    """
    return Scores(np.atleast_2d(values).astype(np.float64), weight)


def most_of_one(values: FloatArray) -> float:
    """What one example can count, of shares `values (S, E)` with their influences: how far apart two examples are, as a
    rightly chosen rare label and a missed one; 1 at least, as of a share of right answers."""
    return max(1.0, float(np.ptp(np.atleast_2d(values), axis=1).max()))


def cost_scores(values: FloatArray, terms: Terms) -> Scores:
    """Scores of what each answer costs, `values (S, E)`: none more than the dearest mistake."""
    most = max((cost for row in terms.costs or () for cost in row), default=0.0)
    return Scores(np.atleast_2d(values).astype(np.float64), most or None, reach=most or 1.0)


def ratio_scores(sums: FloatArray, counts: FloatArray) -> Scores:
    """Scores of a ratio of totals, such as the loss of a token: `sums (S, E)` by `counts (S, E)`.

    A ratio is no mean over examples, so it is linearised as macro F1 is: each example gets the ratio plus its
    influence on it. The mean of these is the ratio itself.
    """
    sums, counts = np.atleast_2d(sums), np.atleast_2d(counts).astype(np.float64)
    ratio = sums.sum(axis=1, keepdims=True) / counts.sum(axis=1, keepdims=True)
    influence = (sums - ratio * counts) / counts.mean(axis=1, keepdims=True)
    return Scores(ratio + influence, None)


def total_scores(metric: Metric, parts: FloatArray) -> FloatArray:
    """Scores `(E,)` of a metric of totals, to which each example adds `parts (E, K)`: the metric plus the example's
    influence on it, by the slope in each total."""
    assert metric.of_totals is not None
    totals = parts.sum(axis=0)
    steps = np.diag(np.maximum(np.abs(totals), 1.0) * SLOPE_STEP)
    rise = metric.of_totals(totals + steps) - metric.of_totals(np.maximum(totals - steps, 0.0))
    slopes = rise / (np.diag(steps) + np.minimum(np.diag(steps), totals))
    found: FloatArray = float(metric.of_totals(totals)) + len(parts) * ((parts - parts.mean(axis=0)) @ slopes)
    return found


def _linearised(metric: Metric, labels: NDArray[np.int64], predictions: NDArray[np.int64], classes: int) -> Scores:
    rows, weights = [], []
    for row in predictions:
        counts = confusion(labels, row, classes)
        influence = metric.influence_of(counts)
        rows.append(metric.of_classes(labels, row, classes) + influence[labels, row])
        seen = counts.sum(axis=1) > 0
        weights.append(float(np.abs(np.diag(influence)[:, None] - influence)[seen].max()))
    return Scores(np.stack(rows), max(weights))
