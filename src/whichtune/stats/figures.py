"""Intervals of single runs and of single methods."""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from whichtune.metrics import METRICS, Metric
from whichtune.stats import crossed
from whichtune.stats.answers import Row, TestSet
from whichtune.stats.intervals import Interval, bca, confusion_interval, wilson
from whichtune.stats.pairs import StudyNoise, pooled_noise
from whichtune.stats.results import MethodFigures, RunFigures
from whichtune.stats.scores import FloatArray, Scores, total_scores
from whichtune.stats.squares import mean_squares

MOST_RESAMPLED = 3_000
SIGNED = ("mcc", "kappa")  # shares of 1 that can be below 0


def run_figures(row: Row, test: TestSet, asked: Collection[str]) -> list[RunFigures]:
    """Each completed run with its intervals on the test split, by every metric that its answers allow; of those on
    request by the ones that are `asked` for."""
    return [_figures_of_run(row, seed, test, asked) for seed in row.seeds]


def _figures_of_run(row: Row, seed: int | None, test: TestSet, asked: Collection[str]) -> RunFigures:
    test = test.part(row.answers[seed])
    wanted = [metric for metric in METRICS.values() if not metric.on_request or metric.name in asked]
    able = [metric for metric in wanted if row.answers[seed].has(metric.name)]
    values = {metric.name: _one_figure(row, seed, test, metric) for metric in able}
    intervals = {metric.name: _one_model(row, seed, test, metric) for metric in able}
    # The first metrics have fields of their own, but for written texts, whose loss is a token's.
    own = [] if row.answers[seed].figures else [name for name in values if name in RunFigures.model_fields]
    return RunFigures(
        run_id=row.completed[seed].run_id,
        label=row.label,
        seed=seed,
        n=test.n,
        **{name: values[name] for name in own},
        **{f"{name}_interval": intervals[name] for name in own},
        figures={name: value for name, value in values.items() if name not in own},
        intervals={name: value for name, value in intervals.items() if name not in own},
    )


def _one_figure(row: Row, seed: int | None, test: TestSet, metric: Metric) -> float:
    if metric.of_confusion is not None:
        return metric.of_classes(test.labels, row.answers[seed].predictions, test.classes)
    return float(row.scores(metric.name, test, [seed]).values[0].mean())


def _one_model(row: Row, seed: int | None, test: TestSet, metric: Metric) -> Interval | None:
    """The interval of one trained model for new examples."""
    test = test.part(row.answers[seed])
    if metric.resampling == "confusion":
        return _confusion_interval(row, seed, test, metric)
    if metric.resampling == "totals":
        return _totals_interval(row.answers[seed].parts[metric.name], metric)
    values = row.scores(metric.name, test, [seed]).values[0]
    if metric.resampling == "proportion":
        return wilson(int(values.sum()), test.n)
    found = _mean_interval(values)
    if found is not None and metric.answers in ("labels", "tags"):
        return max(found[0], 0.0), min(found[1], 1.0)  # influence reaches beyond what a share can be
    return found if found is None or metric.of_each is None else _inside(metric, found)


def _confusion_interval(row: Row, seed: int | None, test: TestSet, metric: Metric) -> Interval | None:
    """BCa; the linearised normal interval that it tends to above 3,000 examples, where it would take seconds, and
    where resamples lose so many classes that it says nothing. None where no answer is wrong."""
    predictions = row.answers[seed].predictions
    if np.array_equal(test.labels, predictions) or test.n < 2:
        return None
    if test.n <= MOST_RESAMPLED:
        found = confusion_interval(metric.counted_in, test.labels, predictions, test.classes)
        if found is not None:
            return found
    return _inside(metric, _normal(row.scores(metric.name, test, [seed]).values[0]))


def _inside(metric: Metric, ends: Interval) -> Interval:
    """An interval without what the metric cannot be."""
    least = -1.0 if metric.name in SIGNED else metric.least
    return max(ends[0], least), min(ends[1], 1.0) if metric.unit == "points" else ends[1]


def _totals_interval(parts: FloatArray, metric: Metric) -> Interval | None:
    """BCa of a metric of totals, to which each example adds `parts (E, K)`."""
    of_totals = metric.of_totals
    assert of_totals is not None
    if len(parts) > MOST_RESAMPLED:
        return _inside(metric, _normal(total_scores(metric, parts)))

    def statistic(sample: NDArray[np.int64], axis: int = -1) -> FloatArray:
        return of_totals(parts[sample].sum(axis=axis if axis >= 0 else axis - 1))

    if (parts == parts[0]).all():
        return None
    return bca(np.arange(len(parts)), statistic)


def _mean_interval(losses: FloatArray) -> Interval | None:
    return bca(losses) if len(losses) <= MOST_RESAMPLED else _normal(losses)


def _normal(values: FloatArray) -> Interval:
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
    by_seed = scored.shown
    found: dict[str, object] = {
        "validation": row.mean_metric("validation", metric),
        "test": float(by_seed.mean()),
        "test_by_seed": [float(x) for x in by_seed],
        "seed_sd": float(by_seed.std(ddof=1)) if len(by_seed) > 1 else None,
    }
    if len(table) == 1:
        found |= {
            "interval": _one_model(row, row.seeds[0], test, METRICS[metric]),
            "interval_holds_for": "this trained model and new examples",
        }
    else:
        found |= {
            "interval": _over_seeds(row, scored, test, metric, study),
            "interval_holds_for": (
                "new seeds and new examples" if scored.stretch is None else "new splits, training texts included"
            ),
        }
    return figures.model_copy(update=found)


def _over_seeds(row: Row, scored: Scores, test: TestSet, metric: str, study: StudyNoise) -> Interval | None:
    if (scored.constant and scored.stretch is None) or test.n < 2:
        return _one_model(row, row.seeds[0], test, METRICS[metric])
    noise = pooled_noise(mean_squares(scored.values), (scored,), study)
    low, high = (float(x) for x in crossed.crossed_test(scored.values, noise).interval(weight=None))
    return _inside(METRICS[metric], (low, high))
