"""How sure a classifier is against how often it is right. Numbers only, without scipy: the report draws from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEAST_IN_BIN = 20  # texts: with fewer an interval of 95 % is wider than 40 points at worst
MOST_BINS = 10
LEAST_TEXTS = 100  # five bins
NORMAL_975 = 1.959963984540054
CHANCE_DRAWS = 100

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Bin:
    """Answers that were about as sure: how many, their mean probability, the share of right ones and its 95 %
    interval. All but the count are shares of 1."""

    answers: int
    confidence: float
    accuracy: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Reliability:
    """Bins of equal counts over all seeds, the least sure first.

    `error` is the expected calibration error of one trained model, a mean over seeds: the mean over its answers of the
    gap between their bin's confidence and its accuracy. `by_chance` is what it would be on average if every answer were
    right as often as it is sure: with few texts it is well above zero.
    """

    bins: list[Bin]
    error: float
    by_chance: float
    confidence: float
    accuracy: float


def confidences(logits: FloatArray) -> FloatArray:
    """Probability of the likeliest class `(n,)`, from logits `(n, C)`."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(1 / np.exp(shifted).sum(axis=1))


def reliability(seeds: Sequence[tuple[FloatArray, NDArray[np.bool_]]]) -> Reliability | None:
    """Calibration of answers: of each seed how sure it was `(n,)` and whether it was right `(n,)`, over the same texts.

    None below LEAST_TEXTS texts. Bins hold equally many answers (Nixon et al. 2019), at least LEAST_IN_BIN texts each;
    the error over them is that of Naeini, Cooper and Hauskrecht (2015). Intervals are Wilson's, of as many texts as one
    seed has in a bin, since the seeds' answers to one text are not independent. `by_chance` is by consistency
    resampling (Bröcker and Smith 2007).
    """
    texts = min((len(sure) for sure, _ in seeds), default=0)
    if texts < LEAST_TEXTS:
        return None
    sure, hit = _in_order(*(np.concatenate([one[part] for one in seeds]) for part in (0, 1)))
    edges = _edges(len(sure), texts)
    bins = [
        Bin(b - a, float(sure[a:b].mean()), share := float(hit[a:b].mean()), wilson_share(share, (b - a) / len(seeds)))
        for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    ]
    errors = [_errors(*_in_order(*one)) for one in seeds]
    error, by_chance = (float(np.mean([found[part] for found in errors])) for part in (0, 1))
    return Reliability(bins, error, by_chance, float(sure.mean()), float(hit.mean()))


def _in_order(sure: FloatArray, right: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
    """The least sure answer first; right ones are 1."""
    order = np.argsort(sure, kind="stable")
    return sure[order], right[order].astype(np.float64)


def _edges(answers: int, texts: int) -> NDArray[np.int64]:
    """Where bins of equal counts begin and end."""
    return np.linspace(0, answers, min(MOST_BINS, texts // LEAST_IN_BIN) + 1).round().astype(np.int64)


def _errors(sure: FloatArray, hit: FloatArray) -> tuple[float, float]:
    """The expected calibration error of one model's answers in order, and that of answers right as often as sure."""
    edges = _edges(len(sure), len(sure))
    random = np.random.default_rng(0)
    drawn = random.random((CHANCE_DRAWS, len(sure))) < sure
    return float(_error(sure, hit, edges)), float(_error(sure, drawn.astype(np.float64), edges).mean())


def _error(sure: FloatArray, hit: FloatArray, edges: NDArray[np.int64]) -> FloatArray:
    """Expected calibration error of answers in order `(..., n)`."""
    gaps = np.add.reduceat(hit - sure, edges[:-1], axis=-1)
    return np.asarray(np.abs(gaps).sum(axis=-1) / len(sure))


def wilson_share(share: float, n: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of `n` texts (Wilson 1927)."""
    z = NORMAL_975**2 / n
    middle = (share + z / 2) / (1 + z)
    half = math.sqrt(z * (share * (1 - share) + z / 4)) / (1 + z)
    return max(0.0, middle - half), min(1.0, middle + half)
