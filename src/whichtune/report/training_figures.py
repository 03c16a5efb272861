"""Loss and score over training, as values to be drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from whichtune.metrics import METRICS, Metric, metrics_of
from whichtune.records.record import CurvePoint, RunRecord
from whichtune.report import words
from whichtune.report.drawing.kinds import CurveLine, CurvePanel, Curves, Data, Point, Series
from whichtune.report.score_figures import finite, unit_of
from whichtune.report.view import View
from whichtune.report.words import few, number
from whichtune.wording import plural

MOST_PANELS = 24
MOST_POINTS = 60
LEAST_POINTS = 3  # of a line: fewer are no curve
WATCHED: tuple[Series, ...] = ("train", "validation")


def curve_figures(view: View) -> list[Curves]:
    """Loss, and the primary metric, over training: a panel a row, a line a seed and split."""
    wanted = [
        *((f"curves-{metric.name}", metric) for metric in metrics_of("loss")),
        ("curves-score", METRICS[view.metric]),
    ]
    return [figure for name, metric in wanted if (figure := _curves(view, name, metric)) is not None]


def _curves(view: View, name: str, metric: Metric) -> Curves | None:
    known = [CurvePanel(label, lines) for label in view.groups if (lines := _lines(view, label, metric))]
    if not known:
        return None
    panels, few_points = drawable(known)
    across = "epoch" if all("epoch" in p for curve in view.curves.values() for p in curve) else "step"
    title = f"{metric.title[:1].upper()}{metric.title[1:]} over training"
    ends = [_ends(line, metric) for panel in known for line in panel.lines]
    caption = "Dashed: train, while it was trained. Solid: validation. One line a seed. The ring is validation's best"
    stopped = any(run.stopping for runs in view.groups.values() for run in runs)
    caption += " point; with early stopping, the point whose weights were kept." if stopped else " point."
    rows = len(panels)
    if rows > MOST_PANELS:
        panels = _joined(panels)
        caption = "Validation only, one line a run; the recommended row and the best on validation stand out."
    return Curves(
        name=name,
        title=title,
        axis_x=across,
        axis_y=f"{metric.title} ({unit_of(metric)})",
        caption=f"{caption if panels else ''} {not_drawn(few_points)}".strip(),
        alt=f"{title}, train and validation, for {plural(rows, 'row')}; the table has each line's best and last value.",
        panels=panels,
        data=Data(["run", "split", "seed", f"last {across}", "best", "last"], ends),
    )


def drawable(panels: Sequence[CurvePanel]) -> tuple[list[CurvePanel], list[str]]:
    """The panels with their lines of LEAST_POINTS points and more; and the titles of those that lose a line."""
    able = [
        replace(panel, lines=[line for line in panel.lines if len(line.points) >= LEAST_POINTS]) for panel in panels
    ]
    lost = [whole.title for whole, panel in zip(panels, able, strict=True) if len(panel.lines) < len(whole.lines)]
    return [panel for panel in able if panel.lines], lost


def not_drawn(titles: Sequence[str]) -> str:
    """The sentence on lines that are too short to be drawn; empty where there are none."""
    if not titles:
        return ""
    return f"Lines of fewer than {LEAST_POINTS} points are not drawn, their figures are in the table: {few(titles)}."


def _lines(view: View, label: str, metric: Metric) -> list[CurveLine]:
    """The lines of one row, those of one run together."""
    lines = []
    for run in view.groups[label]:
        curve = view.curves.get(run.run_id, [])
        for split in WATCHED:
            key = f"{split}_{metric.name}"
            if points := _points(curve, key, metric.scale):
                best = _best(run, curve, key, metric) if split == "validation" else None
                lines.append(CurveLine(label, view.mark(label), split, run.seed, thin(points), best))
    return lines


def _points(curve: Sequence[CurvePoint], key: str, scale: float) -> list[Point]:
    across = "epoch" if all(point.get("epoch") is not None for point in curve) else "step"
    pairs = [(point.get(across), point.get(key)) for point in curve]
    return [(float(x), scale * y) for x, y in pairs if x is not None and finite(y)]


def thin(points: list[Point], most: int = MOST_POINTS) -> list[Point]:
    """At most so many points, the first and the last among them."""
    if len(points) <= most:
        return points
    return [points[round(i * (len(points) - 1) / (most - 1))] for i in range(most)]


def _best(run: RunRecord, curve: Sequence[CurvePoint], key: str, metric: Metric) -> Point | None:
    """The point of a validation line whose weights early stopping kept; without it, the best one."""
    able = [(value, point) for point in curve if finite(value := point.get(key))]
    if run.stopping is not None and run.stopping.best_step is not None:
        able = [(value, point) for value, point in able if point.get("step") == run.stopping.best_step]
    if not able:
        return None
    _, best = (max if metric.higher_is_better else min)(able, key=lambda pair: pair[0])
    found = _points([best], key, metric.scale)
    return found[0] if found else None


def _ends(line: CurveLine, metric: Metric) -> list[str]:
    """A line's last place, its best value and its last, as text."""
    values = [y for _, y in line.points]
    best = max(values) if metric.higher_is_better else min(values)
    ends = [number(line.points[-1][0]), number(best, metric.digits), number(values[-1], metric.digits)]
    return [line.label, line.series, words.seed(line.seed), *ends]


def _joined(panels: Sequence[CurvePanel]) -> list[CurvePanel]:
    """Too many rows for a panel each: all validation lines in one, the marked rows last (on top)."""
    lines = [line for panel in panels for line in panel.lines if line.series == "validation"]
    lines.sort(key=lambda line: line.mark in ("recommended", "best"))
    return [CurvePanel("All rows", lines, joined=True)] if lines else []
