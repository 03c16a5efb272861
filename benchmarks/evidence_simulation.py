"""Simulated studies with a known truth, and what whichtune's procedure and its former one say about them.

An example's difficulty is normal on the logit scale; a run (one method, one seed) has an ability drawn so
that its true accuracy has a Beta distribution with the given mean and standard deviation: mostly near
the mean, now and then clearly worse, as training runs are. An answer is right with the logistic
probability of ability plus easiness. Everything is drawn from one seeded generator.

Answers are drawn one by one, yet only sums of products over the examples are kept of them: mean squares of every pair
follow from these.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from scipy.special import expit, ndtri

from whichtune.stats.correction import closed_pairs, range_beyond
from whichtune.stats.crossed import CrossedTest, Reference
from whichtune.stats.decision import Standing
from whichtune.stats.noise import NO_SEED_SEEN, SeedNoise, own_noise, quiet_enough, seed_noise
from whichtune.stats.pairs import StudyNoise
from whichtune.stats.squares import MeanSquares
from whichtune.stats.standing import pair_parts, run_parts

MARGIN = 0.01
SPREAD = 5.0  # standard deviation of difficulty in logits: two runs at 95 % disagree on 3 to 4 % of examples
MOST_ANSWERS = 12_000_000  # drawn at a time
FloatArray = np.ndarray


@dataclass(frozen=True)
class Cell:
    """One kind of study. `means` and `seed_sds` give each method's true accuracy and its spread over seeds.

    `own_items` is the share of an example's difficulty that is the method's own. `sparse` turns the
    first method's deficit into examples that it gets wrong with every seed. `baseline` makes the last
    method deterministic (its seed SD must be 0). With `spread` true accuracies scatter around the means by so much,
    anew in each study.
    """

    name: str
    means: tuple[float, ...]
    seed_sds: tuple[float, ...]
    n_seeds: int
    n_examples: int = 300
    own_items: float = 0.0
    sparse: bool = False
    baseline: bool = False
    spread: float = 0.0

    @property
    def rows(self) -> int:
        return len(self.means)

    @property
    def pairs(self) -> list[tuple[int, int]]:
        return list(itertools.combinations(range(self.rows), 2))

    @property
    def drawing(self) -> list[int]:
        """Rows that depend on their seed."""
        return list(range(self.rows - self.baseline))


@dataclass(frozen=True)
class Drawn:
    """Studies of one cell, N of them: each run's share of right answers `(N, K, S)`, mean squares of each pair's
    differences `(N, M)`, the true accuracy of each method `(N, K)`, and that of one more run of it `(N, K)`."""

    cell: Cell
    by_seed: FloatArray
    squares: MeanSquares
    truth: FloatArray
    new_run: FloatArray

    @property
    def gaps(self) -> FloatArray:
        """The true difference of every pair `(N, M)`."""
        a, b = np.array(self.cell.pairs).T
        return self.truth[:, a] - self.truth[:, b]

    @property
    def regret(self) -> FloatArray:
        """What choosing each method truly costs `(N, K)`."""
        return self.truth.max(axis=1, keepdims=True) - self.truth

    @property
    def mean(self) -> FloatArray:
        return self.by_seed.mean(axis=-1)

    @property
    def variance(self) -> FloatArray:
        if self.cell.n_seeds == 1:
            return np.zeros(self.by_seed.shape[:-1])
        return self.by_seed.var(axis=-1, ddof=1)


@lru_cache
def _accuracy_of_ability() -> tuple[np.ndarray, np.ndarray]:
    ability = np.linspace(-40, 40, 1601)
    nodes, weights = np.polynomial.hermite_e.hermegauss(199)
    return ability, expit(ability[:, None] + SPREAD * nodes) @ (weights / weights.sum())


def run_levels(rng: np.random.Generator, mean: FloatArray, sd: float, runs: int) -> FloatArray:
    """True accuracies `(N, runs)` of runs of one method whose true accuracy is `mean (N,)`."""
    if sd == 0:
        return np.repeat(mean[:, None], runs, axis=1)
    strength = (mean * (1 - mean) / sd**2 - 1)[:, None]
    return rng.beta(mean[:, None] * strength, (1 - mean[:, None]) * strength, (len(mean), runs))


def answers(rng: np.random.Generator, cell: Cell, levels: FloatArray) -> FloatArray:
    """Right answers `(N, K, S, E)` as 0 and 1, of runs with true accuracies `levels (N, K, S)`."""
    ability, accuracy = _accuracy_of_ability()
    odds = np.exp(np.interp(levels, accuracy, ability)).astype(np.float32)
    studies, examples = len(levels), cell.n_examples
    ease = rng.standard_normal((studies, 1, 1, examples), dtype=np.float32) * np.float32(
        np.sqrt(1 - cell.own_items) * SPREAD
    )
    if cell.own_items > 0:
        own = rng.standard_normal((studies, cell.rows, 1, examples), dtype=np.float32)
        ease = ease + own * np.float32(np.sqrt(cell.own_items) * SPREAD)
    odds = odds[..., None] * np.exp(ease)
    right = rng.random((studies, cell.rows, cell.n_seeds, examples), dtype=np.float32) * (1 + odds) < odds
    if cell.baseline:
        right[:, -1] = right[:, -1, :1]
    if cell.sparse:
        lost = rng.random((studies, 1, examples)) < (cell.means[-1] - cell.means[0]) / cell.means[-1]
        right[:, 0] &= ~lost
    return right.astype(np.float32)


def draw(rng: np.random.Generator, cell: Cell, studies: int) -> Drawn:
    """That many studies."""
    step = max(1, MOST_ANSWERS // (cell.rows * cell.n_seeds * cell.n_examples))
    parts = [_draw(rng, cell, min(step, studies - at)) for at in range(0, studies, step)]
    squares = [part.squares for part in parts]
    together = MeanSquares(
        *(np.concatenate([getattr(s, name) for s in squares]) for name in ("mean", "seed", "example", "residual")),
        n_seeds=cell.n_seeds,
        n_examples=cell.n_examples,
    )
    return Drawn(
        cell,
        np.concatenate([part.by_seed for part in parts]),
        together,
        np.concatenate([part.truth for part in parts]),
        np.concatenate([part.new_run for part in parts]),
    )


def _draw(rng: np.random.Generator, cell: Cell, studies: int) -> Drawn:
    truth = np.tile(cell.means, (studies, 1))
    if cell.spread:
        truth = np.clip(truth + rng.normal(0, cell.spread, truth.shape), 0.5, 0.995)
    means = np.repeat(truth[:, -1:], cell.rows, axis=1) if cell.sparse else truth
    levels = np.stack(
        [run_levels(rng, means[:, row], sd, cell.n_seeds + 1) for row, sd in enumerate(cell.seed_sds)], axis=1
    )
    right = answers(rng, cell, levels[..., :-1])
    return Drawn(cell, right.mean(axis=-1, dtype=np.float64), pair_squares(right, cell.pairs), truth, levels[..., -1])


def pair_squares(right: FloatArray, pairs: list[tuple[int, int]]) -> MeanSquares:
    """Mean squares of the differences of every pair, of answers `(N, K, S, E)`, by products of whole matrices."""
    _, _, seeds, examples = right.shape
    by_seed = np.swapaxes(right, 1, 2)
    products = (by_seed @ np.swapaxes(by_seed, -1, -2)).sum(axis=1, dtype=np.float64)  # (N, K, K), over seeds
    summed = right.sum(axis=2)
    shared = (summed @ np.swapaxes(summed, -1, -2)).astype(np.float64)
    total = right.sum(axis=-1, dtype=np.float64)  # (N, K, S)
    a, b = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])

    def of_difference(matrix: FloatArray) -> FloatArray:
        return matrix[:, a, a] + matrix[:, b, b] - 2 * matrix[:, a, b]

    differences = (total[:, a] - total[:, b]) / examples
    mean = differences.mean(axis=-1)
    whole = of_difference(products)
    square_seed = examples * ((differences - mean[..., None]) ** 2).sum(axis=-1)
    square_example = of_difference(shared) / seeds - seeds * examples * mean**2
    left = whole - seeds * examples * mean**2 - square_seed - square_example
    few = max(seeds - 1, 1)
    return MeanSquares(
        mean,
        np.where(square_seed < 1e-9, 0, square_seed) / few,
        square_example / (examples - 1),
        np.where(left < 1e-6, 0, left) / (few * (examples - 1)),
        seeds,
        examples,
    )


# -- what whichtune says -------------------------------------------------------------------------------


@lru_cache
def _range_table(rows: int) -> tuple[FloatArray, FloatArray]:
    far = np.linspace(0.0, 6.5, 1301)
    from scipy.stats import norm

    return far, np.asarray(range_beyond(2 * norm.sf(far), rows))


def quick_range(p: FloatArray, rows: int) -> FloatArray:
    """`range_beyond` by interpolation, for many studies."""
    if rows == 2:
        return p
    far = -ndtri(np.clip(p, 1e-300, 1.0) / 2)
    return np.where(far > 6.4, rows * (rows - 1) / 2 * p, np.interp(far, *_range_table(rows)))


@dataclass(frozen=True)
class Said:
    """What a procedure says of N studies: the tests of all pairs `(N, M)`, adjusted p, and what is known together."""

    test: CrossedTest
    p: FloatArray
    adjusted: FloatArray
    standing: Standing | None = field(default=None)


def noise_of(drawn: Drawn) -> StudyNoise:
    """What is alike in all studies of a cell."""
    able = drawn.cell.drawing if drawn.cell.n_seeds > 1 else []
    return StudyNoise((), (drawn.cell.n_seeds - 1,) * len(able), 1.0, NO_SEED_SEEN)


def pair_noise(drawn: Drawn) -> tuple[SeedNoise, FloatArray, FloatArray]:
    """Seed noise of every pair with the study's help, and the variances of the pair's sides and of the study."""
    cell, study = drawn.cell, noise_of(drawn)
    variances = drawn.variance[:, cell.drawing][:, None, :]
    sides = np.array([sum(row in cell.drawing for row in pair) for pair in cell.pairs])
    own = np.stack([drawn.variance[:, list(pair)] for pair in cell.pairs], axis=1)
    prior = study.prior if cell.n_seeds < 3 else None
    if not study.degrees:
        variances = np.zeros((len(own), 1, 0))
    return (
        seed_noise(drawn.squares, own, sides, variances, study.degrees, study.floor, prior),
        own,
        variances,
    )


def say(drawn: Drawn) -> Said:
    """whichtune's procedure: tests of all pairs, the closed correction, and the standing of the rows."""
    noise, _, _ = pair_noise(drawn)
    test = CrossedTest(drawn.squares, Reference.of(drawn.squares, noise))
    p = test.p_difference()
    return Said(test, p, closed_pairs(p, drawn.cell.pairs, quick_range), standing(drawn))


def standing(drawn: Drawn) -> Standing:
    """What is known of the rows together."""
    cell, study = drawn.cell, noise_of(drawn)
    count, studies = cell.rows, len(drawn.by_seed)
    variances = drawn.variance[:, cell.drawing] if study.degrees else np.zeros((studies, 0))
    example, seed, df = (np.zeros((studies, count, count)) for _ in range(3))
    for number, (a, b) in enumerate(cell.pairs):
        sides = [row for row in (a, b) if row in cell.drawing]
        squares = _of_pair(drawn.squares, number)
        parts = pair_parts(squares, drawn.variance[:, sides], [cell.n_seeds] * len(sides), study, variances)
        for matrix, part in zip((example, seed, df), parts, strict=True):
            matrix[:, a, b] = matrix[:, b, a] = part
    run, run_df = np.zeros((studies, count)), np.ones((studies, count))
    for row in cell.drawing:
        run[:, row], run_df[:, row] = run_parts(drawn.variance[:, row], cell.n_seeds - 1, study, variances)
    return Standing(drawn.mean, run / cell.n_seeds, run_df, run, example, seed, df)


def _of_pair(squares: MeanSquares, number: int) -> MeanSquares:
    return MeanSquares(
        *(getattr(squares, name)[:, number] for name in ("mean", "seed", "example", "residual")),
        n_seeds=squares.n_seeds,
        n_examples=squares.n_examples,
    )


# -- what it said before ---------------------------------------------------------------------------------


def say_formerly(drawn: Drawn) -> Said:
    """The procedure of release 0.1 on the same draws: no floor under seed noise, Satterthwaite's degrees of freedom
    at any number of seeds, Holm's steps. Two seeds allowed no test there."""
    cell, squares = drawn.cell, drawn.squares
    study = drawn.variance[:, cell.drawing][:, None, :]
    degrees = np.full(len(cell.drawing), cell.n_seeds - 1.0)
    sides = np.array([sum(row in cell.drawing for row in pair) for pair in cell.pairs])
    own = np.stack([drawn.variance[:, list(pair)] for pair in cell.pairs], axis=1)
    alone = own_noise(squares)
    scale = np.maximum(own.max(axis=-1), squares.residual / squares.n_examples / np.maximum(sides, 1))
    kept = np.where(quiet_enough(study, degrees, scale[..., None], cell.n_seeds - 1), degrees, 0.0)
    total, weight = (kept * study).sum(axis=-1), kept.sum(axis=-1)
    average = np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)
    spread = (kept * study**2).sum(axis=-1)
    df = np.divide(total**2, spread, out=np.zeros_like(total), where=spread > 0)
    variance = np.maximum.reduce([alone.variance, own.sum(axis=-1), sides * average])
    reference = Reference.of(squares, SeedNoise(variance, np.maximum(df, alone.df)))
    test = CrossedTest(squares, reference)
    p = np.minimum(1.0, 2 * reference.sf(np.abs(squares.mean)))
    return Said(test, p, holm_rows(p))


def holm_rows(p: FloatArray) -> FloatArray:
    """Holm's steps in each row of `(N, M)`."""
    order = np.argsort(p, axis=1)
    steps = np.take_along_axis(p, order, axis=1) * np.arange(p.shape[1], 0, -1)
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, np.minimum(np.maximum.accumulate(steps, axis=1), 1.0), axis=1)
    return adjusted
