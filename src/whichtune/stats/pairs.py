"""One pair, from scores to a test: picks the test that the number of seeds allows.

Everything is a fraction (0.01 is one point); a positive difference means that the first has the larger score.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from whichtune.stats import crossed, paired, power
from whichtune.stats.intervals import Interval
from whichtune.stats.scores import Scores

Test = Literal["crossed", "mcnemar", "paired_t", "none"]

TEST_NAMES: dict[str, str] = {
    "crossed": "crossed random effects (seeds x examples)",
    "mcnemar": "mid-p McNemar with Tango's interval",
    "paired_t": "paired t over examples",
    "none": "no test",
}


@dataclass(frozen=True)
class PairTest:
    """What the data say about one pair. Fields are None where the seeds do not allow them.

    `seed_sd` is the standard deviation of the true difference from seed to seed, as the test takes it;
    `seed_error` and `example_error` are what seeds and test set contribute to the standard error.
    `inference` says to what the result extends: "methods" or "models" (these trained models only).
    """

    test: Test
    inference: Literal["methods", "models"]
    difference: float
    a_by_seed: tuple[float, ...]
    b_by_seed: tuple[float, ...]
    n_examples: int
    interval: Interval | None = None
    interval_90: Interval | None = None
    p: float | None = None
    p_equivalence: float | None = None
    p_not_worse: float | None = None
    seed_sd: float | None = None
    seed_error: float | None = None
    example_error: float | None = None
    only_a_right: int | None = None
    only_b_right: int | None = None
    seeds_matter: bool = True
    noise: power.Noise | None = None

    @property
    def n_seeds(self) -> int:
        return len(self.a_by_seed)

    @property
    def half_width_90(self) -> float | None:
        """Half the 90 % interval: equivalence needs it below the margin."""
        if self.interval_90 is None:
            return None
        return (self.interval_90[1] - self.interval_90[0]) / 2

    def detectable(self, alpha: float) -> float | None:
        """Smallest true difference that would be shown with a chance of 80 %, at that level."""
        if self.test == "crossed" and self.noise is not None:
            return power.detectable_crossed(self.noise, self.n_seeds, self.n_examples, alpha)
        if self.test == "mcnemar" and self.only_a_right is not None and self.only_b_right is not None:
            share = (self.only_a_right + self.only_b_right) / self.n_examples
            return power.detectable_paired(share, self.n_examples, alpha)
        if self.test == "paired_t" and self.example_error is not None:
            return power.detectable_mean(self.example_error**2 * self.n_examples, self.n_examples, alpha)
        return None

    def examples_needed(self, difference: float, alpha: float) -> int | None:
        """Test examples needed for `difference`; None where no number would do or nothing was tested."""
        if self.test == "crossed" and self.noise is not None:
            return power.examples_needed(self.noise, self.n_seeds, difference, alpha)
        if self.test == "mcnemar" and self.only_a_right is not None and self.only_b_right is not None:
            share = (self.only_a_right + self.only_b_right) / self.n_examples
            return power.smallest(
                lambda n: power.detectable_paired(share, n, alpha) <= difference, 10, power.MOST_EXAMPLES
            )
        if self.test == "paired_t" and self.example_error is not None:
            variance = self.example_error**2 * self.n_examples
            return power.smallest(
                lambda n: power.detectable_mean(variance, n, alpha) <= difference, 10, power.MOST_EXAMPLES
            )
        return None

    def seeds_needed(self, difference: float, alpha: float) -> int | None:
        """Seeds needed for `difference` with this test set; None where unknown or none would do."""
        if self.test != "crossed" or self.noise is None:
            return None
        return power.seeds_needed(self.noise, self.n_examples, difference, alpha)


@dataclass(frozen=True)
class StudyNoise:
    """Variance over seeds of each method of a study that draws anything, with its seeds less one."""

    variances: tuple[float, ...]
    degrees: tuple[int, ...]

    @classmethod
    def of(cls, methods: Iterable[Scores]) -> StudyNoise:
        """From all methods' scores; those with fewer than two seeds or no randomness tell nothing."""
        able = [m for m in methods if len(m.values) > 1 and not m.constant]
        return cls(tuple(float(m.per_seed.var(ddof=1)) for m in able), tuple(len(m.values) - 1 for m in able))


def pooled_noise(squares: crossed.MeanSquares, sides: Sequence[Scores], study: StudyNoise) -> crossed.SeedNoise:
    """Seed noise of a difference (two sides) or of one method (one side), helped by the study."""
    drawing = [side for side in sides if not side.constant]
    if not study.variances or not drawing:
        return crossed.own_noise(squares)
    own = [float(side.per_seed.var(ddof=1)) for side in drawing]
    return crossed.seed_noise(squares, own, len(drawing), study.variances, study.degrees)


def compare_scores(
    a: Scores, b: Scores, margin: float | None, binary: bool, study: StudyNoise | None = None
) -> PairTest:
    """Test of two methods over the seeds they share: `a.values` and `b.values` `(S, E)`, seed by seed.

    A deterministic method repeats its one row for every seed of the other. `binary` says that scores
    are right (1) or wrong (0). `margin` is that of equivalence, None for no such test. Raises
    ValueError where the shapes differ. `study` is the seed noise of all methods of the study; without it
    the pair's own has to do.
    """
    if a.values.shape != b.values.shape:
        raise ValueError(f"scores of unlike shapes {a.values.shape} and {b.values.shape}")
    weight = None if a.weight is None or b.weight is None else max(a.weight, b.weight)
    seeds = tuple(float(x) for x in a.per_seed), tuple(float(x) for x in b.per_seed)
    table = a.values - b.values
    if len(table) == 1:
        return _test_models(a, b, seeds, margin, weight, binary)
    if len(table) < crossed.MIN_SEEDS:
        return PairTest("none", "methods", float(table.mean()), *seeds, n_examples=table.shape[1])
    squares = crossed.mean_squares(table)
    if float(squares.seed) == 0 and float(squares.residual) == 0:
        return _test_models(a, b, seeds, margin, weight, binary, seeds_matter=False)
    return _test_methods(squares, pooled_noise(squares, (a, b), study or StudyNoise.of((a, b))), seeds, margin, weight)


def _test_methods(
    squares: crossed.MeanSquares,
    noise: crossed.SeedNoise,
    seeds: tuple[tuple[float, ...], tuple[float, ...]],
    margin: float | None,
    weight: float | None,
) -> PairTest:
    test = crossed.CrossedTest(squares, crossed.Reference.of(squares, noise))
    residual = float(squares.residual)
    seed_variance = max(float(noise.variance) - residual / squares.n_examples, 0.0)
    example_variance = max(float(squares.example) - residual, 0.0) / squares.n_seeds
    low, high = test.interval(0.95, weight)
    low90, high90 = test.interval(0.90, weight)
    cells = squares.n_seeds * squares.n_examples
    most = math.inf if weight is None else 1.0
    return PairTest(
        "crossed",
        "methods",
        float(squares.mean),
        *seeds,
        n_examples=squares.n_examples,
        interval=(max(float(low), -most), min(float(high), most)),
        interval_90=(max(float(low90), -most), min(float(high90), most)),
        p=float(test.p_difference()),
        p_equivalence=None if margin is None else float(test.p_equivalence(margin, weight)),
        p_not_worse=None if margin is None else float(test.p_above(-margin, weight)),
        seed_sd=math.sqrt(seed_variance),
        seed_error=math.sqrt(seed_variance / squares.n_seeds),
        example_error=math.sqrt(example_variance / squares.n_examples + residual / cells),
        noise=power.Noise(seed_variance, example_variance, residual, float(noise.df) / (squares.n_seeds - 1)),
    )


def _test_models(
    a: Scores,
    b: Scores,
    seeds: tuple[tuple[float, ...], tuple[float, ...]],
    margin: float | None,
    weight: float | None,
    binary: bool,
    seeds_matter: bool = True,
) -> PairTest:
    """Two trained models; with `seeds_matter` false all seeds gave the same and one row stands for all."""
    first, second = a.values[0], b.values[0]
    inference: Literal["methods", "models"] = "models" if seeds_matter else "methods"
    if not binary:
        return _paired_t(first - second, seeds, margin, weight, inference, seeds_matter)
    n = len(first)
    only_a, only_b = int(((first == 1) & (second == 0)).sum()), int(((first == 0) & (second == 1)).sum())
    difference, share = (only_a - only_b) / n, (only_a + only_b) / n
    above = None if margin is None else paired.tango_p_above(only_a, only_b, n, -margin)
    below = None if margin is None else paired.tango_p_above(only_b, only_a, n, -margin)
    return PairTest(
        "mcnemar",
        inference,
        difference,
        *seeds,
        n_examples=n,
        interval=paired.tango_interval(only_a, only_b, n, 0.95),
        interval_90=paired.tango_interval(only_a, only_b, n, 0.90),
        p=paired.mcnemar_midp(only_a, only_b),
        p_equivalence=None if above is None or below is None else max(above, below),
        p_not_worse=above,
        example_error=math.sqrt((share - difference**2) / n),
        only_a_right=only_a,
        only_b_right=only_b,
        seeds_matter=seeds_matter,
    )


def _paired_t(
    differences: NDArray[np.float64],
    seeds: tuple[tuple[float, ...], tuple[float, ...]],
    margin: float | None,
    weight: float | None,
    inference: Literal["methods", "models"],
    seeds_matter: bool,
) -> PairTest:
    from scipy.stats import t

    n, mean = len(differences), float(differences.mean())
    variance = float(differences.var(ddof=1)) / n
    error = math.sqrt(variance)
    most = math.inf if weight is None else 1.0

    def interval(level: float) -> Interval:
        half = float(t.ppf(0.5 + level / 2, n - 1)) * error
        return max(mean - half, -most), min(mean + half, most)

    def above(value: float, bound: float) -> float:
        floor = 0.0 if weight is None else max(abs(bound) * (weight - abs(bound)), 0.0) / n
        spread = math.sqrt(max(variance, floor))
        return float(t.sf((value - bound) / spread, n - 1)) if spread > 0 else float(value <= bound)

    not_worse = None if margin is None else above(mean, -margin)
    not_better = None if margin is None else above(-mean, -margin)
    return PairTest(
        "paired_t",
        inference,
        mean,
        *seeds,
        n_examples=n,
        interval=interval(0.95) if error > 0 else None,
        interval_90=interval(0.90) if error > 0 else None,
        p=min(1.0, 2 * float(t.sf(abs(mean) / error, n - 1))) if error > 0 else 1.0,
        p_equivalence=None if not_worse is None or not_better is None else max(not_worse, not_better),
        p_not_worse=not_worse,
        example_error=error,
        seeds_matter=seeds_matter,
    )
