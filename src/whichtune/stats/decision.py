"""What choosing a row costs: regret, the answer to "which should I use?" that a test of differences does not give.

The regret of a row is how much better the best row truly is. All rows are seen on the same test examples, each over
its own seeds; what is unknown of their true means are the seeds' part, a t for each row, and the examples' part, shared
between rows. With little data the seeds' part carries a stated prior (`noise.Prior`). Everything is on the metric's
own scale with more as better, and takes leading axes for many studies at once. `docs/statistics.md` has the formulas
and the simulated error rates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

DRAWS = 4000
# What rows of a study usually differ by, in truth: the scale of a half-Cauchy, 2 points.
SPREAD_SCALE = 0.02
SPREAD_STEPS = 40
DRAW_SEED = 20241


@dataclass(frozen=True)
class Standing:
    """What is known of K rows: arrays `(..., K)`, of pairs `(..., K, K)`.

    `seed_variance` is that of a row's mean over its seeds and `seed_df` its degrees of freedom (0 and any for a row
    that draws nothing); `run_variance` that of one more run; `example` the variance of a pair's difference by the
    choice of test examples; `pair_seed` and `pair_df` the seeds' part of a pair's difference, taken more carefully.
    """

    mean: FloatArray
    seed_variance: FloatArray
    seed_df: FloatArray
    run_variance: FloatArray
    example: FloatArray
    pair_seed: FloatArray
    pair_df: FloatArray


def regret_bounds(standing: Standing, level: float = 0.95) -> FloatArray:
    """`(..., K)`: with chance `level`, choosing the row costs at most so much."""
    from scipy.stats import t

    spread = np.sqrt(standing.pair_seed + standing.example)
    reach = t.ppf(level, np.maximum(standing.pair_df, 1.0)) * spread
    ahead = standing.mean[..., None, :] - standing.mean[..., :, None] + reach
    same = np.eye(standing.mean.shape[-1], dtype=bool)
    bounds: FloatArray = np.maximum(np.where(same, 0.0, ahead).max(axis=-1), 0.0)
    return bounds


def posterior_means(standing: Standing, draws: int = DRAWS, seed: int = DRAW_SEED) -> FloatArray:
    """Draws `(..., D, K)` of the rows' true means given what was seen, under a flat prior for the means."""
    rng = np.random.default_rng(seed)
    lead, rows = standing.mean.shape[:-1], standing.mean.shape[-1]
    normal = rng.standard_normal((draws, rows))
    chi2 = rng.chisquare(np.maximum(standing.seed_df, 1.0)[..., None, :], (*lead, draws, rows))
    scatter = normal * np.sqrt(np.maximum(standing.seed_df, 1.0)[..., None, :] / chi2)
    scatter = scatter * np.sqrt(standing.seed_variance)[..., None, :]
    shared = rng.standard_normal((draws, rows)) @ np.swapaxes(_root(centred(standing.example)), -1, -2)
    return standing.mean[..., None, :] + scatter + shared


def regret_of_texts(standing: Standing, worlds: int = 200, draws: int = 400, seed: int = DRAW_SEED) -> float:
    """The least expected regret if the rows' means over seeds were known: a mean over what these may turn out to be.
    What is left is the test set's, which no seed can take away."""
    rng = np.random.default_rng(seed)
    rows = len(standing.mean)
    df = np.maximum(standing.seed_df, 1.0)
    scatter = rng.standard_normal((worlds, rows)) * np.sqrt(df / rng.chisquare(df, (worlds, rows)))
    means = standing.mean + scatter * np.sqrt(standing.seed_variance)
    shared = rng.standard_normal((draws, rows)) @ _root(centred(standing.example)).T
    drawn = means[:, None, :] + shared
    return float(regrets(drawn).mean(axis=1).min(axis=1).mean())


def centred(example: FloatArray) -> FloatArray:
    """Covariance `(..., K, K)` of the rows' means by the choice of examples, from variances of their differences: that
    of the means less their average, which is all that differences tell (Torgerson 1952)."""
    rows = example.shape[-1]
    centre = np.eye(rows) - 1 / rows
    found: FloatArray = -0.5 * centre @ example @ centre
    return found


def _root(covariance: FloatArray) -> FloatArray:
    """A square root `(..., K, K)`; what rounding or estimation leaves below zero is cut."""
    values, vectors = np.linalg.eigh(covariance)
    root: FloatArray = vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :]
    return root


def regrets(drawn: FloatArray) -> FloatArray:
    """Regret of each row in each draw, `(..., D, K)`."""
    best: FloatArray = drawn.max(axis=-1, keepdims=True) - drawn
    return best


def choose(expected: FloatArray, costs: ArrayLike, margin: float) -> NDArray[np.int64]:
    """`(...)`: the cheapest row whose expected regret `(..., K)` is at most the margin, else the row with the least.

    `costs (..., K)`; a row of infinite cost is never the cheapest. Among equal costs the least regret decides.
    """
    costs = np.broadcast_to(np.asarray(costs, dtype=np.float64), expected.shape)
    enough = (expected <= margin) & np.isfinite(costs)
    cheapest = np.where(enough, costs, np.inf)
    tied = cheapest == cheapest.min(axis=-1, keepdims=True)
    by_cost = np.where(tied & enough, expected, np.inf).argmin(axis=-1)
    found: NDArray[np.int64] = np.where(enough.any(axis=-1), by_cost, expected.argmin(axis=-1))
    return found


def new_run_ahead(standing: Standing, spread_scale: float = SPREAD_SCALE) -> FloatArray:
    """`(..., K, K)`: the chance that a new run of row i is truly better than a new run of row j, on texts to come.

    Differences are shrunk towards zero by as much as the rows' means scatter by chance, against how much they differ
    in truth; unshrunk, the row that leads looks surer than it is. How much they differ is not known well from a few
    rows, so the chance is a mean over what it can be (`spread_weights`).
    """
    from scipy.special import stdtr

    gap = standing.mean[..., :, None] - standing.mean[..., None, :]
    unsure = standing.pair_seed + standing.example
    new = standing.run_variance[..., :, None] + standing.run_variance[..., None, :]
    df = np.maximum(standing.pair_df, 1.0)
    ahead = np.zeros_like(gap)
    for between, weight in spread_weights(standing, spread_scale):
        total = between + unsure / 2
        kept = np.divide(between, total, out=np.ones_like(total), where=total > 0)
        spread = np.sqrt(new + kept * unsure)
        ratio = np.divide(kept * gap, spread, out=1e6 * np.sign(gap), where=spread > 0)
        ahead += weight[..., None, None] * stdtr(df, np.clip(ratio, -1e6, 1e6))
    return ahead


def spread_weights(standing: Standing, scale: float) -> Iterator[tuple[float, FloatArray]]:
    """Variances between true means, each with its weight `(...)` given the rows' means: a normal likelihood under a
    half-Cauchy prior of the given scale for the standard deviation (Gelman 2006)."""
    rows = standing.mean.shape[-1]
    other = ~np.eye(rows, dtype=bool)
    unsure = (standing.pair_seed + standing.example) / 2
    average = np.where(other, unsure, 0.0).sum(axis=(-1, -2)) / max(1, rows * (rows - 1))
    scatter = ((standing.mean - standing.mean.mean(axis=-1, keepdims=True)) ** 2).sum(axis=-1)
    spreads = scale * np.concatenate([[0.0], np.geomspace(0.02, 50.0, SPREAD_STEPS)])
    width = np.gradient(spreads)
    variance = np.maximum(spreads**2 + average[..., None], 1e-12 * scale**2)
    log = -(rows - 1) / 2 * np.log(variance) - scatter[..., None] / 2 / variance
    weights = np.exp(log - log.max(axis=-1, keepdims=True)) * width / (1 + (spreads / scale) ** 2)
    weights /= weights.sum(axis=-1, keepdims=True)
    for number, spread in enumerate(spreads):
        yield float(spread) ** 2, weights[..., number]
