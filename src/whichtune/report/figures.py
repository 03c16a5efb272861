"""The figures of a report as plain values: computed once here, drawn as SVG in the page and as files.

Every figure is a dict with `kind`, `name` (its file's name), `title`, `caption`, `alt` (what it shows, in
words) and `table` (`header` and `rows` of its data); the other keys belong to its kind.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeGuard

from whichtune.metrics import Split
from whichtune.records.record import CurvePoint, RunRecord
from whichtune.report import words
from whichtune.report.view import MARKS, View
from whichtune.report.words import few, number, span
from whichtune.wording import plural

Figure = dict[str, Any]

# Costs that a score can be drawn against: name, unit, divisor of the recorded figure, and how it is written.
COST_AXES: dict[str, tuple[str, str, float, Callable[[float | None], str]]] = {
    "train_seconds": ("Training time", "seconds", 1, words.seconds),
    "peak_memory_bytes": ("Peak memory", "MiB", 2**20, words.mebibytes),
    "trainable_parameters": ("Trainable parameters", "", 1, words.whole),
    "inference_ms": ("Inference", "ms a text", 1, words.seconds),
    "flops": ("Training operations", "GFLOP", 1e9, words.giga_operations),
    "adapter_bytes": ("Stored size", "MiB", 2**20, words.mebibytes_fine),
}
LOG_FROM = 20  # a cost axis is logarithmic where the dearest row costs this many times the cheapest
MOST_PANELS = 24
MOST_POINTS = 60
SPLITS = ("train", "validation", "test")


def all_figures(view: View) -> list[Figure]:
    """Every figure that this study's records can fill, in the order of the page."""
    from whichtune.report.matrices import matrix_figures
    from whichtune.report.published_curves import published_curve_figure
    from whichtune.report.tuning_figures import tuning_figures

    return [
        *([found] if (found := score_dots(view)) else []),
        *cost_figures(view),
        *tuning_figures(view),
        *curve_figures(view),
        *([found] if (found := published_curve_figure(view)) else []),
        *([found] if (found := cost_bars(view)) else []),
        *matrix_figures(view),
    ]


def score_dots(view: View) -> Figure | None:
    """The primary metric on test: every seed, the mean and its interval, highest first."""
    rows: list[dict[str, Any]] = []
    for row in view.scored:
        low, high = view.intervals.get(row.label, (None, None))
        rows.append(
            {
                "label": row.label,
                "mark": view.mark(row.label),
                "mean": view.score(row),
                "low": low,
                "high": high,
                "seeds": view.seeds(row.label),
            }
        )
    if not rows:
        return None
    missing = [row.label for row in view.rows if view.score(row) is None]
    caption = "Small dots are seeds, the large mark is their mean"
    caption += f", the line its 95 % interval, for {' or '.join(view.interval_kinds)}." if view.intervals else "."
    if missing:
        caption += f" Without a figure, since no run of it completed: {few(missing)}."
    top, bottom = rows[0], rows[-1]
    alt = f"Dot plot of test {view.metric_name} for {plural(len(rows), 'row')}. "
    alt += f"Highest: {top['label']}, {number(top['mean'])} %."
    if len(rows) > 1:
        alt += f" Lowest: {bottom['label']}, {number(bottom['mean'])} %."
    return {
        "kind": "dots",
        "name": "scores",
        "title": f"Test {view.metric_name}, every seed",
        "axis": f"Test {view.metric_name} (%)",
        "caption": caption,
        "alt": alt,
        "rows": rows,
        "table": {
            "header": ["run", "kind", "mean %", "95 % interval", "by seed %"],
            "rows": [
                [
                    r["label"],
                    MARKS[r["mark"]],
                    number(r["mean"]),
                    span(None if r["low"] is None else (r["low"], r["high"])),
                    ", ".join(
                        number(value) if seed is None else f"seed {seed}: {number(value)}" for seed, value in r["seeds"]
                    ),
                ]
                for r in rows
            ],
        },
    }


def pareto(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Points that no other beats: none is as cheap and better, nor as good and cheaper. Cheapest first."""
    front: list[dict[str, Any]] = []
    for point in sorted(points, key=lambda p: (p["x"], -p["y"])):
        if not front or point["y"] > front[-1]["y"] or (point["x"] == front[-1]["x"] and point["y"] == front[-1]["y"]):
            front.append(point)
    return front


def cost_figures(view: View) -> list[Figure]:
    """The score against each cost that at least one row has."""
    return [figure for key in COST_AXES if (figure := _cost_figure(view, key)) is not None]


def _cost_figure(view: View, key: str) -> Figure | None:
    name, unit, divisor, show = COST_AXES[key]
    points: list[dict[str, Any]] = []
    without = []
    for row in view.scored:
        cost = row.cost(key)
        if cost is None:
            without.append(row.label)
            continue
        low, high = view.intervals.get(row.label, (None, None))
        points.append(
            {
                "label": row.label,
                "mark": view.mark(row.label),
                "x": cost / divisor,
                "y": view.score(row),
                "low": low,
                "high": high,
                "cost": show(cost),
            }
        )
    if not points or max(point["x"] for point in points) == 0:
        return None
    front = pareto(points)
    for point in points:
        point["front"] = point in front
    positive = [point["x"] for point in points if point["x"] > 0]
    log = len(positive) == len(points) and max(positive) / min(positive) >= LOG_FROM
    on_front = [point["label"] for point in front]
    caption = "The stepped line joins rows that none beats in both (the Pareto front of the means)"
    caption += "; the cost axis is logarithmic." if log else "."
    if without:
        caption += f" Without this figure: {few(without)}."
    axis = f"{name} ({unit})" if unit else name
    return {
        "kind": "scatter",
        "name": f"cost-{key}",
        "cost": key,
        "choice": name,
        "title": f"Test {view.metric_name} against {name.lower()}",
        "axis_x": axis,
        "axis_y": f"Test {view.metric_name} (%)",
        "log": log,
        "caption": caption,
        "alt": f"Test {view.metric_name} against {name.lower()} for {plural(len(points), 'row')}. "
        f"On the Pareto front, cheapest first: {few(on_front, 8)}.",
        "points": points,
        "table": {
            "header": ["run", axis, f"test {view.metric_name} %", "Pareto front"],
            "rows": [
                [p["label"], p["cost"], number(p["y"]), "yes" if p["front"] else "no"]
                for p in sorted(points, key=lambda p: p["x"])
            ],
        },
    }


def finite(value: float | None) -> TypeGuard[float]:
    """Whether it can be drawn: a loss may have become infinite."""
    return value is not None and math.isfinite(value)


def thin(points: list[list[float]], most: int = MOST_POINTS) -> list[list[float]]:
    """At most so many points, the first and the last among them."""
    if len(points) <= most:
        return points
    return [points[round(i * (len(points) - 1) / (most - 1))] for i in range(most)]


def _line(curve: list[CurvePoint], key: str, scale: float = 1) -> list[list[float]]:
    across = "epoch" if all(p.get("epoch") is not None for p in curve) else "step"
    pairs = [(p.get(across), p.get(key)) for p in curve]
    return thin([[float(x), scale * y] for x, y in pairs if x is not None and finite(y)])


def _best(run: RunRecord, curve: list[CurvePoint], key: str, scale: float) -> list[float] | None:
    """The point [x, y] of a validation line whose weights early stopping kept; without it, the best one."""
    able = [point for point in curve if finite(point.get(key))]
    if run.stopping is not None and run.stopping.best_step is not None:
        able = [point for point in able if point.get("step") == run.stopping.best_step]
    if not able:
        return None
    best = (min if scale == 1 else max)(able, key=lambda point: point[key] or 0.0)
    found = _line([best], key, scale)
    return found[0] if found else None


def curve_figures(view: View) -> list[Figure]:
    """Loss, and the primary metric, over training: a panel a label, a line a seed."""
    wanted = {
        "curves-loss": (
            "Loss over training",
            "loss (nats)",
            {"train": "train_loss", "validation": "validation_loss"},
            1,
        ),
        "curves-score": (
            f"{view.metric_name[:1].upper()}{view.metric_name[1:]} over training",
            f"{view.metric_name} (%)",
            {"train": f"train_{view.metric}", "validation": f"validation_{view.metric}"},
            100,
        ),
    }
    figures = [_curves(view, name, *rest) for name, rest in wanted.items()]
    return [figure for figure in figures if figure is not None]


def _curves(view: View, name: str, title: str, axis: str, series: dict[str, str], scale: float) -> Figure | None:
    panels: list[dict[str, Any]] = []
    for label, runs in view.groups.items():
        lines = []
        for run in runs:
            curve = view.curves.get(run.run_id, [])
            for split, key in series.items():
                points = _line(curve, key, scale)
                if points:
                    best = _best(run, curve, key, scale) if split == "validation" else None
                    lines.append({"series": split, "seed": run.seed, "points": points, "best": best})
        if lines:
            panels.append({"title": label, "mark": view.mark(label), "lines": lines})
    if not panels:
        return None
    ends = [
        [panel["title"], line["series"], words.seed(line["seed"]), number(line["points"][-1][0], 2), best, last]
        for panel in panels
        for line in panel["lines"]
        for best, last in [_best_and_last(line["points"], lowest=scale == 1)]
    ]
    across = "epoch" if all("epoch" in p for curve in view.curves.values() for p in curve) else "step"
    caption = "Dashed: train, while it was trained. Solid: validation. One line a seed. The ring is validation's best"
    stopped = any(run.stopping for runs in view.groups.values() for run in runs)
    caption += " point; with early stopping, the point whose weights were kept." if stopped else " point."
    if len(panels) > MOST_PANELS:
        panels = [_joined(panels)]
        caption = "Validation only, one line a run; the recommended row and the best on validation stand out."
    return {
        "kind": "curves",
        "name": name,
        "title": title,
        "axis_x": across,
        "axis_y": axis,
        "caption": caption,
        "alt": f"{title}, train and validation, for {plural(len({e[0] for e in ends}), 'row')}; "
        "the table has each line's best and last value.",
        "panels": panels,
        "table": {"header": ["run", "split", "seed", f"last {across}", "best", "last"], "rows": ends},
    }


def _best_and_last(points: list[list[float]], lowest: bool) -> tuple[str, str]:
    values = [y for _, y in points]
    digits = 3 if lowest else 2
    return number(min(values) if lowest else max(values), digits), number(values[-1], digits)


def _joined(panels: list[dict[str, Any]]) -> dict[str, Any]:
    """Too many rows for a panel each: all validation lines in one, the marked rows last (on top)."""
    ordered = sorted(panels, key=lambda panel: panel["mark"] in ("recommended", "best"))
    lines = [
        {**line, "mark": panel["mark"], "label": panel["title"]}
        for panel in ordered
        for line in panel["lines"]
        if line["series"] == "validation"
    ]
    return {"title": "All rows", "mark": "run", "lines": lines, "joined": True}


def cost_bars(view: View) -> Figure | None:
    """Bars of size, time, memory, loss and scores, each panel with its own axis from zero."""
    percent = words.percent
    wanted: list[tuple[str, Split | None, str, float, Callable[[float | None], str]]] = [
        ("Trainable parameters", None, "trainable_parameters", 1, words.whole),
        ("Longest epoch (s)", None, "max_epoch_seconds", 1, words.seconds),
        ("Peak memory (MiB)", None, "peak_memory_bytes", 2**20, words.mebibytes),
        ("Test loss (nats)", "test", "loss", 1, words.loss),
        *((f"Test {metric.title} (%)", "test", metric.name, 0.01, percent) for metric in view.metrics),
    ]
    rows = [row for row in view.rows if row.completed]
    panels: list[dict[str, Any]] = []
    for title, split, key, divisor, show in wanted:
        bars = [
            {"label": row.label, "mark": view.mark(row.label), "value": value / divisor, "text": show(value)}
            for row in rows
            if finite(value := row.cost(key) if split is None else row.mean(split, key))
        ]
        if bars and any(bar["value"] for bar in bars):
            panels.append({"title": title, "bars": bars})
    if not panels:
        return None
    names = ", ".join(panel["title"].lower() for panel in panels)
    lookup = [{bar["label"]: bar["text"] for bar in panel["bars"]} for panel in panels]
    return {
        "kind": "bars",
        "name": "bars",
        "title": "Size, time, memory, loss and scores",
        "caption": "Costs are medians over seeds, scores means. Every axis begins at zero.",
        "alt": f"Bar charts of {names}; the values follow as a table.",
        "panels": panels,
        "table": {
            "header": ["run", *(panel["title"] for panel in panels)],
            "rows": [[r.label, *(texts.get(r.label, words.NOTHING) for texts in lookup)] for r in rows],
        },
    }
