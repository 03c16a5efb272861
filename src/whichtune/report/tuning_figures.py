"""The search of a study as figures: curves of the expected best score, and scores against learning rates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import JsonValue

from whichtune.evidence.tuning_sentences import CENTRE
from whichtune.metrics import metric_title
from whichtune.report import words
from whichtune.report.view import View
from whichtune.report.words import scale_of
from whichtune.stats.tuning import Axis, CurvePoint, TuningFigures
from whichtune.study.spaces import Choice
from whichtune.wording import plural

Figure = dict[str, Any]
LOG_FROM = 20  # an axis of costs is logarithmic where the dearest line costs this many times the cheapest
# Axis of a curve: its key in the summary, its name, the divisor, how a table writes it.
AXES: dict[Axis, tuple[str, float, Callable[[float | None], str]]] = {
    "draws": ("draws", 1, words.whole),
    "flops": ("training operations (GFLOP)", 1e9, words.giga_operations),
    "seconds": ("training time (s)", 1, words.seconds),
}


def tuning_figures(view: View) -> list[Figure]:
    """The curves by draws, and by what they cost; then scores against learning rates."""
    tuning = view.summary.tuning
    if tuning is None:
        return []
    axes: tuple[Axis, ...] = ("draws", "seconds" if tuning.unit == "seconds" else "flops")
    found = [_gains(view, tuning, axis) for axis in axes]
    return [figure for figure in [*found, _sensitivity(view, tuning)] if figure is not None]


def _across(point: CurvePoint, axis: Axis) -> float | None:
    return {"draws": point.draws, "flops": point.flops, "seconds": point.seconds}[axis]


def _gains(view: View, tuning: TuningFigures, axis: Axis) -> Figure | None:
    """A panel a line: its expected best with its interval, the other lines' grey behind it."""
    name, divisor, show = AXES[axis]
    factor, digits, unit = scale_of(tuning.metric)
    curves: dict[str, list[dict[str, Any]]] = {}
    for line in tuning.lines:
        points = [(across, point) for point in line.curve if (across := _across(point, axis)) is not None]
        if points:
            curves[line.label] = [
                {
                    "x": across / divisor,
                    "y": factor * point.best,
                    "low": None if point.low is None else factor * point.low,
                    "high": None if point.high is None else factor * point.high,
                    "draws": point.draws,
                }
                for across, point in points
            ]
    if not curves:
        return None
    xs = [point["x"] for curve in curves.values() for point in curve]
    panels: list[dict[str, Any]] = [
        {"title": label, "mark": view.mark(label), "curve": curve} for label, curve in curves.items()
    ]
    rows = [
        [
            panel["title"],
            str(point["draws"]),
            *([] if axis == "draws" else [show(point["x"] * divisor)]),
            f"{point['y']:.{digits}f}",
            _span(point, digits),
        ]
        for panel in panels
        for point in panel["curve"]
    ]
    metric = metric_title(tuning.metric)
    return {
        "kind": "gains",
        "name": "tuning" if axis == "draws" else f"tuning-{axis}",
        "title": f"Expected best validation {metric} against {name.split(' (')[0]}",
        "axis_x": name,
        "axis_y": f"Validation {metric}{unit}",
        "log": axis != "draws" and min(xs) > 0 and max(xs) / min(xs) >= LOG_FROM,
        "caption": "Line: the mean best validation score over every choice of so many draws. Shaded: its 95 % "
        "interval over resampled draws. Grey: the other rows.",
        "alt": f"Expected best validation {metric} against {name} for {plural(len(panels), 'row')}; the values "
        "follow as a table.",
        "panels": panels,
        "table": {
            "header": ["run", *dict.fromkeys(["draws", name]), f"expected best{unit}", "95 % interval"],
            "rows": rows,
        },
    }


def _span(point: dict[str, Any], digits: int) -> str:
    if point["low"] is None:
        return words.NOTHING
    return f"{point['low']:.{digits}f} to {point['high']:.{digits}f}"


def _sensitivity(view: View, tuning: TuningFigures) -> Figure | None:
    """A panel a line: the score of each draw against its learning rate."""
    factor, digits, unit = scale_of(tuning.metric)
    panels: list[dict[str, Any]] = []
    for line in tuning.lines:
        points = [
            {
                "x": _number(draw.settings[CENTRE]),
                "y": factor * draw.score,
                "selected": draw.number == line.selected,
                "number": draw.number,
            }
            for draw in line.draws
            if draw.score is not None and CENTRE in draw.settings
        ]
        if points:
            space = line.spaces[CENTRE]
            values = list(map(_number, space.choices)) if isinstance(space, Choice) else [space.low, space.high]
            ends = [min(values), max(values)]
            panels.append({"title": line.label, "mark": view.mark(line.label), "points": points, "range": ends})
    if not panels or min(end for panel in panels for end in panel["range"]) <= 0:
        return None
    metric = metric_title(tuning.metric)
    rows = [
        [panel["title"], str(p["number"]), f"{p['x']:g}", f"{p['y']:.{digits}f}", "selected" if p["selected"] else ""]
        for panel in panels
        for p in sorted(panel["points"], key=lambda p: p["x"])
    ]
    return {
        "kind": "sensitivity",
        "name": "sensitivity",
        "title": f"Validation {metric} against the learning rate",
        "axis_x": "learning rate",
        "axis_y": f"Validation {metric}{unit}",
        "caption": "One dot a draw, the selected one marked; its other settings were drawn too. Between the upright "
        "lines: the range that was searched.",
        "alt": f"Validation {metric} of each draw against its learning rate, for {plural(len(panels), 'row')}; "
        "the values follow as a table.",
        "panels": panels,
        "table": {"header": ["run", "draw", "learning rate", f"validation {metric}{unit}", ""], "rows": rows},
    }


def _number(value: JsonValue) -> float:
    """A drawn value, which may be written as text: YAML 1.1 takes 5e-4 for that."""
    return float(value) if isinstance(value, (int, float, str)) else float("nan")
