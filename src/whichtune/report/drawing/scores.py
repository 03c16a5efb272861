"""Scores by seed, scores against costs, and bars. A phone gets its own size, so that its text stays readable."""

from __future__ import annotations

from itertools import pairwise

from whichtune.report.drawing.canvas import Canvas, clip_to, width_of
from whichtune.report.drawing.kinds import BarPanel, Bars, CostPoint, Dots, Point, Scatter, ScoredRow
from whichtune.report.drawing.scales import (
    Box,
    Scale,
    box_of,
    log_ticks,
    nice_ticks,
    padded,
    padded_log,
    place_labels,
)

WIDE, NARROW = 760, 360
BAR_WIDTH, BAR_STEP = 360, 24
BAR_NAME = 160.0  # pixels that a bar's name may take
MARK_SIZE = 5.5


def dots(figure: Dots, width: int = WIDE) -> Canvas:
    """Every seed, the mean and its interval; labels on the left, above their row where there is no room."""
    narrow = width < 500
    longest = max(width_of(row.label) for row in figure.rows)
    left = 14.0 if narrow else min(270.0, longest + 24)
    right = width - 62.0
    step, top = (38, 8) if narrow else (26, 10)
    bottom = top + step * len(figure.rows)
    values = [v for row in figure.rows for v in (row.mean, *(row.span or ()), *(score for _, score in row.seeds))]
    low, high = padded(values, 0.04, 0.4)
    x = Scale(max(low, -2), min(high, 102), left, right)
    canvas = Canvas(width, bottom + 44, figure.alt, "dots")
    ticks = [tick for tick in nice_ticks(x.low, x.high, 4 if narrow else 7) if 0 <= tick <= 100]
    canvas.across(x, top, bottom, ticks, figure.axis)
    for place, row in enumerate(figure.rows):
        y = top + step * (place + 0.5) + (8 if narrow else 0)
        canvas.line(left, y, right, y, "rule")
        _name(canvas, row.label, left, y, width - 20.0 if narrow else left - 18, narrow)
        _seeds_and_mean(canvas, row, x, y)
        canvas.text(width - 4, y + 4, f"{row.mean:.2f}", "value", "end")
    return canvas


def _name(canvas: Canvas, label: str, left: float, y: float, room: float, above: bool) -> None:
    name = clip_to(label, room)
    note = label if name != label else ""
    if above:
        canvas.text(2.0, y - 13, name, "name", note=note)
    else:
        canvas.text(left - 14, y + 4, name, "name", "end", note=note)


def _seeds_and_mean(canvas: Canvas, row: ScoredRow, x: Scale, y: float) -> None:
    if row.span is not None:
        canvas.line(x(max(row.span[0], x.low)), y, x(min(row.span[1], x.high)), y, f"whisker c-{row.mark}")
    canvas.mark(row.mark, x(row.mean), y, MARK_SIZE, f"{row.label}: mean {row.mean:.2f} %")
    for seed, score in row.seeds if len(row.seeds) > 1 else []:
        canvas.circle(x(score), y, 3, "seed", f"seed {seed}: {score:.2f} %")


def scatter(figure: Scatter, width: int = WIDE) -> Canvas:
    """Score against a cost with intervals, the Pareto front and as many names as fit."""
    narrow = width < 500
    height = 330 if narrow else 400
    left, right, top, bottom = 50.0, width - 14.0, 14.0, height - 48.0
    across = padded_log(p.x for p in figure.points) if figure.log else (0.0, max(p.x for p in figure.points) * 1.1)
    low, high = padded([v for p in figure.points for v in (p.y, *(p.span or ()))], 0.06, 0.4)
    x = Scale(*across, left, right, figure.log)
    y = Scale(max(low, -3), min(high, 103), bottom, top)
    canvas = Canvas(width, height, figure.alt, "scatter")
    ticks = log_ticks(*across) if figure.log else nice_ticks(*across, 4 if narrow else 7)
    canvas.across(x, top, bottom, ticks, figure.axis_x)
    canvas.upward(y, left, right, [tick for tick in nice_ticks(y.low, y.high) if 0 <= tick <= 100])
    canvas.text(13, (top + bottom) / 2, figure.axis_y, "axis", "middle", turn=-90)
    front = _front(figure.points, x, y)
    if front:
        canvas.path(front, "front")
    spans = _spanned(figure.points, x, y)
    for p, low_end, high_end in spans:
        canvas.line(x(p.x), low_end, x(p.x), high_end, f"whisker c-{p.mark}")
    lines = [box_of(a, b) for a, b in pairwise(front)]
    lines += [box_of((x(p.x), low_end), (x(p.x), high_end)) for p, low_end, high_end in spans]
    _named_points(canvas, figure.points, x, y, (left, top - 10, right + 10, bottom), lines)
    return canvas


def _front(points: list[CostPoint], x: Scale, y: Scale) -> list[Point]:
    """A stepped line through the points that none beats, on to the right edge."""
    corners: list[Point] = []
    for p in sorted((p for p in points if p.front), key=lambda p: p.x):
        if corners:
            corners.append((x(p.x), corners[-1][1]))
        corners.append((x(p.x), y(p.y)))
    return [*corners, (x.end, corners[-1][1])] if corners else []


def _spanned(points: list[CostPoint], x: Scale, y: Scale) -> list[tuple[CostPoint, float, float]]:
    """Points with an interval, and where on the canvas it ends."""
    return [(p, y(max(p.span[0], y.low)), y(min(p.span[1], y.high))) for p in points if p.span is not None]


def _named_points(canvas: Canvas, points: list[CostPoint], x: Scale, y: Scale, frame: Box, lines: list[Box]) -> None:
    """Marks, the important ones on top, with the names that have room; theirs first."""
    order = sorted(points, key=lambda p: (p.mark in ("run", "baseline"), not p.front, -p.y))
    names = [clip_to(p.label, 160) for p in order]
    places = [(x(p.x), y(p.y), name) for p, name in zip(order, names, strict=True)]
    spots = place_labels(places, frame, lines=lines)
    for p, name, spot in reversed(list(zip(order, names, spots, strict=True))):
        canvas.mark(p.mark, x(p.x), y(p.y), MARK_SIZE, f"{p.label}: {p.y:.2f} %, {p.cost}")
        if spot is not None:
            canvas.text(spot[0], spot[1], name, "name halo", spot[2])


def bar_panels(figure: Bars) -> list[tuple[str, Canvas]]:
    """A small drawing for each panel, by its title; every axis begins at zero."""
    return [(panel.title, _bar_panel(panel)) for panel in figure.panels]


def _bar_panel(panel: BarPanel) -> Canvas:
    bars = panel.bars
    left = min(BAR_NAME, max(width_of(bar.label) for bar in bars)) + 14
    right = BAR_WIDTH - max(width_of(bar.text) for bar in bars) - 12
    x = Scale(0, max(bar.value for bar in bars) or 1.0, left, right)
    canvas = Canvas(BAR_WIDTH, BAR_STEP * len(bars) + 6, f"Bar chart: {panel.title}.", "bars")
    canvas.line(left, 0, left, BAR_STEP * len(bars) + 4, "rule")
    for place, bar in enumerate(bars):
        y = 3 + BAR_STEP * place
        name = clip_to(bar.label, BAR_NAME)
        canvas.text(left - 8, y + 15, name, "name", "end", note=bar.label if name != bar.label else "")
        long = max(1.0, x(bar.value) - left)
        faint = " bar-baseline" if bar.mark == "baseline" else ""
        canvas.rectangle(left, y + 3, long, BAR_STEP - 9, f"b-{bar.mark}{faint}")
        canvas.text(left + long + 6, y + 15, bar.text, "value")
    return canvas
