"""Learning curves: a method's score against the number of training texts, what more of them are worth, and from where
on one method overtakes another.

What is unknown of the rows' true scores is drawn as for a decision (`decision.posterior_means`: seeds with the study's
stated prior, test texts shared by all rows). To each draw a power law is fitted: the error falls as
`floor + scale * n ** -exponent` (Cortes and others 1993; Hestness and others 2017), the exponent held loosely near the
0.1 to 1 that such curves have. Everything said of a curve is a quantile over these fits, so it holds for new seeds
and new test texts, with this one nested draw of training texts. Scores are shares of 1, sizes are numbers of texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whichtune.stats.decision import DRAWS, posterior_means
from whichtune.stats.pairs import StudyNoise
from whichtune.stats.standing import Seen, standing_of

FloatArray = NDArray[np.float64]

LEAST_SIZES = 4  # a curve of three parameters needs one more to be doubted
EXPONENTS = np.geomspace(0.05, 2.0, 30)
USUAL_EXPONENT, EXPONENT_SPREAD = 0.35, 0.9  # the latter on the natural logarithm
LEVEL = 0.95
LEAST_CHANCE = 0.975  # that one is ahead at the first size and the other at the last, for an overtaking to be told
GRID = 256
LEVEL_SEED = 7


@dataclass(frozen=True)
class Law:
    """Power laws, one a draw: `(D,)` each."""

    floor: FloatArray
    scale: FloatArray
    exponent: FloatArray

    def score(self, sizes: FloatArray) -> FloatArray:
        """Scores `(D, N)` at these sizes `(N,)`."""
        return 1.0 - self.floor[:, None] - self.scale[:, None] * sizes[None, :] ** -self.exponent[:, None]


def fit_laws(sizes: FloatArray, seen: FloatArray, scores: FloatArray, variance: FloatArray, seed: int = 0) -> Law:
    """A power law for each draw of scores `(D, N)` at sizes `(N,)`, where `seen (N,)` was measured with `variance
    (N,)`.

    How fast a curve falls is hardly known from a few points, so every draw has an exponent of its own, by how well
    curves of that exponent fit what was seen, times a lognormal prior. Floor and scale are then those of weighted
    least squares to the draw, neither below zero.
    """
    weight = 1.0 / np.maximum(variance, 1e-8)
    shapes = sizes[None, :] ** -EXPONENTS[:, None]
    prior = (np.log(EXPONENTS / USUAL_EXPONENT) / EXPONENT_SPREAD) ** 2
    fitted = [_line(shape, 1.0 - seen[None, :], weight) for shape in shapes]
    misfit = np.array(
        [
            float(((1.0 - seen - floor[0] - scale[0] * shape) ** 2 * weight).sum())
            for shape, (floor, scale) in zip(shapes, fitted, strict=True)
        ]
    )
    chance = np.exp(-(misfit + prior - (misfit + prior).min()) / 2)
    chosen = np.random.default_rng(seed).choice(len(EXPONENTS), size=len(scores), p=chance / chance.sum())
    floors, scales = np.zeros(len(scores)), np.zeros(len(scores))
    for place in np.unique(chosen):
        drawn = chosen == place
        floors[drawn], scales[drawn] = _line(shapes[place], 1.0 - scores[drawn], weight)
    return Law(floors, scales, EXPONENTS[chosen])


def true_scores(rows: Sequence[Seen], study: StudyNoise, draws: int = DRAWS) -> FloatArray:
    """Draws `(D, K)` of the rows' true scores: as for a decision, with what the choice of test texts does to all of
    them alike, which cancels between rows and not from a row's own figure."""
    standing = standing_of(rows, study)
    own = np.array([row.scores.values.mean(axis=0).var(ddof=1) / row.scores.values.shape[1] for row in rows])
    shared = (own[:, None] + own[None, :] - standing.example) / 2
    level = max(float(shared.mean()), 0.0)
    common = np.random.default_rng(LEVEL_SEED).standard_normal(draws) * np.sqrt(level)
    drawn: FloatArray = posterior_means(standing, draws) + common[:, None]
    return drawn


def _line(shape: FloatArray, errors: FloatArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Floor and scale `(D,)` of weighted least squares, both cut at zero."""
    total, middle = weight.sum(), (weight * shape).sum() / weight.sum()
    mean = errors @ weight / total
    around = shape - middle
    scale = (errors * (weight * around)).sum(axis=1) / (weight * around**2).sum()
    scale = np.maximum(scale, 0.0)
    floor = mean - scale * middle
    alone = np.maximum((errors * (weight * shape)).sum(axis=1) / (weight * shape**2).sum(), 0.0)
    return np.maximum(floor, 0.0), np.where(floor < 0, alone, scale)


@dataclass(frozen=True)
class Span:
    """A figure by its draws: the median, and the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, drawn: FloatArray) -> Span:
        tail = (1 - LEVEL) / 2
        low, middle, high = np.quantile(drawn, [tail, 0.5, 1 - tail])
        return cls(float(middle), float(low), float(high))


@dataclass(frozen=True)
class HeldOut:
    """What the smaller sizes foretell of the largest, with its interval, and what was seen there."""

    size: int
    foretold: Span
    seen: float

    @property
    def holds(self) -> bool:
        return self.foretold.low <= self.seen <= self.foretold.high


def held_out(sizes: FloatArray, seen: FloatArray, scores: FloatArray, variance: FloatArray) -> HeldOut:
    """Foretell the largest size from the others: `scores (D, N)` are draws, `seen (N,)` the measured scores."""
    law = fit_laws(sizes[:-1], seen[:-1], scores[:, :-1], variance[:-1])
    foretold = law.score(sizes[-1:])[:, 0]
    noise = np.random.default_rng(1).standard_normal(len(foretold)) * np.sqrt(variance[-1])
    return HeldOut(int(sizes[-1]), Span.of(foretold + noise), float(seen[-1]))


def gain(law: Law, size: int, larger: int) -> Span:
    """What training on `larger` instead of `size` texts gains."""
    at = law.score(np.array([size, larger], dtype=np.float64))
    return Span.of(at[:, 1] - at[:, 0])


@dataclass(frozen=True)
class Overtaking:
    """From how many texts on the second is ahead of the first; `chance` that it is behind at the smallest size and
    ahead at the largest. `at` is None where that chance is too small to say so."""

    chance: float
    at: Span | None


def overtaking(first: Law, second: Law, low: int, high: int) -> Overtaking:
    """Where the second curve overtakes the first between two sizes."""
    grid = np.geomspace(low, high, GRID)
    ahead = second.score(grid) > first.score(grid)  # (D, GRID)
    crosses = ~ahead[:, 0] & ahead[:, -1]
    chance = float(crosses.mean())
    if chance < LEAST_CHANCE:
        return Overtaking(chance, None)
    last_behind = GRID - 1 - np.argmin(ahead[:, ::-1], axis=1)  # the last place at which it is not ahead
    at = Span.of(grid[last_behind][crosses])
    inside = grid[1] < at.low and at.high < grid[-2]  # at either end one of the two is hardly seen to lead
    return Overtaking(chance, at if inside else None)
