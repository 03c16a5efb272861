"""What tuning bought, ready to be drawn: curves of the expected best score, sensitivity, the selected settings.

Reads `summary.json` alone. Scores are percentages here, losses as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from whichtune.evidence.tuning_sentences import CENTRE
from whichtune.metrics import METRICS, metric_title
from whichtune.report import tables
from whichtune.report.details import said
from whichtune.report.view import View
from whichtune.study.spaces import read_space

Figure = dict[str, Any]
LOG_FROM = 20  # an axis of costs is logarithmic where the dearest line costs this many times the cheapest
# Axis of a curve: its key in the summary, its name, the divisor, how a table writes it.
AXES: dict[str, tuple[str, float, Callable[[float | None], str]]] = {
    "draws": ("draws", 1, tables.count),
    "flops": ("training operations (GFLOP)", 1e9, tables.giga_operations),
    "seconds": ("training time (s)", 1, tables.seconds),
}


def tuning_of(summary: dict[str, Any]) -> dict[str, Any] | None:
    """The search of a study; None where it had none."""
    return summary.get("tuning") or None


def tuning_figures(view: View) -> list[Figure]:
    """The curves by draws, and by what they cost; then scores against learning rates."""
    tuning = tuning_of(view.summary)
    if tuning is None:
        return []
    costs = ["seconds" if tuning["unit"] == "seconds" else "flops"]
    found = [_gains(view, tuning, axis) for axis in ("draws", *costs)]
    return [figure for figure in [*found, _sensitivity(view, tuning)] if figure is not None]


def _scale(tuning: dict[str, Any]) -> tuple[float, int, str]:
    """Factor, digits and unit of the primary metric."""
    return (1.0, 3, "") if METRICS[tuning["metric"]].unit == "nats" else (100.0, 2, " (%)")


def _gains(view: View, tuning: dict[str, Any], axis: str) -> Figure | None:
    """A panel a line: its expected best with its interval, the other lines' grey behind it."""
    name, divisor, show = AXES[axis]
    factor, digits, unit = _scale(tuning)
    curves = {}
    for line in tuning["lines"]:
        points = [point for point in line["curve"] if point[axis] is not None]
        if points:
            curves[line["label"]] = [
                {
                    "x": point[axis] / divisor,
                    "y": factor * point["best"],
                    "low": None if point["low"] is None else factor * point["low"],
                    "high": None if point["high"] is None else factor * point["high"],
                    "draws": point["draws"],
                }
                for point in points
            ]
    if not curves:
        return None
    xs = [point["x"] for curve in curves.values() for point in curve]
    panels = [{"title": label, "mark": view.mark(label), "curve": curve} for label, curve in curves.items()]
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
    metric = metric_title(tuning["metric"])
    return {
        "kind": "gains",
        "name": "tuning" if axis == "draws" else f"tuning-{axis}",
        "title": f"Expected best validation {metric} against {name.split(' (')[0]}",
        "axis_x": name,
        "axis_y": f"Validation {metric}{unit}",
        "log": axis != "draws" and min(xs) > 0 and max(xs) / min(xs) >= LOG_FROM,
        "caption": "Line: the mean best validation score over every choice of so many draws. Shaded: its 95 % "
        "interval over resampled draws. Grey: the other rows.",
        "alt": f"Expected best validation {metric} against {name} for {tables.plural(len(panels), 'row')}; the values "
        "follow as a table.",
        "panels": panels,
        "table": {
            "header": ["run", *dict.fromkeys(["draws", name]), f"expected best{unit}", "95 % interval"],
            "rows": rows,
        },
    }


def _span(point: dict[str, Any], digits: int) -> str:
    if point["low"] is None:
        return tables.NOTHING
    return f"{point['low']:.{digits}f} to {point['high']:.{digits}f}"


def _sensitivity(view: View, tuning: dict[str, Any]) -> Figure | None:
    """A panel a line: the score of each draw against its learning rate."""
    factor, digits, unit = _scale(tuning)
    panels = []
    for line in tuning["lines"]:
        points = [
            {
                "x": float(draw["settings"][CENTRE]),
                "y": factor * draw["score"],
                "selected": draw["number"] == line["selected"],
                "number": draw["number"],
            }
            for draw in line["draws"]
            if draw["score"] is not None and CENTRE in draw["settings"]
        ]
        if points:
            space = line["spaces"][CENTRE]
            ends = [space["low"], space["high"]] if "low" in space else [min(map(float, space["choices"])),
                                                                         max(map(float, space["choices"]))]  # fmt: skip
            panels.append({"title": line["label"], "mark": view.mark(line["label"]), "points": points, "range": ends})
    if not panels or min(end for panel in panels for end in panel["range"]) <= 0:
        return None
    metric = metric_title(tuning["metric"])
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
        "alt": f"Validation {metric} of each draw against its learning rate, for {tables.plural(len(panels), 'row')}; "
        "the values follow as a table.",
        "panels": panels,
        "table": {"header": ["run", "draw", "learning rate", f"validation {metric}{unit}", ""], "rows": rows},
    }


def selected_table(summary: dict[str, Any]) -> dict[str, Any] | None:
    """What was selected for each line that was searched, and what finding it cost."""
    tuning = tuning_of(summary)
    if tuning is None:
        return None
    factor, digits, unit = _scale(tuning)
    lines = [line for line in tuning["lines"] if line["draws"]]
    settings = list(dict.fromkeys(name for line in lines for name in line["spaces"]))
    rows = []
    for line in lines:
        best = next((draw["score"] for draw in line["draws"] if draw["number"] == line["selected"]), None)
        failed = f", {line['failed']} failed" if line["failed"] else ""
        rows.append(
            [
                line["label"],
                f"{len(line['draws'])}{failed}",
                tables.NOTHING if best is None else f"{factor * best:.{digits}f}",
                *(_selected(line, name) for name in settings),
                tables.giga_operations(line["spent_flops"]),
                tables.seconds(line["spent_seconds"]),
            ]
        )
    score = f"validation {metric_title(tuning['metric'])}{unit}"
    names = [name.replace("_", " ") for name in settings]
    return {"header": ["run", "draws", score, *names, "search GFLOP", "search s"], "rows": rows}


def _selected(line: dict[str, Any], setting: str) -> str:
    if setting not in line["settings"]:
        return tables.NOTHING
    edge = line["at_edge"].get(setting)
    return said(line["settings"][setting]) + (f" ({edge} end)" if edge else "")


def draws_table(summary: dict[str, Any]) -> dict[str, Any] | None:
    """Every draw of every line, the failed ones with their reason."""
    tuning = tuning_of(summary)
    if tuning is None:
        return None
    factor, digits, unit = _scale(tuning)
    rows = []
    for line in tuning["lines"]:
        for draw in line["draws"]:
            said_settings = ", ".join(
                f"{key.replace('_', ' ')} {said(value)}" for key, value in draw["settings"].items()
            )
            score = tables.NOTHING if draw["score"] is None else f"{factor * draw['score']:.{digits}f}"
            outcome = "selected" if draw["number"] == line["selected"] else draw["error"] or ""
            rows.append([line["label"], str(draw["number"]), said_settings, score, tables.loss(draw["loss"]), outcome])
    header = ["run", "draw", "settings", f"validation {metric_title(tuning['metric'])}{unit}", "validation loss", ""]
    return {"header": header, "rows": rows} if rows else None


def searched_table(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """The ranges of each line, in words."""
    tuning = tuning_of(summary)
    lines = [] if tuning is None else tuning["lines"]
    return [
        (line["label"], "; ".join(f"{name.replace('_', ' ')} {read_space(space).words()}"
                                  for name, space in line["spaces"].items()) or "nothing to search")
        for line in lines
    ]  # fmt: skip


def tuning_lines(summary: dict[str, Any]) -> list[str]:
    """The search in sentences, for tables in text."""
    tuning = tuning_of(summary)
    return [] if tuning is None else list(tuning["sentences"])
