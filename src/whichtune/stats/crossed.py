"""Two methods over several seeds: seeds crossed with test examples, on paired differences.

D[s, e] is the difference of the two methods' scores with seed s on example e, modelled as

    D[s, e] = difference + seed effect[s] + example effect[e] + residual[s, e]

with all three random, so that what is said holds for new seeds and new examples (the training set stays
the one that was used). The mean squares of the two-way table give the standard error

    variance = (MS_seed + MS_example - MS_residual) / (n_seeds * n_examples).

What a t with Satterthwaite's degrees of freedom gets wrong. With few seeds MS_seed is often small by
chance. Satterthwaite's formula then believes that seeds hardly matter and gives hundreds of degrees of
freedom just where the variance is understated. Simulated, one interval still covers about 94 %, but over
15 pairs of identical methods with 3 seeds a false difference is found in 17 % of studies. So the two
parts keep their own degrees of freedom, as in the Behrens-Fisher problem: the reference is the sum of
a t with n_seeds - 1 degrees of freedom scaled by the seed part and a t with n_examples - 1 scaled by
the example part (Robinson 1976 found such tests valid throughout). MS_seed counts at least as much as
MS_residual, which its expectation never falls below. `benchmarks/evidence.md` has the figures for both.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

MIN_SEEDS = 3
_SEED_NODES = 64
_EXAMPLE_NODES = 7


@dataclass(frozen=True)
class MeanSquares:
    """The two-way table of differences `(..., S, E)`, one entry for each leading index."""

    mean: FloatArray
    seed: FloatArray
    example: FloatArray
    residual: FloatArray
    n_seeds: int
    n_examples: int

    @property
    def seed_variance(self) -> FloatArray:
        """Variance of the true difference from seed to seed; never below zero."""
        return np.maximum(self.seed - self.residual, 0.0) / self.n_examples

    @property
    def example_variance(self) -> FloatArray:
        """Variance over examples of the difference that all seeds share; never below zero."""
        return np.maximum(self.example - self.residual, 0.0) / self.n_seeds


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
        squares.seed**2 / degrees[0]
        + squares.example**2 / degrees[1]
        + squares.residual**2 / (degrees[0] * degrees[1])
    )
    df = np.divide(total**2, spread, out=np.ones_like(total), where=spread > 0)
    return np.sqrt(total / (squares.n_seeds * squares.n_examples)), np.maximum(df, 1.0)


@lru_cache(maxsize=64)
def _mixture(n_seeds: int, n_examples: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Nodes that turn both t's into normals of random variance: (1 / seed scale, 1 / example scale, weight).

    The seeds' chi is integrated by Gauss-Legendre (exact to about nine digits); the examples', narrow
    because there are many, through Wilson and Hilferty's cube root and Gauss-Hermite.
    """
    from scipy.stats import chi, chi2

    df = n_seeds - 1
    low, high = np.sqrt(chi2.ppf([1e-15, 1 - 1e-15], df))
    nodes, weights = np.polynomial.legendre.leggauss(_SEED_NODES)
    low = 0.0 if df < 10 else low
    x = low + (high - low) * (nodes + 1) / 2
    seed_weight = weights * chi.pdf(x, df)
    z, example_weight = np.polynomial.hermite_e.hermegauss(_EXAMPLE_NODES)
    spread = 2 / (9 * (n_examples - 1))
    share = np.maximum(1 - spread + z * np.sqrt(spread), 0.05) ** 3
    weight = np.outer(seed_weight / seed_weight.sum(), example_weight / example_weight.sum())
    seeds, examples = np.broadcast_arrays((df / x**2)[:, None], (1 / share)[None, :])
    return seeds.ravel(), examples.ravel(), weight.ravel()


@dataclass(frozen=True)
class Reference:
    """How the mean difference scatters around the true one: sqrt(seed) * t + sqrt(example) * t'."""

    seed: FloatArray
    example: FloatArray
    n_seeds: int
    n_examples: int

    @classmethod
    def of(cls, squares: MeanSquares) -> Reference:
        cells = squares.n_seeds * squares.n_examples
        seed = np.maximum(squares.seed, squares.residual) / cells
        example = np.maximum(squares.example - squares.residual, 0.0) / cells
        return cls(seed, example, squares.n_seeds, squares.n_examples)

    @property
    def standard_error(self) -> FloatArray:
        return np.sqrt(self.seed + self.example)

    def floored(self, example: float) -> Reference:
        """The same with an example part of at least `example`."""
        return Reference(self.seed, np.maximum(self.example, example), self.n_seeds, self.n_examples)

    def sf(self, distance: ArrayLike) -> FloatArray:
        """Probability of a scatter above `distance`, one for each entry."""
        from scipy.special import ndtr

        seeds, examples, weight = _mixture(self.n_seeds, self.n_examples)
        scale = np.sqrt(self.seed[..., None] * seeds + self.example[..., None] * examples)
        far = np.asarray(distance, dtype=np.float64)[..., None]
        with np.errstate(divide="ignore", invalid="ignore"):
            tail = ndtr(-far / scale)
        tail = np.where(scale > 0, tail, np.where(far > 0, 0.0, np.where(far < 0, 1.0, 0.5)))
        return tail @ weight

    def quantile(self, upper: float) -> FloatArray:
        """The distance that is exceeded with probability `upper` (at most one half)."""
        low = np.zeros_like(self.standard_error)
        high = self.standard_error + 1e-12
        for _ in range(60):
            short = self.sf(high) > upper
            if not short.any():
                break
            high = np.where(short, 2 * high, high)
        for _ in range(60):
            middle = (low + high) / 2
            short = self.sf(middle) > upper
            low, high = np.where(short, middle, low), np.where(short, high, middle)
        return high


@dataclass(frozen=True)
class CrossedTest:
    """Tests and intervals of the difference of two methods; arrays where the table had leading axes."""

    squares: MeanSquares
    reference: Reference

    def p_difference(self, true: float = 0.0) -> FloatArray:
        """Two-sided p of "the true difference is `true`". 1 where nothing varies and nothing differs."""
        return np.minimum(1.0, 2 * self.reference.sf(np.abs(self.squares.mean - true)))

    def interval(self, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
        half = self.reference.quantile((1 - level) / 2)
        return self.squares.mean - half, self.squares.mean + half

    def p_above(self, bound: float, weight: float | None = 1.0) -> FloatArray:
        """One-sided p of "the true difference is at most `bound`"; small where it is shown to be above.

        With `weight` (what one example can count) the variance is at least what `bound` itself implies:
        a difference of that size carried by the same few examples in every seed would leave
        |bound| (weight - |bound|) / n_examples of test-set noise, even where this test set happens to
        hold none of those examples. It is the variance of a score test; without it a test
        set with hardly any disagreement would prove equivalence far too often.
        """
        reference = self.reference
        if weight is not None:
            least = max(abs(bound) * (weight - abs(bound)), 0.0)
            reference = reference.floored(least / self.squares.n_examples)
        return reference.sf(self.squares.mean - bound)

    def p_below(self, bound: float, weight: float | None = 1.0) -> FloatArray:
        """One-sided p of "the true difference is at least `bound`"."""
        return CrossedTest(_mirrored(self.squares), self.reference).p_above(-bound, weight)

    def p_equivalence(self, margin: float, weight: float | None = 1.0) -> FloatArray:
        """Two one-sided tests (Schuirmann 1987): small where the difference is shown within the margin."""
        return np.maximum(self.p_above(-margin, weight), self.p_below(margin, weight))


def _mirrored(squares: MeanSquares) -> MeanSquares:
    return MeanSquares(
        -squares.mean,
        squares.seed,
        squares.example,
        squares.residual,
        squares.n_seeds,
        squares.n_examples,
    )


def crossed_test(differences: ArrayLike) -> CrossedTest:
    """Test of paired differences `(..., S, E)`. Raises ValueError below three seeds."""
    squares = mean_squares(differences)
    if squares.n_seeds < MIN_SEEDS:
        raise ValueError(f"two methods are compared over at least {MIN_SEEDS} seeds, not {squares.n_seeds}")
    return CrossedTest(squares, Reference.of(squares))
