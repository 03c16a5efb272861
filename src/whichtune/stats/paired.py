"""Two trained models on one test set, from their paired answers.

`b` counts the examples that only the first answers rightly, `c` those that only the second does, `n`
all examples. These compare two trained models. They know nothing of seeds, so they say nothing about
the methods that trained them, and answers of several seeds must never be pooled into them.
"""

from __future__ import annotations

import math

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
        return float(1 - binom.pmf(low, n, 0.5))
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
