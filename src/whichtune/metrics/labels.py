"""Metrics of sets of labels, example by example: the metric plus the example's influence on it.

The mean over examples is the metric itself, and the spread is its test-set noise to first order (Hampel 1974), as of
numbers (`metrics.numbers`). Each is given what was chosen (E, L) bool, the labels' probabilities (E, L), and the true
labels (E, L) bool, and gives (E,). Labels that occur neither as true nor as chosen are left out of macro F1, and those
without a true text out of mean average precision: a split says nothing of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


def probabilities_of(logits: NDArray[np.floating]) -> FloatArray:
    """Probabilities of logits, each label by itself. Logits are taken as float32, as they are recorded."""
    from scipy.special import expit

    found: FloatArray = expit(np.asarray(logits, dtype=np.float32).astype(np.float64))
    return found


def as_indicators(places: Sequence[Sequence[int]], labels: int) -> BoolArray:
    """(E, L) bool of lists of labels' places."""
    found = np.zeros((len(places), labels), dtype=bool)
    for row, given in enumerate(places):
        found[row, [int(place) for place in given]] = True
    return found


def hamming_loss(chosen: BoolArray, probabilities: FloatArray, targets: BoolArray) -> FloatArray:
    """The share of the labels that are wrong of each text: given and not true, or true and not given."""
    found: FloatArray = (chosen != targets).mean(axis=1)
    return found


def subset_accuracy(chosen: BoolArray, probabilities: FloatArray, targets: BoolArray) -> FloatArray:
    """1 where exactly the true labels were chosen."""
    found: FloatArray = (chosen == targets).all(axis=1).astype(np.float64)
    return found


def f1_samples(chosen: BoolArray, probabilities: FloatArray, targets: BoolArray) -> FloatArray:
    """Each text's F1; 1 where it has no label and none was chosen."""
    mentions = chosen.sum(axis=1) + targets.sum(axis=1)
    right = 2.0 * (chosen & targets).sum(axis=1)
    found: FloatArray = np.divide(right, mentions, out=np.ones(len(targets)), where=mentions > 0)
    return found


def f1_micro(chosen: BoolArray, probabilities: FloatArray, targets: BoolArray) -> FloatArray:
    """F1 of all decisions together; 0 where no label is true or chosen anywhere."""
    right = 2.0 * (chosen & targets).sum(axis=1, keepdims=True)
    mentions = (chosen.sum(axis=1) + targets.sum(axis=1)).astype(np.float64)[:, None]
    return ratios(right, mentions)


def f1_macro(chosen: BoolArray, probabilities: FloatArray, targets: BoolArray) -> FloatArray:
    """The mean over labels of each one's F1."""
    return ratios(2.0 * (chosen & targets).astype(np.float64), chosen.astype(np.float64) + targets)


def mean_average_precision(chosen: BoolArray, probabilities: FloatArray, targets: BoolArray) -> FloatArray:
    """The mean over labels of the average precision of ranking texts by the label's probability."""
    occurs = np.flatnonzero(targets.any(axis=0))
    if not len(occurs):
        return np.zeros(len(targets))
    each = [average_precision(probabilities[:, label], targets[:, label]) for label in occurs]
    found: FloatArray = np.mean(each, axis=0)
    return found


def average_precision(scores: FloatArray, targets: BoolArray) -> FloatArray:
    """Average precision of scores and targets (E,), some of which are true, with each example's influence on it.

    It is E[y A(s) / B(s)] / E[y], where B(t) is the share of scores of t or more and A(t) that of true ones among all;
    an example moves its own term, and A and B of all that score no more than it.
    """
    n, true = len(scores), targets.astype(np.float64)
    _, place = np.unique(scores, return_inverse=True)
    count, hits = np.bincount(place).astype(np.float64), np.bincount(place, weights=true)
    above = np.cumsum(count[::-1])[::-1] / n
    right = np.cumsum(hits[::-1])[::-1] / n
    precision = right / above
    share = true.mean()
    total = float((hits * precision).sum()) / n
    if share == 0:
        return np.zeros(n)
    gained = np.cumsum(hits / above) / n  # of those that score no more: what one more true text adds to their precision
    lost = np.cumsum(hits * precision / above) / n
    influence = true * (precision[place] + gained[place]) - lost[place] - total
    value = total / share
    found: FloatArray = value + influence / share - value / share * (true - share)
    return found


def counts_by_label(chosen: BoolArray, targets: BoolArray) -> NDArray[np.int64]:
    """(L, 3): of each label how often it was rightly chosen, wrongly chosen, and missed."""
    parts = [chosen & targets, chosen & ~targets, ~chosen & targets]
    found: NDArray[np.int64] = np.stack([part.sum(axis=0) for part in parts], axis=1).astype(np.int64)
    return found


def ratios(parts: FloatArray, wholes: FloatArray) -> FloatArray:
    """The mean over columns of the ratio of sums, of those columns whose whole is not 0, with each row's influence."""
    sums = wholes.sum(axis=0)
    parts, wholes, sums = parts[:, sums > 0], wholes[:, sums > 0], sums[sums > 0]
    if not len(sums):
        return np.zeros(len(parts))
    ratio = parts.sum(axis=0) / sums
    found: FloatArray = (ratio + (parts - ratio * wholes) * len(parts) / sums).mean(axis=1)
    return found
