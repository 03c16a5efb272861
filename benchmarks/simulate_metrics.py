"""Intervals and tests of the metrics of probabilities and of costs, where the truth is known.

    python benchmarks/simulate_metrics.py --sets 600    # ten minutes on one core

Test sets are drawn from a law of labels and logits. Of one trained model: how often the interval that a run gets holds
its figure on endlessly many texts. Of two methods of the same law: how often a
difference is shown at p <= 0.05, with one seed (these trained models) and with three (methods, seed noise among it);
and how often a true gap is shown. Writes simulate_metrics.md.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whichtune.metrics import METRICS
from whichtune.metrics.terms import Classified, Terms
from whichtune.stats.intervals import bca
from whichtune.stats.pairs import compare_scores
from whichtune.stats.scores import Scores, cost_scores, figure_scores

NAMES = ("auroc", "average_precision", "precision_at_recall", "brier", "ece", "mean_cost")
MANY = 400_000
SEED_SD = 0.08  # of a seed's signal
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Law:
    """Texts of `shares` classes; logits are the label's `signal` plus noise, a part of which belongs to the text."""

    shares: tuple[float, ...]
    signal: float = 1.5

    @property
    def terms(self) -> Terms:
        count = len(self.shares)
        costs = tuple(tuple(0.0 if i == j else 1.0 + 4.0 * (i > j) for j in range(count)) for i in range(count))
        return Terms(0.9, int(np.argmin(self.shares)) if count == 2 else None, costs)

    def texts(self, random: np.random.Generator, n: int) -> tuple[NDArray[np.int64], FloatArray]:
        """Labels `(n,)` and what all models make of the texts `(n, C)`."""
        labels = random.choice(len(self.shares), n, p=self.shares)
        return labels, 0.7 * random.standard_normal((n, len(self.shares)))

    def answered(
        self, random: np.random.Generator, labels: NDArray[np.int64], shared: FloatArray, own: FloatArray, signal: float
    ) -> Classified:
        """One run; `own` (n, C) is what its method makes of the texts."""
        logits = shared + own + 0.5 * random.standard_normal(shared.shape) + np.log(self.shares)
        logits[np.arange(len(labels)), labels] += signal
        return Classified(labels, logits.argmax(axis=1), logits, len(self.shares))

    def run(self, random: np.random.Generator, n: int) -> Classified:
        labels, shared = self.texts(random, n)
        return self.answered(random, labels, shared, 0.5 * random.standard_normal(shared.shape), self.signal)


LAWS = {
    "2 classes, half each": Law((0.5, 0.5)),
    "2 classes, 10 % in one": Law((0.9, 0.1)),
    "4 classes": Law((0.4, 0.3, 0.2, 0.1)),
}


def each(name: str, given: Classified, terms: Terms) -> FloatArray:
    of_each = METRICS[name].of_each
    assert of_each is not None
    return of_each(given, terms)


def coverage(law: Law, n: int, sets: int, seed: int) -> dict[str, tuple[float, float]]:
    """Of each metric the share of intervals that hold the truth, and of those that do not the share that lies below."""
    random = np.random.default_rng(seed)
    truth = {name: float(each(name, law.run(random, MANY), law.terms).mean()) for name in NAMES}
    held, below = dict.fromkeys(NAMES, 0), dict.fromkeys(NAMES, 0)
    for _ in range(sets):
        given = law.run(random, n)
        for name in NAMES:
            found = bca(each(name, given, law.terms))
            assert found is not None
            held[name] += found[0] <= truth[name] <= found[1]
            below[name] += found[1] < truth[name]
    return {name: (held[name] / sets, below[name] / sets) for name in NAMES}


def shown(law: Law, n: int, seeds: int, pairs: int, gap: float, seed: int) -> dict[str, float]:
    """The share of pairs of methods that are shown to differ; `gap` is how much more signal one has."""
    random = np.random.default_rng(seed)
    found = dict.fromkeys(NAMES, 0)
    for _ in range(pairs):
        labels, shared = law.texts(random, n)
        sides = []
        for more in (0.0, gap):
            own = 0.4 * random.standard_normal(shared.shape)
            noise = SEED_SD * random.standard_normal(seeds) * (seeds > 1)
            sides.append([law.answered(random, labels, shared, own, law.signal + more + one) for one in noise])
        for name in NAMES:
            first, second = (_scores(name, side, law.terms) for side in sides)
            p = compare_scores(first, second, None, False, brief=True).p
            found[name] += p is not None and p <= 0.05
    return {name: count / pairs for name, count in found.items()}


def _scores(name: str, runs: list[Classified], terms: Terms) -> Scores:
    values = np.stack([each(name, run, terms) for run in runs])
    return cost_scores(values, terms) if name == "mean_cost" else figure_scores(values)


def table(sets: int) -> list[str]:
    header = f"| case | {' | '.join(METRICS[name].title for name in NAMES)} |"
    rule = "| --- |" + " --- |" * len(NAMES)
    lines = [
        "# Metrics of probabilities: intervals and tests",
        "",
        f"Made by `python benchmarks/simulate_metrics.py --sets {sets}`, {sets:,} draws a cell.",
        "",
        "## Intervals of one trained model",
        "",
        "% of intervals of 95 % that hold the true figure (in brackets: % that lie below it).",
        "",
        header,
        rule,
    ]
    for place, (title, law) in enumerate(LAWS.items()):
        for n in (300, 1000):
            found = coverage(law, n, sets, place)
            cells = [f"{100 * held:.1f} ({100 * below:.1f})" for held, below in found.values()]
            lines.append(f"| {title}, {n:,} texts | {' | '.join(cells)} |")
    for gap, words in ((0.0, "False differences"), (0.25, "A true gap (signal 1.5 against 1.75)")):
        lines += ["", f"## {words}", "", "% of pairs with p <= 0.05.", "", header, rule]
        for place, (title, law) in enumerate(LAWS.items()):
            for seeds in (1, 3):
                for n in (300, 1000) if not gap else (1000,):
                    share = shown(law, n, seeds, sets, gap, 10 + place).values()
                    cells = " | ".join(f"{100 * one:.1f}" for one in share)
                    lines.append(f"| {title}, {n:,} texts, {seeds} seed{'s' if seeds > 1 else ''} | {cells} |")
    return lines


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=600)
    chosen = parser.parse_args()
    target = Path(__file__).with_suffix(".md")
    target.write_text("\n".join(table(chosen.sets)) + "\n", encoding="utf-8")
