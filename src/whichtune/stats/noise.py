"""How much a difference varies from seed to seed, estimated from a pair with the help of its study.

A pair of two methods with 3 seeds has 2 degrees of freedom of its own, too few to show anything; all methods of a
study together have many. What is borrowed and what is not: `docs/statistics.md`, with the simulated error rates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whichtune.stats.squares import MeanSquares

FloatArray = NDArray[np.float64]

# A method this much noisier than a pair (99 % point of F) tells nothing about that pair's noise.
POOLING_LEVEL = 0.99
# Seed noise is taken for at least half a point: fewer seeds than that can be told from none by chance alone.
FLOOR_SD = 0.005
# From so many seeds on, degrees of freedom are Welch's; with fewer that form is too bold (8.5 to 9.2 % false claims).
WELCH_SEEDS = 5


@dataclass(frozen=True)
class SeedNoise:
    """Variance of one seed's mean difference (residual included), and its degrees of freedom."""

    variance: FloatArray
    df: FloatArray


@dataclass(frozen=True)
class Prior:
    """What is believed of seed noise before any seed is seen: a standard deviation, worth so many degrees of freedom.

    Without it one seed says nothing of another. Its weight falls as seeds come.
    """

    sd: float = 0.01
    df: float = 4.0


NO_SEED_SEEN = Prior()


def own_noise(squares: MeanSquares) -> SeedNoise:
    """Seed noise from the pair alone: n_seeds - 1 degrees of freedom, at least the residual's share."""
    variance = np.maximum(squares.seed, squares.residual) / squares.n_examples
    return SeedNoise(variance, np.full_like(variance, squares.n_seeds - 1))


def average_variance(
    variances: ArrayLike, degrees: ArrayLike, n_seeds: int, prior: Prior | None = None
) -> tuple[FloatArray, FloatArray]:
    """The average of variances over seeds `(..., K)`, weighted by their `degrees (..., K)`, and its degrees of
    freedom; both zero where nothing has a weight.

    Degrees of freedom are Welch's (1947) from five seeds on, `(sum nu s^2)^2 / sum[nu^2 s^4 / (nu + 2)] - 2`, which
    is unbiased where Satterthwaite's (1946) comes out low; with fewer seeds Satterthwaite's. A `prior` counts as one
    more method.
    """
    s2, nu = np.broadcast_arrays(np.asarray(variances, dtype=np.float64), np.asarray(degrees, dtype=np.float64))
    if prior is not None:
        lead = s2.shape[:-1]
        s2 = np.concatenate([s2, np.full((*lead, 1), prior.sd**2)], axis=-1)
        nu = np.concatenate([nu, np.full((*lead, 1), prior.df)], axis=-1)
    weight, total = nu.sum(axis=-1), (nu * s2).sum(axis=-1)
    average = np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)
    if n_seeds >= WELCH_SEEDS:
        spread = (nu**2 * s2**2 / (nu + 2)).sum(axis=-1)
        df = np.divide(total**2, spread, out=np.zeros_like(total), where=spread > 0) - 2
    else:
        spread = (nu * s2**2).sum(axis=-1)
        df = np.divide(total**2, spread, out=np.zeros_like(total), where=spread > 0)
    return average, np.minimum(df, weight)


def seed_noise(
    squares: MeanSquares,
    own: ArrayLike,
    sides: ArrayLike,
    study: ArrayLike,
    study_df: ArrayLike,
    floor: float = FLOOR_SD,
    prior: Prior | None = None,
) -> SeedNoise:
    """Seed noise of a pair, with the help of the study's other methods.

    `own (..., 2)` and `study (..., K)` are variances of the score over seeds, of the pair's two methods
    (0 for one that draws nothing) and of all methods of the study; `sides (...)` is how many of the two
    draw anything; `study_df (K,)` their seeds less one. The variance is the largest of the pair's own, the sum of its
    two methods', the study's average for so many methods, and `floor` (a standard deviation) for each that draws,
    beside the residual. Methods much noisier than the pair are left out of the average.
    """
    alone = own_noise(squares)
    own, sides = np.asarray(own, dtype=np.float64), np.asarray(sides)
    kept = kept_degrees(squares, own, sides, study, study_df)
    average, df = average_variance(study, kept, squares.n_seeds, prior)
    least = sides * floor**2 + squares.residual / squares.n_examples
    variance = np.maximum.reduce([alone.variance, own.sum(axis=-1), sides * average, least])
    return SeedNoise(variance, np.maximum(df, alone.df))


def kept_degrees(
    squares: MeanSquares, own: ArrayLike, sides: ArrayLike, study: ArrayLike, study_df: ArrayLike
) -> FloatArray:
    """Degrees of freedom `(..., K)` of the study's methods, 0 for those that are much noisier than the pair, so that
    one run that collapsed does not make everything undecided."""
    own, weight = np.asarray(own, dtype=np.float64), np.asarray(study_df, dtype=np.float64)
    scale = np.maximum(own.max(axis=-1), squares.residual / squares.n_examples / np.maximum(sides, 1))
    quiet = quiet_enough(study, weight, scale[..., None], squares.n_seeds - 1)
    kept: FloatArray = np.where(quiet, weight, 0.0)
    return kept


def quiet_enough(study: ArrayLike, study_df: ArrayLike, variance: ArrayLike, df: int) -> NDArray[np.bool_]:
    """Which of the study's variances are not much above `variance`, that has `df` degrees of freedom."""
    from scipy.stats import f

    study = np.asarray(study, dtype=np.float64)
    if df < 1:
        return np.ones(study.shape, dtype=bool)
    limit = f.ppf(POOLING_LEVEL, np.maximum(study_df, 1), df)
    found: NDArray[np.bool_] = study <= limit * np.asarray(variance)
    return found
