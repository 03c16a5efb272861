"""From the rows' scores to what is known of them together (`decision.Standing`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whichtune.stats.decision import Standing
from whichtune.stats.noise import average_variance, quiet_enough, seed_noise
from whichtune.stats.pairs import StudyNoise, pooled_noise
from whichtune.stats.scores import Scores
from whichtune.stats.squares import MeanSquares, mean_squares

FloatArray = NDArray[np.float64]

# A row's own variance over seeds is drawn towards the study's as if it had been seen with so many more degrees.
POOLED_DF = 4.0


@dataclass(frozen=True)
class Seen:
    """One row on the test set: scores `(S, E)`, larger being better, of these seeds.

    The seeds are `[None]` where it draws nothing.
    """

    scores: Scores
    seeds: Sequence[int | None]

    @property
    def draws(self) -> bool:
        """False where other seeds change nothing, as far as is known."""
        return list(self.seeds) != [None] and (len(self.seeds) == 1 or not self.scores.constant)

    @property
    def variance(self) -> float:
        """Of the figure over seeds; 0 where one seed tells nothing of it."""
        return float(self.scores.per_seed.var(ddof=1)) if self.draws and len(self.seeds) > 1 else 0.0


def standing_of(rows: Sequence[Seen], study: StudyNoise) -> Standing:
    """What the rows' scores tell, on two test examples or more. Raises ValueError below."""
    if any(row.scores.stretch is not None for row in rows):
        return _standing_by_splits(rows, study)
    count = len(rows)
    example, pair_seed, pair_df = (np.zeros((count, count)) for _ in range(3))
    for i in range(count):
        for j in range(i + 1, count):
            found = _pair(rows[i], rows[j], study)
            for matrix, value in zip((example, pair_seed, pair_df), found, strict=True):
                matrix[i, j] = matrix[j, i] = value
    own = [_own(row, study) for row in rows]
    return Standing(
        mean=np.array([row.scores.per_seed.mean() for row in rows]),
        seed_variance=np.array([variance / len(row.seeds) for row, (variance, _) in zip(rows, own, strict=True)]),
        seed_df=np.array([df for _, df in own]),
        run_variance=np.array([variance for variance, _ in own]),
        example=example,
        pair_seed=pair_seed,
        pair_df=pair_df,
    )


def _standing_by_splits(rows: Sequence[Seen], study: StudyNoise) -> Standing:
    """What rows tell that share their splits: only their differences do, whose variances stand as that of the examples.

    These know of the splits' overlap already. Few splits leave the variances unsure: they are widened by how much a t
    with their degrees of freedom reaches beyond a normal, at 95 %.
    """
    from scipy.stats import norm, t

    count = len(rows)
    example, once = np.zeros((count, count)), np.zeros((count, count))
    for i in range(count):
        for j in range(i + 1, count):
            a, b = rows[i], rows[j]
            splits = len(set(a.seeds) & set(b.seeds))
            if splits > 1:
                noise = pooled_noise(mean_squares(_differences(a, b)), (a.scores, b.scores), study)
                each, mean = float(noise.variance), float(noise.variance) / splits
            else:  # of runs that failed: as if they had nothing to do with each other
                each = a.variance + b.variance
                mean = a.variance / len(a.seeds) + b.variance / len(b.seeds)
            wider = float(t.ppf(0.975, max(1, splits - 1)) / norm.ppf(0.975)) ** 2
            example[i, j] = example[j, i] = wider * mean
            once[i, j] = once[j, i] = each / (a.scores.stretch or 1.0) ** 2
    return Standing(
        mean=np.array([row.scores.per_seed.mean() for row in rows]),
        seed_variance=np.zeros(count),
        seed_df=np.ones(count),
        run_variance=once.sum(axis=1) / (2 * max(1, count - 1)),
        example=example,
        pair_seed=np.zeros((count, count)),
        pair_df=np.full((count, count), 1e6),
    )


def _pair(a: Seen, b: Seen, study: StudyNoise) -> tuple[FloatArray, FloatArray, FloatArray]:
    drawing = [row for row in (a, b) if row.draws]
    own, counts = [row.variance for row in drawing], [len(row.seeds) for row in drawing]
    return pair_parts(mean_squares(_differences(a, b)), own, counts, study, study.variances)


def pair_parts(
    squares: MeanSquares, own: ArrayLike, counts: Sequence[int], study: StudyNoise, variances: ArrayLike
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Variance of a pair's difference by the test examples and by the seeds, and the latter's degrees of freedom.

    `own (..., sides)` are the variances over seeds of the sides that draw, `counts` their seeds; `variances (..., K)`
    those of the study's methods, `study` what else is known of these.
    """
    scale = squares.n_seeds * squares.n_examples
    example = np.maximum(squares.example - squares.residual, 0.0) / scale
    if not counts:
        return example, np.zeros_like(example), np.full_like(example, squares.n_examples - 1)
    noise = seed_noise(squares, own, len(counts), variances, study.degrees, study.floor, study.prior)
    return example, noise.variance * float(np.mean([1 / count for count in counts])), noise.df


def _differences(a: Seen, b: Seen) -> FloatArray:
    """Differences `(S, E)` over the common seeds; of the means over seeds `(1, E)` where there are none."""
    first, second = a.scores.values, b.scores.values
    if list(a.seeds) == [None] or list(b.seeds) == [None]:
        table: FloatArray = first - second  # the one row stands for every seed
        return table
    common = [seed for seed in a.seeds if seed in b.seeds]
    if not common:
        means: FloatArray = first.mean(axis=0, keepdims=True) - second.mean(axis=0, keepdims=True)
        return means
    places = [list(row.seeds).index(seed) for row in (a, b) for seed in common]
    table = first[places[: len(common)]] - second[places[len(common) :]]
    return table


def _own(row: Seen, study: StudyNoise) -> tuple[float, float]:
    if not row.draws:
        return 0.0, 1.0
    variance, df = run_parts(np.asarray(row.variance), len(row.seeds) - 1, study, study.variances)
    return float(variance), df


def run_parts(own: FloatArray, degrees: int, study: StudyNoise, variances: ArrayLike) -> tuple[FloatArray, float]:
    """Variance `(...)` of one run of a method by its seed, and its degrees of freedom: the method's `own` variance
    with `degrees`, drawn towards that of the study's methods `variances (..., K)` that are not much noisier."""
    weight = np.asarray(study.degrees, dtype=np.float64)
    kept = np.where(quiet_enough(variances, weight, own[..., None], degrees), weight, 0.0)
    pooled, _ = average_variance(variances, kept, degrees + 1, study.prior)
    return (POOLED_DF * pooled + degrees * own) / (POOLED_DF + degrees), POOLED_DF + degrees
