"""Intervals of single runs and of single methods."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from whichtune.stats import crossed
from whichtune.stats.answers import Row, TestSet
from whichtune.stats.intervals import Interval, bca, f1_macro_interval, wilson
from whichtune.stats.pairs import StudyNoise, pooled_noise
from whichtune.stats.results import MethodFigures, RunFigures
from whichtune.stats.scores import ROUGE, Scores, confusion, f1_macro_of_confusion, scores

MOST_RESAMPLED = 3_000


def run_figures(row: Row, test: TestSet) -> list[RunFigures]:
    """Each completed run with its intervals on the test split."""
    figures = []
    for seed in row.seeds:
        if row.answers[seed].figures:
            figures.append(_text_figures(row, seed, test))
            continue
        predictions, losses = row.answers[seed].predictions, row.answers[seed].losses
        right = int((predictions == test.labels).sum())
        counts = confusion(test.labels, predictions, test.classes)
        known = bool(np.isfinite(losses).all())
        figures.append(
            RunFigures(
                run_id=row.completed[seed].run_id,
                label=row.label,
                seed=seed,
                n=test.n,
                accuracy=right / test.n,
                accuracy_interval=wilson(right, test.n),
                f1_macro=float(f1_macro_of_confusion(counts)),
                f1_macro_interval=_f1_interval(row, seed, test),
                loss=float(losses.mean()) if known else None,
                loss_interval=_mean_interval(losses) if known else None,
            )
        )
    return figures


def _text_figures(row: Row, seed: int | None, test: TestSet) -> RunFigures:
    """A run that wrote texts: each figure that it has, with its bootstrap interval."""
    values = {name: row.scores(name, test, [seed]).values[0] for name in (*ROUGE, "loss") if row.can(name)}
    return RunFigures(
        run_id=row.completed[seed].run_id,
        label=row.label,
        seed=seed,
        n=test.n,
        figures={name: float(each.mean()) for name, each in values.items()},
        intervals={name: _mean_interval(each) for name, each in values.items()},
    )


def _f1_interval(row: Row, seed: int | None, test: TestSet) -> Interval | None:
    """BCa; above 3,000 examples, where it would take seconds, the linearised normal interval it tends to."""
    predictions = row.answers[seed].predictions
    if test.n <= MOST_RESAMPLED:
        return f1_macro_interval(test.labels, predictions, test.classes)
    values = scores("f1_macro", test.labels, predictions, test.classes).values[0]
    return _normal(values) if not np.array_equal(test.labels, predictions) else None


def _mean_interval(losses: np.ndarray) -> Interval | None:
    return bca(losses) if len(losses) <= MOST_RESAMPLED else _normal(losses)


def _normal(values: np.ndarray) -> Interval:
    half = 1.959964 * float(values.std(ddof=1)) / math.sqrt(len(values))
    return float(values.mean()) - half, float(values.mean()) + half


def method_figures(row: Row, test: TestSet | None, metric: str, study: StudyNoise) -> MethodFigures:
    """One label over its seeds: mean, seed noise and an interval where the seeds allow one."""
    figures = MethodFigures(
        label=row.label,
        role=str(row.role),
        method=row.method,
        metric=metric,
        seeds=row.seeds,
        failed=len(row.failed),
        costs=row.costs,
    )
    if test is None or not row.can(metric):
        return figures
    scored = row.scores(metric, test, row.seeds)
    table = scored.values
    by_seed = table.mean(axis=1)
    found: dict[str, Any] = {
        "validation": row.mean_metric("validation", metric),
        "test": float(by_seed.mean()),
        "test_by_seed": [float(x) for x in by_seed],
        "seed_sd": float(by_seed.std(ddof=1)) if len(by_seed) > 1 else None,
    }
    if len(table) == 1:
        found |= {
            "interval": _one_model(row, test, metric),
            "interval_holds_for": "this trained model and new examples",
        }
    elif len(table) >= crossed.MIN_SEEDS:
        found |= {
            "interval": _over_seeds(row, scored, test, metric, study),
            "interval_holds_for": "new seeds and new examples",
        }
    return figures.model_copy(update=found)


def _one_model(row: Row, test: TestSet, metric: str) -> Interval | None:
    seed = row.seeds[0]
    if metric == "accuracy":
        return wilson(int((row.answers[seed].predictions == test.labels).sum()), test.n)
    if metric == "f1_macro":
        return _f1_interval(row, seed, test)
    return _mean_interval(row.scores(metric, test, [seed]).values[0])


def _over_seeds(row: Row, scored: Scores, test: TestSet, metric: str, study: StudyNoise) -> Interval | None:
    if scored.constant:
        return _one_model(row, test, metric)
    noise = pooled_noise(crossed.mean_squares(scored.values), (scored,), study)
    low, high = (float(x) for x in crossed.crossed_test(scored.values, noise).interval(weight=None))
    return (max(low, 0.0), high if metric == "loss" else min(high, 1.0))
