"""Two methods over several seeds: seeds crossed with test examples, on paired differences.

D[s, e] is the difference of the two methods' scores with seed s on example e, modelled as

    D[s, e] = difference + seed effect[s] + example effect[e] + residual[s, e]

with all three random, so that what is said holds for new seeds and new examples (the training set stays
the one that was used). The mean squares of the two-way table give the standard error

    variance = (MS_seed + MS_example - MS_residual) / (n_seeds * n_examples).

Two things go wrong if that is taken as it stands with a t and Satterthwaite's degrees of freedom (function
`satterthwaite`). With 3 seeds MS_seed is often small by chance; the formula then believes that seeds
hardly matter and gives hundreds of degrees of freedom just where the variance is understated: over all
pairs of six identical methods a false difference is found in up to 17 % of studies. Giving the seed part
its own n_seeds - 1 degrees of freedom cures that, but then 3 seeds can show hardly anything. So:

- the two parts keep their own degrees of freedom, as in the Behrens-Fisher problem: the reference is
  the sum of a t for the seeds and a t for the examples, each with its own scale;
- seed noise is estimated from all methods of the study (`seed_noise`), which multiplies its degrees of
  freedom; Satterthwaite's formula reduces them again where methods differ in how noisy they are.

`benchmarks/evidence.md` has the simulated error rates of this and of the alternatives.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

MIN_SEEDS = 3
# A method this much noisier than a pair (99 % point of F) tells nothing about that pair's noise.
POOLING_LEVEL = 0.99
_SEED_NODES = 48
_EXAMPLE_NODES = 5


@dataclass(frozen=True)
class MeanSquares:
    """The two-way table of differences `(..., S, E)`, one entry for each leading index."""

    mean: FloatArray
    seed: FloatArray
    example: FloatArray
    residual: FloatArray
    n_seeds: int
    n_examples: int


def mean_squares(differences: ArrayLike) -> MeanSquares:
    """Mean squares of `differences (..., S, E)`. Raises ValueError below 2 seeds or 2 examples."""
    table = np.asarray(differences, dtype=np.float64)
    n_seeds, n_examples = table.shape[-2:]
    if n_seeds < 2 or n_examples < 2:
        raise ValueError("mean squares need at least two seeds and two examples")
    mean = table.mean(axis=(-2, -1))
    by_seed, by_example = table.mean(axis=-1), table.mean(axis=-2)
    square_seed = n_examples * ((by_seed - mean[..., None]) ** 2).sum(axis=-1)
    square_example = n_seeds * ((by_example - mean[..., None]) ** 2).sum(axis=-1)
    square_total = (table**2).sum(axis=(-2, -1)) - n_seeds * n_examples * mean**2
    left = np.maximum(square_total - square_seed - square_example, 0.0)
    # Below rounding a sum of squares is zero: differences that are all alike must look alike.
    floor = 1e-12 * np.maximum(square_total, 1e-300)
    left = np.where(left <= floor, 0.0, left)
    square_seed = np.where(square_seed <= floor, 0.0, square_seed)
    return MeanSquares(
        mean,
        square_seed / (n_seeds - 1),
        square_example / (n_examples - 1),
        left / ((n_seeds - 1) * (n_examples - 1)),
        n_seeds,
        n_examples,
    )


def satterthwaite(squares: MeanSquares) -> tuple[FloatArray, FloatArray]:
    """Standard error and degrees of freedom by Satterthwaite (1946), for reference and the benchmark.

    The degrees of freedom are those of MS_seed + MS_example - MS_residual. Where that sum is not
    positive, the larger of MS_seed and MS_example takes its place.
    """
    degrees = (squares.n_seeds - 1, squares.n_examples - 1)
    total = squares.seed + squares.example - squares.residual
    total = np.where(total > 0, total, np.maximum(squares.seed, squares.example))
    spread = (
        squares.seed**2 / degrees[0] + squares.example**2 / degrees[1] + squares.residual**2 / (degrees[0] * degrees[1])
    )
    df = np.divide(total**2, spread, out=np.ones_like(total), where=spread > 0)
    return np.sqrt(total / (squares.n_seeds * squares.n_examples)), np.maximum(df, 1.0)


@dataclass(frozen=True)
class SeedNoise:
    """Variance of one seed's mean difference (residual included), and its degrees of freedom."""

    variance: FloatArray
    df: FloatArray


def own_noise(squares: MeanSquares) -> SeedNoise:
    """Seed noise from the pair alone: n_seeds - 1 degrees of freedom, at least the residual's share."""
    variance = np.maximum(squares.seed, squares.residual) / squares.n_examples
    return SeedNoise(variance, np.full_like(variance, squares.n_seeds - 1))


def seed_noise(
    squares: MeanSquares, own: ArrayLike, sides: ArrayLike, study: ArrayLike, study_df: ArrayLike
) -> SeedNoise:
    """Seed noise of a pair, with the help of the study's other methods.

    `own (..., 2)` and `study (..., K)` are variances of the score over seeds, of the pair's two methods
    (0 for one that draws nothing) and of all methods of the study; `sides (...)` is how many of the two
    draw anything; `study_df (K,)` their seeds less one. The variance is the largest of
    the pair's own, the sum of its two methods', and the study's average for so many methods. Methods
    much noisier than the pair are left out of that average. The degrees of freedom are Satterthwaite's
    for the average, at least the pair's own.
    """
    from scipy.stats import f

    alone = own_noise(squares)
    own, study = np.asarray(own, dtype=np.float64), np.asarray(study, dtype=np.float64)
    weight, sides = np.asarray(study_df, dtype=np.float64), np.asarray(sides)
    limit = f.ppf(POOLING_LEVEL, weight, squares.n_seeds - 1)
    scale = np.maximum(own.max(axis=-1), squares.residual / squares.n_examples / np.maximum(sides, 1))
    kept = np.where(study <= limit * scale[..., None], weight, 0.0)
    total = (kept * study).sum(axis=-1)
    average = np.divide(total, kept.sum(axis=-1), out=np.zeros_like(total), where=total > 0)
    spread = (kept * study**2).sum(axis=-1)
    df = np.divide(total**2, spread, out=np.zeros_like(total), where=spread > 0)
    variance = np.maximum(np.maximum(alone.variance, own.sum(axis=-1)), sides * average)
    return SeedNoise(variance, np.maximum(df, alone.df))


@cache
def _legendre() -> tuple[FloatArray, FloatArray]:
    return np.polynomial.legendre.leggauss(_SEED_NODES)


@cache
def _hermite() -> tuple[FloatArray, FloatArray]:
    return np.polynomial.hermite_e.hermegauss(_EXAMPLE_NODES)


@dataclass(frozen=True)
class Reference:
    """How the mean difference scatters around the true one: sqrt(seed) * t + sqrt(example) * t'.

    `seed` and `example` are variances of the mean, `seed_df` and `example_df` the degrees of freedom.
    """

    seed: FloatArray
    example: FloatArray
    seed_df: FloatArray
    example_df: float

    @classmethod
    def of(cls, squares: MeanSquares, noise: SeedNoise) -> Reference:
        example = np.maximum(squares.example - squares.residual, 0.0) / (squares.n_seeds * squares.n_examples)
        return cls(noise.variance / squares.n_seeds, example, noise.df, squares.n_examples - 1)

    @property
    def standard_error(self) -> FloatArray:
        return np.sqrt(self.seed + self.example)

    def floored(self, example: ArrayLike) -> Reference:
        """The same with an example part of at least `example`."""
        return Reference(self.seed, np.maximum(self.example, example), self.seed_df, self.example_df)

    def _mixture(self) -> tuple[FloatArray, FloatArray]:
        """Scales `(..., N)` and weights: the sum of two t's is a normal with a random scale.

        The seeds' chi is integrated by Gauss-Legendre; the examples', narrow because there are many,
        through Wilson and Hilferty's cube root and Gauss-Hermite.
        """
        df = np.asarray(self.seed_df, dtype=np.float64)[..., None]
        nodes, weights = _legendre()
        low, high = np.maximum(np.sqrt(df) - 8, 0.0), np.sqrt(df) + 8
        x = low + (high - low) * (nodes + 1) / 2
        density = (df - 1) * np.log(x) - x**2 / 2
        seed_weight = weights * np.exp(density - density.max(axis=-1, keepdims=True))
        seed_weight /= seed_weight.sum(axis=-1, keepdims=True)
        z, example_weight = _hermite()
        spread = 2 / (9 * self.example_df)
        share = np.maximum(1 - spread + z * np.sqrt(spread), 0.05) ** 3
        variance = (self.seed[..., None] * df / x**2)[..., None] + (self.example[..., None] / share)[..., None, :]
        weight = seed_weight[..., None] * (example_weight / example_weight.sum())
        flat = (*variance.shape[:-2], -1)
        return np.sqrt(variance).reshape(flat), np.broadcast_to(weight, variance.shape).reshape(flat)

    def _tail(self, distance: FloatArray, scale: FloatArray, weight: FloatArray) -> FloatArray:
        from scipy.special import ndtr

        far = distance[..., None]
        with np.errstate(divide="ignore", invalid="ignore"):
            tail = ndtr(-far / scale)
        tail = np.where(scale > 0, tail, np.where(far > 0, 0.0, np.where(far < 0, 1.0, 0.5)))
        found: FloatArray = (tail * weight).sum(axis=-1)
        return found

    def sf(self, distance: ArrayLike) -> FloatArray:
        """Probability of a scatter above `distance`, one for each entry."""
        return self._tail(np.asarray(distance, dtype=np.float64), *self._mixture())

    def quantile(self, upper: float) -> FloatArray:
        """The distance that is exceeded with probability `upper` (at most one half)."""
        mixture = self._mixture()
        low = np.zeros_like(self.standard_error)
        high = self.standard_error + 1e-12
        for _ in range(60):
            short = self._tail(high, *mixture) > upper
            if not short.any():
                break
            high = np.where(short, 2 * high, high)
        for _ in range(60):
            middle = (low + high) / 2
            short = self._tail(middle, *mixture) > upper
            low, high = np.where(short, middle, low), np.where(short, high, middle)
        return high


@dataclass(frozen=True)
class CrossedTest:
    """Tests and intervals of the difference of two methods; arrays where the table had leading axes."""

    squares: MeanSquares
    reference: Reference

    def p_difference(self, true: float = 0.0, weight: float | None = 1.0) -> FloatArray:
        """Two-sided p of "the true difference is `true`". 1 where nothing varies and nothing differs."""
        return np.minimum(1.0, 2 * self._at(true, weight).sf(np.abs(self.squares.mean - true)))

    def p_above(self, bound: float, weight: float | None = 1.0) -> FloatArray:
        """One-sided p of "the true difference is at most `bound`"; small where it is shown to be above."""
        return self._at(bound, weight).sf(self.squares.mean - bound)

    def p_below(self, bound: float, weight: float | None = 1.0) -> FloatArray:
        """One-sided p of "the true difference is at least `bound`"."""
        return self._at(bound, weight).sf(bound - self.squares.mean)

    def p_equivalence(self, margin: float, weight: float | None = 1.0) -> FloatArray:
        """Two one-sided tests (Schuirmann 1987): small where the difference is shown within the margin."""
        return np.maximum(self.p_above(-margin, weight), self.p_below(margin, weight))

    def interval(self, level: float = 0.95, weight: float | None = 1.0) -> tuple[FloatArray, FloatArray]:
        """The differences that `p_difference` does not reject at `1 - level`."""
        return self._end(-1.0, (1 - level) / 2, weight), self._end(1.0, (1 - level) / 2, weight)

    def _end(self, side: float, tail: float, weight: float | None) -> FloatArray:
        mean = self.squares.mean
        inside, step = np.zeros_like(mean), self.reference.quantile(tail) + 1e-12
        for _ in range(60):
            short = self._at(mean + side * step, weight).sf(step) > tail
            if not short.any():
                break
            step = np.where(short, 2 * step, step)
        for _ in range(45):
            middle = (inside + step) / 2
            short = self._at(mean + side * middle, weight).sf(middle) > tail
            inside, step = np.where(short, middle, inside), np.where(short, step, middle)
        return mean + side * step

    def _at(self, true: ArrayLike, weight: float | None) -> Reference:
        """The reference where the true difference is `true`.

        With `weight` (what one example can count) the test set's noise is at least what `true` itself
        implies: a difference of that size carried by the same few examples in every seed leaves
        |true| (weight - |true|) / n_examples of it, even where this test set happens to hold none of
        those examples. So Tango's score test has it for two models; without it a test set with hardly
        any disagreement would prove equivalence far too often. The residual counts towards it.
        """
        if weight is None:
            return self.reference
        size = np.minimum(np.abs(true), weight)
        least = size * (weight - size) - self.squares.residual / self.squares.n_seeds
        return self.reference.floored(least / self.squares.n_examples)


def crossed_test(differences: ArrayLike, noise: SeedNoise | None = None) -> CrossedTest:
    """Test of paired differences `(..., S, E)`; seed noise from the pair alone unless given.

    Raises ValueError below three seeds.
    """
    squares = mean_squares(differences)
    if squares.n_seeds < MIN_SEEDS:
        raise ValueError(f"two methods are compared over at least {MIN_SEEDS} seeds, not {squares.n_seeds}")
    return CrossedTest(squares, Reference.of(squares, noise or own_noise(squares)))
