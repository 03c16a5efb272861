"""What a test set and a number of seeds could have shown, and what a smaller difference would need.

All answers are for a chance of 80 % (`POWER`) to show a true difference, two-sided at `alpha`. They plug
in the noise that was measured, so they are forecasts: simulated, the chance is 65 to 80 %, because a worse
method is also a noisier one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

POWER = 0.8
MOST_EXAMPLES = 10_000_000
MOST_SEEDS = 1_000


@dataclass(frozen=True)
class Noise:
    """Variances of one difference: between seeds, between examples (shared by all seeds), and the rest.

    `df_per_seed` is how many degrees of freedom each seed beyond the first gives to the seed variance.
    """

    seed: float
    example: float
    residual: float
    df_per_seed: float = 1.0


def detectable_crossed(noise: Noise, n_seeds: int, n_examples: int, alpha: float = 0.05) -> float:
    """Smallest true difference that the crossed test shows with probability `POWER`."""
    from whichtune.stats.crossed import Reference

    reference = Reference(
        np.asarray((noise.seed + noise.residual / n_examples) / n_seeds),
        np.asarray(noise.example / n_examples),
        np.asarray(noise.df_per_seed * (n_seeds - 1)),
        n_examples - 1,
    )
    return float(reference.quantile(alpha / 2) + reference.quantile(1 - POWER))


def detectable_paired(discordant: float, n: int, alpha: float = 0.05) -> float:
    """Smallest true difference that a McNemar test of two trained models shows with probability `POWER`.

    `discordant` is the share of examples that just one of the two answers rightly (Miettinen 1968;
    Connor 1987). Never below the smallest count that the test can call a difference at all.
    """
    from scipy.optimize import brentq
    from scipy.stats import norm

    fewest = math.ceil(math.log(alpha) / math.log(0.5)) / n
    critical, reach = float(norm.isf(alpha / 2)), float(norm.isf(1 - POWER))

    def short(difference: float) -> float:
        share = max(discordant, difference)
        need = critical * math.sqrt(share) + reach * math.sqrt(max(share - difference**2, 0.0))
        return difference * math.sqrt(n) - need

    if short(1.0) < 0:
        return 1.0
    return max(float(brentq(short, 1e-9, 1.0)), fewest)


def detectable_mean(variance: float, n: int, alpha: float = 0.05) -> float:
    """The same for a paired mean (macro F1 or loss of two trained models), by the normal approximation."""
    from scipy.stats import norm

    return float((norm.isf(alpha / 2) + norm.isf(1 - POWER)) * math.sqrt(variance / n))


def smallest(enough: Callable[[int], bool], start: int, most: int) -> int | None:
    """The smallest whole number from `start` to `most` for which `enough` holds; None where none does.

    `enough` must hold for every number above one for which it holds.
    """
    if enough(start):
        return start
    low, high = start, start
    while not enough(high):
        if high >= most:
            return None
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def examples_needed(noise: Noise, n_seeds: int, difference: float, alpha: float = 0.05) -> int | None:
    """Test examples that would show `difference` with these seeds; None where no number would."""
    return smallest(lambda n: detectable_crossed(noise, n_seeds, n, alpha) <= difference, 10, MOST_EXAMPLES)


def seeds_needed(noise: Noise, n_examples: int, difference: float, alpha: float = 0.05) -> int | None:
    """Seeds that would show `difference` with this test set; None where no number would."""
    return smallest(lambda n: detectable_crossed(noise, n, n_examples, alpha) <= difference, 3, MOST_SEEDS)
