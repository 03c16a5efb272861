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

from whichtune.stats.noise import SeedNoise, own_noise
from whichtune.stats.squares import MeanSquares, mean_squares

FloatArray = NDArray[np.float64]

MIN_SEEDS = 3
_SEED_NODES = 48
_EXAMPLE_NODES = 5


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

    def where(self, chosen: NDArray[np.bool_]) -> Reference:
        """Of some entries only."""
        seed, example, df, _ = np.broadcast_arrays(self.seed, self.example, self.seed_df, chosen)
        return Reference(seed[chosen], example[chosen], df[chosen], self.example_df)

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
        """The distance that is exceeded with probability `upper` (at most one half).

        By Newton's steps on the logarithm of the tail, from the normal's distance, which is short of it.
        """
        from scipy.special import ndtri

        scale, weight = self._mixture()
        distance: FloatArray = np.asarray(self.standard_error * -ndtri(upper) + 1e-12)
        safe = np.where(scale > 0, scale, 1.0)
        for _ in range(60):
            tail = self._tail(distance, scale, weight)
            height = np.exp(-0.5 * (distance[..., None] / safe) ** 2) / (safe * np.sqrt(2 * np.pi))
            density = (np.where(scale > 0, height, 0.0) * weight).sum(axis=-1)
            able = (tail > 0) & (density > 0)
            log = np.log(np.where(able, tail, upper) / upper)
            step = np.where(able, log * np.divide(tail, density, out=np.zeros_like(tail), where=able), 0.0)
            distance = np.asarray(np.maximum(distance + step, distance / 2))
            if (np.abs(step) <= 1e-13 * distance).all():
                break
        return distance


@dataclass(frozen=True)
class CrossedTest:
    """Tests and intervals of the difference of two methods; arrays where the table had leading axes.

    One definition serves all of them: `p_above(bound)`, which grows with the bound. A two-sided p is twice the
    smaller of the two one-sided ones and an interval holds the differences that are not rejected, so that the two
    never contradict each other.
    """

    squares: MeanSquares
    reference: Reference

    def p_difference(self, true: ArrayLike = 0.0, weight: float | None = 1.0) -> FloatArray:
        """Two-sided p of "the true difference is `true`". 1 where nothing varies and nothing differs."""
        side = np.where(self.squares.mean >= np.asarray(true), 1.0, -1.0)  # the other side's p is at least one half
        p: FloatArray = np.minimum(1.0, 2 * self._one_sided(side, true, weight))
        return p

    def p_above(self, bound: ArrayLike, weight: float | None = 1.0) -> FloatArray:
        """One-sided p of "the true difference is at most `bound`"; small where it is shown to be above."""
        return self._one_sided(1.0, bound, weight)

    def p_below(self, bound: ArrayLike, weight: float | None = 1.0) -> FloatArray:
        """One-sided p of "the true difference is at least `bound`"."""
        return self._one_sided(-1.0, bound, weight)

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
            short = self._one_sided(-side, mean + side * step, weight) > tail
            if not short.any():
                break
            step = np.where(short, 2 * step, step)
        for _ in range(45):
            middle = (inside + step) / 2
            short = self._one_sided(-side, mean + side * middle, weight) > tail
            inside, step = np.where(short, middle, inside), np.where(short, step, middle)
        return mean + side * step

    def _one_sided(self, side: ArrayLike, bound: ArrayLike, weight: float | None) -> FloatArray:
        """The largest p of any difference beyond `bound`: of those at most `bound` with `side` 1, at least with -1.

        That of `bound` itself, but for one case. Where two methods hardly disagree, a difference on the other side
        of zero carries so much noise of the test set with it (`_at`) that it explains the data better than one
        of zero does.
        """
        side, bound = np.asarray(side, dtype=np.float64), np.asarray(bound, dtype=np.float64)
        p = self._at(bound, weight).sf(side * (self.squares.mean - bound))
        if weight is None:
            return p
        beyond = self._likeliest_beyond(side, weight)
        there = beyond > np.maximum(-side * bound, 0.0)
        if there.any():
            reference = self._at(beyond, weight).where(there)
            p = np.array(p)
            p[there] = np.maximum(p[there], reference.sf((side * self.squares.mean + beyond)[there]))
        return p

    def _likeliest_beyond(self, side: FloatArray, weight: float) -> FloatArray:
        """How far on the other side of zero the noise that a difference brings along outweighs its distance most.

        With m the mean and A the variance without the test set's own, the least of (m + x)^2 / (A + x (w - x) / n).
        """
        squares = self.squares
        mean = side * squares.mean
        rest = self.reference.seed - squares.residual / (squares.n_seeds * squares.n_examples)
        far: FloatArray = (mean * weight - 2 * rest * squares.n_examples) / (weight + 2 * np.maximum(mean, 0))
        return np.maximum(far, 0.0)

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

    Raises ValueError below three seeds, or below two examples; with given `noise` below one seed.
    """
    squares = mean_squares(differences)
    if noise is None and squares.n_seeds < MIN_SEEDS:
        raise ValueError(f"two methods are compared over at least {MIN_SEEDS} seeds, not {squares.n_seeds}")
    return CrossedTest(squares, Reference.of(squares, noise or own_noise(squares)))
