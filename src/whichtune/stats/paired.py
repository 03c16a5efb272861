"""Two trained models on one test set, from their paired answers.

`b` counts the examples that only the first answers rightly, `c` those that only the second does, `n`
all examples. These compare two trained models. They know nothing of seeds, so they say nothing about
the methods that trained them, and answers of several seeds must never be pooled into them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whichtune.stats.intervals import Interval, wilson


def _check(b: int, c: int, n: int) -> None:
    if min(b, c) < 0 or b + c > n or n < 1:
        raise ValueError(f"{b} and {c} of {n} are not counts of discordant pairs")


def mcnemar_midp(b: int, c: int) -> float:
    """Mid-p McNemar test, two-sided (Fagerland, Lydersen and Laake 2013). 1.0 with no discordant pair."""
    from scipy.stats import binom

    if b + c == 0:
        return 1.0
    low, n = min(b, c), b + c
    if b == c:
        return float(1 - binom.pmf(low, n, 0.5) / 2)
    return float(2 * binom.cdf(low, n, 0.5) - binom.pmf(low, n, 0.5))


def newcombe_paired(both: int, b: int, c: int, neither: int, level: float = 0.95) -> Interval:
    """Newcombe's interval of a paired difference of proportions (1998b, method 10)."""
    n = both + b + c + neither
    _check(b, c, n)
    first, second = (both + b) / n, (both + c) / n
    low1, high1 = wilson(both + b, n, level)
    low2, high2 = wilson(both + c, n, level)
    margins = (both + b) * (c + neither) * (both + c) * (b + neither)
    phi = 0.0
    if margins > 0:
        product = float(both * neither - b * c)
        if product > 0:
            product = max(product - n / 2, 0.0)
        phi = product / math.sqrt(margins)
    down1, up1, down2, up2 = first - low1, high1 - first, second - low2, high2 - second
    lower = math.sqrt(max(down1**2 - 2 * phi * down1 * up2 + up2**2, 0.0))
    upper = math.sqrt(max(up1**2 - 2 * phi * up1 * down2 + down2**2, 0.0))
    return first - second - lower, first - second + upper


def tango_z(b: int, c: int, n: int, difference: float) -> float:
    """Tango's score statistic (1998) of the hypothesis that the true paired difference is `difference`.

    Positive where the observed difference (b - c) / n is the larger. The variance is the one that the
    hypothesis itself implies, so it stays honest with few or no discordant pairs.
    """
    _check(b, c, n)
    linear = -b - c + (2 * n - b + c) * difference
    constant = -c * difference * (1 - difference)
    q21 = (math.sqrt(max(linear**2 - 8 * n * constant, 0.0)) - linear) / (4 * n)
    variance = n * (2 * q21 + difference * (1 - difference))
    distance = b - c - n * difference
    if variance <= 0:
        return 0.0 if distance == 0 else math.copysign(math.inf, distance)
    return distance / math.sqrt(variance)


def tango_interval(b: int, c: int, n: int, level: float = 0.95) -> Interval:
    """Tango's score interval (1998) of the paired difference: the differences its test does not reject."""
    from scipy.optimize import brentq
    from scipy.stats import norm

    _check(b, c, n)
    z, observed = float(norm.ppf(0.5 + level / 2)), (b - c) / n
    edge = 1 - 1e-12

    def bound(end: float, target: float) -> float:
        if observed == end or (tango_z(b, c, n, end) - target) * (0 - target) > 0:
            return math.copysign(1.0, end)
        return float(brentq(lambda d: tango_z(b, c, n, d) - target, *sorted((observed, end)), xtol=1e-12))

    return bound(-edge, z), bound(edge, -z)


def tango_p_above(b: int, c: int, n: int, difference: float) -> float:
    """One-sided p of "the true difference is at most `difference`": small where it is shown to be above."""
    from scipy.stats import norm

    return float(norm.sf(tango_z(b, c, n, difference)))


def shown_different(b: int, c: int, n: int) -> tuple[float, Interval]:
    """Two-sided p and 95 % interval that never contradict each other.

    A difference is shown where the mid-p and the score test both show it: p is the larger of the two, and Tango's
    interval is stretched to zero where the mid-p test alone leaves zero open.
    """
    from scipy.stats import norm

    p = max(mcnemar_midp(b, c), 2 * float(norm.sf(abs(tango_z(b, c, n, 0.0)))))
    low, high = tango_interval(b, c, n, 0.95)
    return (p, (low, high)) if p <= 0.05 else (p, (min(low, 0.0), max(high, 0.0)))


@dataclass(frozen=True)
class MeanTest:
    """A t test of a mean difference over n examples, with its interval by inversion.

    `weight` is what one example can count: a true difference d that a few examples carry leaves at least
    |d| (weight - |d|) / n of noise, whether or not this test set holds any of them (`crossed.CrossedTest`).
    """

    mean: float
    variance: float  # of the mean
    n: int
    weight: float | None
    reach: float = 1.0  # the largest difference there can be, where `weight` says what one example can count

    @classmethod
    def of(cls, differences: NDArray[np.float64], weight: float | None, reach: float = 1.0) -> MeanTest:
        n = len(differences)
        return cls(float(differences.mean()), float(differences.var(ddof=1)) / n, n, weight, reach)

    def p_difference(self) -> float:
        return min(1.0, 2 * min(self.p_above(0.0), self.p_below(0.0)))

    def p_above(self, bound: float) -> float:
        """One-sided p of "the true difference is at most `bound`"."""
        return self._one_sided(self.mean, bound)

    def p_below(self, bound: float) -> float:
        """One-sided p of "the true difference is at least `bound`"."""
        return self._one_sided(-self.mean, -bound)

    def p_equivalence(self, margin: float) -> float:
        return max(self.p_above(-margin), self.p_below(margin))

    def interval(self, level: float) -> Interval | None:
        """The differences that are not rejected at `1 - level`; None where all examples differ alike."""
        from scipy.optimize import brentq

        if self.variance <= 0:
            return None
        tail = (1 - level) / 2

        def end(side: float) -> float:
            mean, step = side * self.mean, math.sqrt(self.variance)
            while self._one_sided(-mean, -(mean + step)) > tail:
                step *= 2
            return side * float(brentq(lambda at: self._one_sided(-mean, -at) - tail, mean, mean + step, xtol=1e-12))

        low, high = end(-1.0), end(1.0)
        most = math.inf if self.weight is None else self.reach
        return max(low, -most), min(high, most)

    def _one_sided(self, mean: float, bound: float) -> float:
        p = self._beyond(mean, bound)
        if self.weight is None:
            return p
        other = -max(mean * self.weight / (self.weight + 2 * max(mean, 0.0)), 0.0)
        return max(p, self._beyond(mean, min(other, bound)))

    def _beyond(self, mean: float, true: float) -> float:
        from scipy.stats import t

        size = 0.0 if self.weight is None else min(abs(true), self.weight)
        floor = 0.0 if self.weight is None else size * (self.weight - size) / self.n
        spread = math.sqrt(max(self.variance, floor))
        return (
            float(t.sf((mean - true) / spread, self.n - 1))
            if spread > 0
            else (0.5 if mean == true else float(mean < true))
        )
