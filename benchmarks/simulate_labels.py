"""Whether intervals and paired tests of metrics of sets of labels keep what they promise, by simulation.

    python benchmarks/simulate_labels.py [--sets 2000] [--labels 6]

Texts have labels of shares from 0.4 down to 0.04. Two rows answer each text with logits of the same distribution, half
of whose noise they share, so that they are alike in truth; a third is worse. Thresholds are given, as a run's are on
test. Told are the shares of test sets whose 95 % interval of one row holds the true value, those in which the paired
test finds a difference between the two alike at 5 %, and those in which it finds the worse one.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from whichtune.metrics import Metric, metrics_of
from whichtune.metrics.labels import probabilities_of
from whichtune.stats.intervals import bca, wilson
from whichtune.stats.pairs import compare_scores
from whichtune.stats.scores import figure_scores, most_of_one

SIGNAL, WORSE, THRESHOLD = 2.6, 2.2, 0.35
LARGE = 200_000  # texts by which the true values are found
Logits = NDArray[np.float64]


def drawn(random: np.random.Generator, texts: int, labels: int) -> tuple[NDArray[np.bool_], list[Logits]]:
    """True labels (E, L), and logits (E, L) of the two rows that are alike and of the worse one."""
    shares = np.geomspace(0.4, 0.04, labels)
    true = random.random((texts, labels)) < shares
    shared = random.normal(size=true.shape)
    centre = np.log(shares / (1 - shares)) - 0.3
    noise = [(shared + random.normal(size=true.shape)) / 2**0.5 for _ in range(3)]
    return true, [centre + signal * true + each for signal, each in zip((SIGNAL, SIGNAL, WORSE), noise, strict=True)]


def scored(metric: Metric, logits: Logits, true: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The metric, text by text (E,)."""
    assert metric.of_labels is not None
    probabilities = probabilities_of(logits)
    return metric.of_labels(probabilities >= THRESHOLD, probabilities, true)


def one_size(metric: Metric, truth: float, texts: int, labels: int, sets: int) -> tuple[float, float, float]:
    """Coverage, the rate of false differences, and the power, over so many test sets."""
    binary = metric.resampling == "proportion"
    held, false, found = [], [], []
    for seed in range(sets):
        true, rows = drawn(np.random.default_rng([texts, seed]), texts, labels)
        first, second, worse = (scored(metric, logits, true) for logits in rows)
        span = wilson(int(first.sum()), texts) if binary else bca(first)
        held.append(span is not None and span[0] <= truth <= span[1])
        for other, rates in ((second, false), (worse, found)):
            p = compare_scores(*(figure_scores(row, most_of_one(row)) for row in (first, other)), None, binary).p
            rates.append(p is not None and p <= 0.05)
    return float(np.mean(held)), float(np.mean(false)), float(np.mean(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=2000)
    parser.add_argument("--labels", type=int, default=6)
    asked = parser.parse_args()
    true, rows = drawn(np.random.default_rng(123), LARGE, asked.labels)
    print("| metric | true value | texts | interval holds it | false differences | worse row found |")
    print("| --- | --- | --- | --- | --- | --- |")
    for metric in metrics_of("labels"):
        truth = float(scored(metric, rows[0], true).mean())
        for texts in (100, 300, 1000):
            held, false, found = one_size(metric, truth, texts, asked.labels, asked.sets)
            told = f"{100 * held:.1f} % | {100 * false:.1f} % | {100 * found:.0f} %"
            print(f"| {metric.title} | {100 * truth:.1f} % | {texts:,} | {told} |", flush=True)


if __name__ == "__main__":
    main()
