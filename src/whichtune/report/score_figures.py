"""Scores by seed, scores against costs, and bars: computed here, drawn elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard

from whichtune.metrics import METRICS, Metric, metrics_of
from whichtune.report import words
from whichtune.report.drawing.kinds import (
    MARKS,
    Bar,
    BarPanel,
    Bars,
    CostPoint,
    Data,
    Dots,
    Scatter,
    ScoredRow,
)
from whichtune.report.published import published_of
from whichtune.report.rows import TableRow
from whichtune.report.view import View
from whichtune.report.words import few, number, span
from whichtune.wording import plural


@dataclass(frozen=True)
class CostAxis:
    """A cost that scores can be drawn against: `divisor` takes the recorded figure to `unit`, `show` writes it."""

    name: str
    unit: str
    divisor: float
    show: words.Show

    @property
    def title(self) -> str:
        return f"{self.name} ({self.unit})" if self.unit else self.name


COST_AXES: dict[str, CostAxis] = {
    "training_seconds": CostAxis("Training time", "seconds", 1, words.seconds),
    "peak_memory_bytes": CostAxis("Peak memory", "MiB", 2**20, words.mebibytes),
    "trainable_parameters": CostAxis("Trainable parameters", "", 1, words.whole),
    "inference_ms": CostAxis("Inference", "ms a text", 1, words.seconds),
    "inference_ms_batch_32": CostAxis("Inference in batches of 32", "ms a text", 1, words.seconds),
    "training_flops": CostAxis("Training operations", "GFLOP", 1e9, words.giga_operations),
    "adapter_bytes": CostAxis("Stored size", "MiB", 2**20, words.mebibytes_fine),
}
LOG_FROM = 20  # a cost axis is logarithmic where the dearest row costs this many times the cheapest


def finite(value: float | None) -> TypeGuard[float]:
    """Whether it can be drawn: a loss may have become infinite."""
    return value is not None and math.isfinite(value)


def is_wide(values: Sequence[float]) -> bool:
    """Whether an axis of these costs is better logarithmic."""
    return min(values) > 0 and max(values) / min(values) >= LOG_FROM


def score_dots(view: View) -> Dots | None:
    """The primary metric on test: every seed, the mean and its interval, the best first."""
    told = view.unit, view.digits
    rows = [
        ScoredRow(row.label, view.mark(row.label), mean, view.intervals.get(row.label), view.seeds(row.label), *told)
        for row in view.scored
        if (mean := view.score(row)) is not None
    ]
    if not rows:
        return None
    missing = [row.label for row in view.rows if view.score(row) is None]
    caption = "Small dots are seeds, the large mark is their mean"
    caption += f", the line its 95 % interval, for {' or '.join(view.interval_kinds)}." if view.intervals else "."
    if missing:
        caption += f" Without a figure, since no run of it completed: {few(missing)}."
    top, bottom, digits = rows[0], rows[-1], view.digits
    alt = f"Dot plot of test {view.metric_name} for {plural(len(rows), 'row')}. "
    first, last = ("Highest", "Lowest") if METRICS[view.metric].higher_is_better else ("Lowest", "Highest")
    alt += f"{first}: {top.label}, {view.told(top.mean)}."
    if len(rows) > 1:
        alt += f" {last}: {bottom.label}, {view.told(bottom.mean)}."
    return Dots(
        name="scores",
        title=f"Test {view.metric_name}, every seed",
        axis=f"Test {view.metric_name} ({view.unit})",
        caption=caption,
        alt=alt,
        rows=rows,
        data=Data(
            ["run", "kind", f"mean {view.unit}", "95 % interval", f"by seed {view.unit}"],
            [[r.label, MARKS[r.mark], number(r.mean, digits), span(r.span, digits), _by_seed(r, digits)] for r in rows],
        ),
    )


def _by_seed(row: ScoredRow, digits: int) -> str:
    told = [(seed, number(score, digits)) for seed, score in row.seeds]
    return ", ".join(score if seed is None else f"seed {seed}: {score}" for seed, score in told)


def pareto(points: Sequence[CostPoint], higher: bool = True) -> list[CostPoint]:
    """Points that no other beats: none is as cheap and better, nor as good and cheaper. Cheapest first."""
    front: list[CostPoint] = []
    sign = 1 if higher else -1
    for point in sorted(points, key=lambda p: (p.x, -sign * p.y)):
        if not front or sign * (point.y - front[-1].y) > 0 or (point.x == front[-1].x and point.y == front[-1].y):
            front.append(point)
    return front


def cost_figures(view: View) -> list[Scatter]:
    """The score against each cost that at least one row has."""
    return [figure for key, axis in COST_AXES.items() if (figure := _cost_figure(view, key, axis)) is not None]


def _cost_figure(view: View, key: str, axis: CostAxis) -> Scatter | None:
    points, without = [], []
    for row in view.scored:
        cost, score = row.cost(key), view.score(row)
        if cost is None or score is None:
            without.append(row.label)
            continue
        interval = view.intervals.get(row.label)
        x = cost / axis.divisor
        cells = axis.show(cost), False, view.unit, view.digits
        points.append(CostPoint(row.label, view.mark(row.label), x, score, interval, *cells))
    if not points or max(point.x for point in points) == 0:
        return None
    front = pareto(points, METRICS[view.metric].higher_is_better)
    points = [replace(point, front=point in front) for point in points]
    log = is_wide([point.x for point in points])
    caption = "The stepped line joins rows that none beats in both (the Pareto front of the means)"
    caption += "; the cost axis is logarithmic." if log else "."
    if without:
        caption += f" Without this figure: {few(without)}."
    return Scatter(
        name=f"cost-{key}",
        cost=key,
        choice=axis.name,
        title=f"Test {view.metric_name} against {axis.name.lower()}",
        axis_x=axis.title,
        axis_y=f"Test {view.metric_name} ({view.unit})",
        log=log,
        caption=caption,
        alt=f"Test {view.metric_name} against {axis.name.lower()} for {plural(len(points), 'row')}. "
        f"On the Pareto front, cheapest first: {few([point.label for point in front], 8)}.",
        points=points,
        data=Data(
            ["run", axis.title, f"test {view.metric_name} {view.unit}", "Pareto front"],
            [
                [p.label, p.cost, number(p.y, view.digits), "yes" if p.front else "no"]
                for p in sorted(points, key=lambda p: p.x)
            ],
        ),
    )


@dataclass(frozen=True)
class _Measure:
    """What a panel of bars shows: a row's value, and how it is written."""

    title: str
    of: Callable[[TableRow], float | None]
    show: words.Show


def unit_of(metric: Metric) -> str:
    """What a figure of the metric is drawn in."""
    return "%" if metric.unit == "points" else metric.unit


def _cost_measure(title: str, key: str, show: words.Show) -> _Measure:
    return _Measure(title, lambda row: row.cost(key), show)


def _score_measure(metric: Metric) -> _Measure:
    def show(value: float | None) -> str:
        return words.number(None if value is None else metric.scale * value, metric.digits)

    return _Measure(f"Test {metric.title} ({unit_of(metric)})", lambda row: row.mean("test", metric.name), show)


def cost_bars(view: View) -> Bars | None:
    """Bars of size, time, memory, loss and scores, each panel with its own axis from zero.

    Only for a study whose published figures were such bars: in any other they say what the table says.
    """
    published = published_of(view)
    if published is None or not published.bar_charts:
        return None
    measures = [
        _cost_measure("Trainable parameters", "trainable_parameters", words.whole),
        _cost_measure("Longest epoch (s)", "max_epoch_seconds", words.seconds),
        _cost_measure("Peak memory (MiB)", "peak_memory_bytes", words.mebibytes),
        *(_score_measure(metric) for metric in (*metrics_of("loss"), *view.metrics)),
    ]
    rows = [row for row in view.rows if row.completed]
    panels = []
    for measure in measures:
        bars = [
            Bar(row.label, view.mark(row.label), value, measure.show(value))
            for row in rows
            if finite(value := measure.of(row))
        ]
        if any(bar.value for bar in bars):
            panels.append(BarPanel(measure.title, bars))
    if not panels:
        return None
    names = ", ".join(panel.title.lower() for panel in panels)
    texts = [{bar.label: bar.text for bar in panel.bars} for panel in panels]
    return Bars(
        name="bars",
        title="Size, time, memory, loss and scores",
        caption="As in the published study. Costs are medians over seeds, scores means. Every axis begins at zero.",
        alt=f"Bar charts of {names}; the values follow as a table.",
        panels=panels,
        data=Data(
            ["run", *(panel.title for panel in panels)],
            [[row.label, *(text.get(row.label, words.NOTHING) for text in texts)] for row in rows],
        ),
    )
