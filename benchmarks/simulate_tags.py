"""Whether intervals and paired tests of metrics of tagged words keep what they promise, by simulation.

    python benchmarks/simulate_tags.py [--sets 2000] [--types 4] [--draw 0]

Sentences have entities of types from common to rare, the more the longer they are, and some sentences are harder than
others for all rows. A row finds an entity, gets its words wrong, or misses it, and finds some that are none. Two rows
are alike in truth and share half of their noise; a third is worse. Told are the shares of test sets whose 95 % interval
of one row holds the true value, those in which the paired test finds a difference between the two alike at 5 %, and
those in which it finds the worse one.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from whichtune.metrics import Metric, metrics_of
from whichtune.stats.intervals import bca
from whichtune.stats.pairs import compare_scores
from whichtune.stats.scores import figure_scores, most_of_one

SIGNAL, WORSE = 1.1, 0.95
BOUNDARY = 0.5  # how far below finding an entity its words are got wrong
FALSE = 1.0  # how far above none a word must look like an entity
LARGE = 200_000  # sentences by which the true values are found
Counts = tuple[NDArray[np.int64], NDArray[np.int64]]


def drawn(random: np.random.Generator, sentences: int, types: int) -> list[Counts]:
    """Counts of entities (E, K, 3) and words (E, 2) of the two rows that are alike, and of the worse one."""
    length = 4 + random.poisson(12, sentences)
    hard = random.normal(0, 0.7, sentences)
    shares = np.geomspace(0.8, 0.08, types) * length[:, None] / 16
    true, others = random.poisson(shares), random.poisson(shares / 2)  # entities, and what may be taken for one
    at, at_other = (np.repeat(np.arange(true.size), each.ravel()) for each in (true, others))
    shared, shared_other = random.normal(size=len(at)), random.normal(size=len(at_other))
    rows = []
    for signal in (SIGNAL, SIGNAL, WORSE):
        sure = signal - hard[at // types] + (shared + random.normal(size=len(at))) / 2**0.5
        like = hard[at_other // types] + (shared_other + random.normal(size=len(at_other))) / 2**0.5
        right, near = (_counted(at[chosen], true) for chosen in (sure > 0, (sure <= 0) & (sure > -BOUNDARY)))
        false = _counted(at_other[like > FALSE], true)
        counts = np.stack([right, right + near + false, true], axis=-1)
        wrong = np.minimum((true - right + false).sum(axis=1), length)
        rows.append((counts, np.stack([length - wrong, length], axis=-1)))
    return rows


def _counted(cells: NDArray[np.int64], like: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.bincount(cells, minlength=like.size).reshape(like.shape)


def scored(metric: Metric, counts: Counts) -> NDArray[np.float64]:
    """The metric, sentence by sentence (E,)."""
    assert metric.of_tags is not None
    return metric.of_tags(*counts)


def one_size(
    metric: Metric, truth: float, sentences: int, types: int, sets: int, draw: int
) -> tuple[float, float, float]:
    """Coverage, the rate of false differences, and the power, over so many test sets."""
    held, false, found = [], [], []
    for seed in range(sets):
        rows = drawn(np.random.default_rng([sentences, seed, *([draw] if draw else [])]), sentences, types)
        first, second, worse = (scored(metric, counts) for counts in rows)
        span = bca(first)
        held.append(span is not None and span[0] <= truth <= span[1])
        for other, rates in ((second, false), (worse, found)):
            p = compare_scores(*(figure_scores(row, most_of_one(row)) for row in (first, other)), None, False).p
            rates.append(p is not None and p <= 0.05)
    return float(np.mean(held)), float(np.mean(false)), float(np.mean(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=2000)
    parser.add_argument("--types", type=int, default=4)
    parser.add_argument("--draw", type=int, default=0, help="another number draws other test sets")
    asked = parser.parse_args()
    rows = drawn(np.random.default_rng(123), LARGE, asked.types)
    print("| metric | true value | sentences | interval holds it | false differences | worse row found |")
    print("| --- | --- | --- | --- | --- | --- |")
    for metric in metrics_of("tags"):
        truth = float(scored(metric, rows[0]).mean())
        for sentences in (100, 300, 1000):
            held, false, found = one_size(metric, truth, sentences, asked.types, asked.sets, asked.draw)
            told = f"{100 * held:.1f} % | {100 * false:.1f} % | {100 * found:.0f} %"
            print(f"| {metric.title} | {100 * truth:.1f} % | {sentences:,} | {told} |", flush=True)


if __name__ == "__main__":
    main()
