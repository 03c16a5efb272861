"""From which probability on each label is chosen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

EVEN = 0.5


def best_thresholds(probabilities: NDArray[np.float64], targets: NDArray[np.bool_]) -> NDArray[np.float64]:
    """For each label the threshold (L,) with its best F1 on these texts: probabilities (n, L) and targets (n, L).

    Labels are apart in macro F1, so the thresholds are those of the best macro F1, too. It stands midway between two
    texts' probabilities; of several as good, the one nearest to 0.5. A label that no text has keeps 0.5.
    """
    found = np.full(targets.shape[1], EVEN)
    for label in np.flatnonzero(targets.any(axis=0)):
        found[label] = _best_threshold(probabilities[:, label], targets[:, label])
    return found


def _best_threshold(scores: NDArray[np.float64], targets: NDArray[np.bool_]) -> float:
    order = np.argsort(-scores, kind="stable")
    scores = scores[order]
    right = np.cumsum(targets[order])
    last = np.append(scores[1:] < scores[:-1], True)  # equal probabilities are chosen together
    chosen = np.flatnonzero(last)
    f1 = 2 * right[chosen] / (chosen + 1 + right[-1])
    above, below = scores[chosen], np.append(scores[1:], 0.0)[chosen]
    middle = (above + below) / 2
    middle = np.where(middle > below, middle, above)  # two neighbours among the numbers have none between them
    best = np.flatnonzero(f1 >= f1.max() - 1e-12)
    return float(middle[best[np.abs(middle[best] - EVEN).argmin()]])
