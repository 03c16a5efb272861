"""One pair, from scores to a test: picks the test that the number of seeds allows.

Everything is a fraction (0.01 is one point); a positive difference means that the first has the larger score.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from whichtune.stats import crossed, paired, power
from whichtune.stats.intervals import Interval
from whichtune.stats.noise import FLOOR_SD, NO_SEED_SEEN, Prior, SeedNoise, own_noise, seed_noise
from whichtune.stats.scores import Scores
from whichtune.stats.squares import MeanSquares, mean_squares

Test = Literal["crossed", "crossed_prior", "splits", "mcnemar", "paired_t", "none"]

TEST_NAMES: dict[str, str] = {
    "crossed": "crossed random effects (seeds x examples)",
    "crossed_prior": "crossed random effects (seeds x examples), seed noise with a stated prior",
    "splits": "t over splits, corrected for their overlap (Nadeau and Bengio)",
    "mcnemar": "mid-p McNemar with Tango's interval",
    "paired_t": "paired t over examples",
    "none": "no test",
}
CROSSED = ("crossed", "crossed_prior")


@dataclass(frozen=True)
class PairTest:
    """What the data say about one pair. Fields are None where the seeds do not allow them.

    `seed_sd` is the standard deviation of the true difference from seed to seed, as the test takes it;
    `seed_error` and `example_error` are what seeds and test set contribute to the standard error.
    `inference` says to what the result extends: "methods", "models" (these trained models only) or "splits" (other
    training sets, too).
    """

    test: Test
    inference: Literal["methods", "models", "splits"]
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

    def detectable(self, alpha: float) -> float | None:
        """Smallest true difference that would be shown with a chance of 80 %, at that level."""
        if self.test in CROSSED and self.noise is not None:
            return power.detectable_crossed(self.noise, self.n_seeds, self.n_examples, alpha)
        if self.test == "mcnemar" and self.only_a_right is not None and self.only_b_right is not None:
            share = (self.only_a_right + self.only_b_right) / self.n_examples
            return power.detectable_paired(share, self.n_examples, alpha)
        if self.test == "paired_t" and self.example_error is not None:
            return power.detectable_mean(self.example_error**2 * self.n_examples, self.n_examples, alpha)
        return None

    def examples_needed(self, difference: float, alpha: float) -> int | None:
        """Test examples needed for `difference`; None where no number would do or nothing was tested."""
        if self.test in CROSSED and self.noise is not None:
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
        if self.test not in CROSSED or self.noise is None:
            return None
        return power.seeds_needed(self.noise, self.n_examples, difference, alpha)


@dataclass(frozen=True)
class StudyNoise:
    """Variance over seeds of each method of a study that draws anything, with its seeds less one.

    `unit` is what 100 points are on the metric's scale: 1 where it is a share, the best baseline's value for a loss.
    `belief` is what is held of seed noise beforehand, for a `unit` of 1.
    """

    variances: tuple[float, ...]
    degrees: tuple[int, ...]
    unit: float = 1.0
    belief: Prior = NO_SEED_SEEN

    @classmethod
    def of(cls, methods: Iterable[Scores], unit: float = 1.0, belief: Prior | None = None) -> StudyNoise:
        """From all methods' scores; those with fewer than two seeds or no randomness tell nothing."""
        able = [m for m in methods if len(m.values) > 1 and not m.constant]
        variances = tuple(float(m.per_seed.var(ddof=1)) for m in able)
        return cls(variances, tuple(len(m.values) - 1 for m in able), unit, belief or NO_SEED_SEEN)

    @property
    def floor(self) -> float:
        """The least seed noise that is taken for one method, as a standard deviation."""
        return FLOOR_SD * self.unit

    @property
    def prior(self) -> Prior:
        """The belief on the metric's scale."""
        return Prior(self.belief.sd * self.unit, self.belief.df)


def pooled_noise(squares: MeanSquares, sides: Sequence[Scores], study: StudyNoise) -> SeedNoise:
    """Seed noise of a difference (two sides) or of one method (one side), helped by the study; with two seeds by what
    was believed beforehand, too."""
    if any(side.stretch is not None for side in sides):  # rows share the splits, so that only differences tell
        own = own_noise(squares)
        return SeedNoise(np.maximum(own.variance, study.floor**2), own.df)
    drawing = [side for side in sides if not side.constant]
    prior = study.prior if squares.n_seeds < crossed.MIN_SEEDS else None
    if not drawing or (prior is None and not study.variances):
        return own_noise(squares)
    variances = [float(side.per_seed.var(ddof=1)) for side in drawing]
    return seed_noise(squares, variances, len(drawing), study.variances, study.degrees, study.floor, prior)


def compare_scores(
    a: Scores, b: Scores, margin: float | None, binary: bool, study: StudyNoise | None = None, brief: bool = False
) -> PairTest:
    """Test of two methods over the seeds they share: `a.values` and `b.values` `(S, E)`, seed by seed.

    A deterministic method repeats its one row for every seed of the other. `binary` says that scores
    are right (1) or wrong (0). `margin` is that of equivalence, None for no such test. Raises
    ValueError where the shapes differ. `study` is the seed noise of all methods of the study; without it
    the pair's own has to do. `brief` leaves out intervals, which take longest, where seeds are crossed with examples.
    """
    if a.values.shape != b.values.shape:
        raise ValueError(f"scores of unlike shapes {a.values.shape} and {b.values.shape}")
    weight = None if a.weight is None or b.weight is None else max(a.weight, b.weight)
    reach = math.inf if weight is None else max(a.reach, b.reach)
    seeds = tuple(float(x) for x in a.shown), tuple(float(x) for x in b.shown)
    table = a.values - b.values
    if table.shape[1] < 2:
        return PairTest("none", "methods", float(table.mean()), *seeds, n_examples=table.shape[1])
    if len(table) == 1:
        return _test_models(a, b, seeds, margin, weight, reach, binary)
    squares = mean_squares(table)
    if a.stretch is not None:
        noise = pooled_noise(squares, (a, b), study or StudyNoise((), ()))
        return _test_splits(float(squares.mean), noise, seeds, margin)
    if float(squares.seed) == 0 and float(squares.residual) == 0:
        return _test_models(a, b, seeds, margin, weight, reach, binary, seeds_matter=False)
    noise = pooled_noise(squares, (a, b), study or StudyNoise.of((a, b)))
    return _test_methods(squares, noise, seeds, margin, weight, reach, brief)


def _test_splits(
    mean: float, noise: SeedNoise, seeds: tuple[tuple[float, ...], tuple[float, ...]], margin: float | None
) -> PairTest:
    """Two methods on several splits of one data set; `noise` knows of the splits' overlap (`split_scores`)."""
    from scipy.stats import t

    error, df = math.sqrt(float(noise.variance) / len(seeds[0])), float(noise.df)

    def above(bound: float) -> float:
        return float(t.sf((mean - bound) / error, df))

    def interval(level: float) -> Interval:
        half = float(t.ppf((1 + level) / 2, df)) * error
        most = math.inf if margin is None else 1.0
        return max(mean - half, -most), min(mean + half, most)

    return PairTest(
        "splits",
        "splits",
        mean,
        *seeds,
        n_examples=2,
        interval=interval(0.95),
        interval_90=interval(0.90),
        p=min(1.0, 2 * float(t.sf(abs(mean) / error, df))),
        p_equivalence=None if margin is None else max(above(-margin), 1 - above(margin)),
        p_not_worse=None if margin is None else above(-margin),
        seed_error=error,
    )


def _test_methods(
    squares: MeanSquares,
    noise: SeedNoise,
    seeds: tuple[tuple[float, ...], tuple[float, ...]],
    margin: float | None,
    weight: float | None,
    reach: float,
    brief: bool,
) -> PairTest:
    test = crossed.CrossedTest(squares, crossed.Reference.of(squares, noise))
    residual = float(squares.residual)
    seed_variance = max(float(noise.variance) - residual / squares.n_examples, 0.0)
    example_variance = max(float(squares.example) - residual, 0.0) / squares.n_seeds
    cells = squares.n_seeds * squares.n_examples

    def interval(level: float) -> Interval:
        low, high = test.interval(level, weight)
        return max(float(low), -reach), min(float(high), reach)

    return PairTest(
        "crossed" if squares.n_seeds >= crossed.MIN_SEEDS else "crossed_prior",
        "methods",
        float(squares.mean),
        *seeds,
        n_examples=squares.n_examples,
        interval=None if brief else interval(0.95),
        interval_90=None if brief else interval(0.90),
        p=float(test.p_difference(weight=weight)),
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
    reach: float,
    binary: bool,
    seeds_matter: bool = True,
) -> PairTest:
    """Two trained models; with `seeds_matter` false all seeds gave the same and one row stands for all."""
    first, second = a.values[0], b.values[0]
    inference: Literal["methods", "models"] = "models" if seeds_matter else "methods"
    if not binary:
        test = paired.MeanTest.of(first - second, weight, reach)
        return _paired_t(test, seeds, margin, inference, seeds_matter)
    n = len(first)
    only_a, only_b = int(((first == 1) & (second == 0)).sum()), int(((first == 0) & (second == 1)).sum())
    difference, share = (only_a - only_b) / n, (only_a + only_b) / n
    p, interval = paired.shown_different(only_a, only_b, n)
    above = None if margin is None else paired.tango_p_above(only_a, only_b, n, -margin)
    below = None if margin is None else paired.tango_p_above(only_b, only_a, n, -margin)
    return PairTest(
        "mcnemar",
        inference,
        difference,
        *seeds,
        n_examples=n,
        interval=interval,
        interval_90=paired.tango_interval(only_a, only_b, n, 0.90),
        p=p,
        p_equivalence=None if above is None or below is None else max(above, below),
        p_not_worse=above,
        example_error=math.sqrt((share - difference**2) / n),
        only_a_right=only_a,
        only_b_right=only_b,
        seeds_matter=seeds_matter,
    )


def _paired_t(
    test: paired.MeanTest,
    seeds: tuple[tuple[float, ...], tuple[float, ...]],
    margin: float | None,
    inference: Literal["methods", "models"],
    seeds_matter: bool,
) -> PairTest:
    return PairTest(
        "paired_t",
        inference,
        test.mean,
        *seeds,
        n_examples=test.n,
        interval=test.interval(0.95),
        interval_90=test.interval(0.90),
        p=test.p_difference(),
        p_equivalence=None if margin is None else test.p_equivalence(margin),
        p_not_worse=None if margin is None else test.p_above(-margin),
        example_error=math.sqrt(test.variance),
        seeds_matter=seeds_matter,
    )
