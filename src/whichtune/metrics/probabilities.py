"""Metrics of classes from their probabilities, and costs of mistakes, example by example.

Each gives `(n,)`: the metric plus the example's influence on it. The mean over examples is the metric itself, and the
spread is its test-set noise to first order (Hampel 1974), so that intervals and paired tests take every one of them as
a mean over examples. Brier score and cost are such means by themselves.

Of two classes and more alike, ranking metrics are means over the classes that some texts have and others have not, each
against all others. Classes are ranked by log-probabilities in float64, in which large logits do not tie.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from whichtune.metrics.terms import Classified, Terms

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
OfClass = Callable[[FloatArray, BoolArray], FloatArray]

MOST_BINS, LEAST_IN_BIN = 10, 20  # as on the report's page (`stats.calibration`)


def auroc(given: Classified, terms: Terms) -> FloatArray:
    """Area under the ROC curve: how often a text of the class has a higher probability of it than one of another.

    Influence: DeLong, DeLong and Clarke-Pearson (1988).
    """
    return _over_classes(given, _auroc)


def average_precision(given: Classified, terms: Terms) -> FloatArray:
    """Mean precision over the texts of the class, each at its own probability, as in scikit-learn."""
    return _over_classes(given, _average_precision)


def precision_at_recall(given: Classified, terms: Terms) -> FloatArray:
    """Precision at the highest threshold that has the recall: of the positive class, else the mean over classes."""
    if terms.positive is None:
        return _over_classes(given, lambda scores, own: _precision_at(scores, own, terms.recall))
    own = given.labels == terms.positive
    if own.all() or not own.any():
        return np.full(len(own), float(own.any()))
    return _precision_at(_log_shares(given)[:, terms.positive], own, terms.recall)


def brier(given: Classified, terms: Terms) -> FloatArray:
    """Half the squared distance of the probabilities from the truth (Brier 1950), from 0 to 1.

    Of two classes it is the squared error of the probability of either.
    """
    shares = np.exp(_log_shares(given))
    shares[np.arange(len(shares)), given.labels] -= 1.0
    distance: FloatArray = (shares**2).sum(axis=1) / 2
    return distance


def calibration_error(given: Classified, terms: Terms) -> FloatArray:
    """Expected calibration error: the mean gap between how sure answers are and how often they are right, over bins of
    equal counts (Naeini, Cooper and Hauskrecht 2015).

    Ten bins, fewer where one would have less than LEAST_IN_BIN texts; answers that are equally sure stand in one bin.
    """
    sure = np.exp(_log_shares(given).max(axis=1))
    gap = (given.predictions == given.labels) - sure
    place = bins_of(sure)
    sides = np.sign(np.bincount(place, weights=gap))[place]
    signed: FloatArray = sides * gap
    return signed


def bins_of(sure: FloatArray) -> NDArray[np.int64]:
    """The bin of each answer by how sure it is."""
    n = len(sure)
    count = max(1, min(MOST_BINS, n // LEAST_IN_BIN))
    edges = np.linspace(0, n, count + 1).round().astype(np.int64)
    firsts = np.sort(sure)[edges[1:-1]]  # the least sure answer of each bin but the first
    found: NDArray[np.int64] = np.searchsorted(np.unique(firsts), sure, side="right")
    return found


def cost_of_mistakes(given: Classified, terms: Terms) -> FloatArray:
    """What each answer costs by the study's matrix."""
    assert terms.costs is not None
    table = np.array(terms.costs)
    found: FloatArray = table[given.labels, given.predictions]
    return found


# -- one class against all others ------------------------------------------------------------------------


def _over_classes(given: Classified, of_class: OfClass) -> FloatArray:
    """The mean over the classes that some texts have and others have not; 0 where there is none."""
    scores, total, classes = _log_shares(given), np.zeros(len(given.labels)), 0
    for place in range(given.classes):
        own = given.labels == place
        if own.any() and not own.all():
            total += of_class(scores[:, place], own)
            classes += 1
    return total / max(1, classes)


def _auroc(scores: FloatArray, own: BoolArray) -> FloatArray:
    inside, outside = np.sort(scores[own]), np.sort(scores[~own])
    values = np.empty(len(scores))
    values[own] = _share_below(outside, scores[own])
    values[~own] = 1 - _share_below(inside, scores[~own])
    area = values[own].mean()
    size = np.where(own, own.mean(), 1 - own.mean())
    found: FloatArray = area + (values - area) / size
    return found


def _share_below(ordered: FloatArray, values: FloatArray) -> FloatArray:
    """The share of `ordered` that is below each value, half of what is equal counted."""
    below = np.searchsorted(ordered, values, side="left") + np.searchsorted(ordered, values, side="right")
    found: FloatArray = below / (2 * len(ordered))
    return found


def _average_precision(scores: FloatArray, own: BoolArray) -> FloatArray:
    n, inside = len(scores), own.sum()
    levels, place = np.unique(-scores, return_inverse=True)
    right = np.bincount(place, weights=own, minlength=len(levels))
    hits, all_in = np.cumsum(right), np.cumsum(np.bincount(place, minlength=len(levels)))
    precision = hits / all_in
    value = float((right * precision).sum() / inside)
    # What one more text above each threshold changes there, summed over the thresholds below the text.
    more_own = np.cumsum((right * (1 - precision) / all_in)[::-1])[::-1]
    more_other = np.cumsum((right * precision / all_in)[::-1])[::-1]
    influence = np.where(own, precision[place] - value + more_own[place], -more_other[place]) * n / inside
    found: FloatArray = value + influence
    return found


def _precision_at(scores: FloatArray, own: BoolArray, recall: float) -> FloatArray:
    """The threshold is a quantile of the scores of the class's own texts, so that the influence knows how fast others
    pass it there: the slope of the ROC curve, over a window around the recall."""
    n, inside = len(scores), np.sort(scores[own])[::-1]
    last = max(1, int(np.ceil(recall * len(inside) - 1e-9)))
    threshold = inside[last - 1]
    passed = scores >= threshold
    hits, wrong = float((passed & own).sum()) / n, float((passed & ~own).sum()) / n
    share, reached = len(inside) / n, float((passed & own).sum()) / len(inside)
    precision = hits / (hits + wrong)
    slope = _roc_slope(np.sort(scores[~own])[::-1], inside, recall)
    # False alarms at a recall r: the share of other texts at the threshold, moved by what moves the threshold.
    alarms = wrong / (1 - share)
    moved = np.where(own, slope * (reached - passed) / share, (passed - alarms) / (1 - share))
    # precision = r s / (r s + a (1 - s)), with s the share of the class and a the false alarms.
    whole = (hits + wrong) ** 2
    by_share = reached * alarms / whole
    by_alarms = -reached * share * (1 - share) / whole
    found: FloatArray = precision + by_share * (own - share) + by_alarms * moved
    return found


def _roc_slope(outside: FloatArray, inside: FloatArray, recall: float) -> float:
    """How many more of the others pass for one more of the class's own, at a recall; scores fall."""
    half = min(0.5, len(inside) ** (-1 / 3)) / 2
    low, high = max(0.0, recall - half), min(1.0, recall + half)
    ends = [inside[min(len(inside) - 1, max(0, int(np.ceil(end * len(inside))) - 1))] for end in (low, high)]
    passed = [np.searchsorted(-outside, -end, side="right") / len(outside) for end in ends]
    return float((passed[1] - passed[0]) / (high - low))


def _log_shares(given: Classified) -> FloatArray:
    """Logarithms of the probabilities `(n, C)`."""
    assert given.logits is not None
    logits = np.asarray(given.logits, dtype=np.float64)
    shifted = logits - logits.max(axis=1, keepdims=True)
    found: FloatArray = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return found
