"""Scores against costs: the plot of every row, and the small one that shows which row to take."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

from whichtune.report.drawing.canvas import Canvas, clip_all, spaced, tick_room
from whichtune.report.drawing.key_list import add_key_list
from whichtune.report.drawing.kinds import CostPoint, Decision, Point, Scatter
from whichtune.report.drawing.labels import Box, Labels, Marked, line_box, place_labels
from whichtune.report.drawing.scales import Scale, log_ticks, nice_ticks, padded_log, score_range, score_ticks

WIDE, NARROW = 760, 360
MARK_SIZE = 5.5
REACH = 8.5  # of the largest mark, its edge included
INSET = 10.0  # between an axis and a mark that stands at its zero
NAME_ROOM, SMALL_NAME_ROOM = 170.0, 165.0
DOT = 2.4  # radius of a row that the small plot does not name
SMALL_WIDE, SMALL_NARROW = (320, 200), (340, 190)
DURATIONS = {
    1e-3: "1 ms", 1e-2: "10 ms", 0.1: "0.1 s", 1: "1 s", 10: "10 s", 60: "1 min", 600: "10 min", 3600: "1 h",
    36000: "10 h", 86400 * 4: "4 days", 86400 * 40: "40 days",
}  # fmt: skip
MORE_DURATIONS = {
    2e-3: "2 ms", 5e-3: "5 ms", 2e-2: "20 ms", 5e-2: "50 ms", 0.2: "0.2 s", 0.5: "0.5 s", 2: "2 s", 5: "5 s",
    20: "20 s", 30: "30 s", 120: "2 min", 300: "5 min", 1200: "20 min", 1800: "30 min", 7200: "2 h", 18000: "5 h",
    86400: "1 day",
}  # fmt: skip

At = Callable[[CostPoint], float]  # where a row stands across


def scatter(figure: Scatter, width: int = WIDE) -> Canvas:
    """Score against a cost with intervals, the Pareto front, and each row's name beside its mark or below by a key."""
    narrow = width < 500
    height = 330 if narrow else 400
    top, bottom = 14.0, height - 48.0
    y = Scale(*score_range(_values(figure.points), 0.06), bottom, top)
    upward = score_ticks(y)
    left, right = 20.0 + tick_room(upward), width - 14.0
    x = _cost_scale(figure, left, right)
    canvas = Canvas(width, height, figure.alt, "scatter")
    ticks = log_ticks(x.low, x.high) if figure.log else nice_ticks(x.low, x.high, 4 if narrow else 7)
    canvas.across(x, [(top, bottom)], ticks, figure.axis_x)
    canvas.upward(y, left, right, upward)
    canvas.upright_axis(13, top, bottom, figure.axis_y)

    def at(p: CostPoint) -> float:
        return x(p.x)

    front = _front(figure.points, x, y)
    order = sorted(figure.points, key=lambda p: (p.mark in ("run", "baseline"), not p.front, -p.y, p.x))
    frame = (left, 0.0, width - 2.0, bottom)
    labels = _named(canvas, order, at, y, frame, [line_box(a, b) for a, b in pairwise(front)])
    if front:
        canvas.path(front, "front")
    _draw_points(canvas, order, at, y)
    _write_labels(canvas, order, labels)
    return canvas


def _cost_scale(figure: Scatter, left: float, right: float) -> Scale:
    if figure.log:
        return Scale(*padded_log(p.x for p in figure.points), left, right, log=True)
    return Scale(0.0, max(p.x for p in figure.points) * 1.1, left + INSET, right)


def _front(points: Sequence[CostPoint], x: Scale, y: Scale) -> list[Point]:
    """A stepped line through the points that none beats, on to the right edge."""
    corners: list[Point] = []
    for p in sorted((p for p in points if p.front), key=lambda p: p.x):
        if corners:
            corners.append((x(p.x), corners[-1][1]))
        corners.append((x(p.x), y(p.y)))
    return [*corners, (x.end, corners[-1][1])] if corners else []


def _named(
    canvas: Canvas, points: Sequence[CostPoint], at: At, y: Scale, frame: Box, lines: Sequence[Box], small: bool = False
) -> Labels:
    """Finds room for the names of points beside `lines` and intervals, and lays their grounds over the grid."""
    whiskers = [line_box((at(p), low), (at(p), high)) for p in points for low, high in _ends(p, y)]
    names = clip_all([p.label for p in points], SMALL_NAME_ROOM if small else NAME_ROOM)
    marks = [Marked(at(p), y(p.y), REACH, name) for p, name in zip(points, names, strict=True)]
    by_name = sum(p.mark in ("recommended", "best") or small for p in points)
    labels = place_labels(marks, frame, [*lines, *whiskers], by_name)
    for label in labels.all:
        canvas.plate(label.box)
    return labels


def _ends(p: CostPoint, y: Scale) -> list[Point]:
    """Where on the canvas the point's interval begins and ends; nothing where it has none."""
    return [] if p.span is None else [(y(max(p.span[0], y.low)), y(min(p.span[1], y.high)))]


def _draw_points(canvas: Canvas, points: Sequence[CostPoint], at: At, y: Scale) -> None:
    """Intervals, then marks, the first of them on top."""
    for p in points:
        for low, high in _ends(p, y):
            canvas.line(at(p), low, at(p), high, f"whisker c-{p.mark}")
    for p in reversed(points):
        canvas.mark(p.mark, at(p), y(p.y), MARK_SIZE, _note(p))


def _note(p: CostPoint) -> str:
    return p.label + _figures(p)


def _figures(p: CostPoint) -> str:
    return f": {p.told}, {p.cost}"


def _write_labels(canvas: Canvas, points: Sequence[CostPoint], labels: Labels) -> None:
    """Names and keys in the plot, and below it what the keys stand for."""
    for p, label in zip(points, labels.names, strict=True):
        if label is not None:
            canvas.label(label, "name", p.label if label.text != p.label else "")
    for key in labels.keys:
        canvas.label(key, "name strong")
    order = {key.text: place for place, key in enumerate(labels.keys)}
    explained = sorted(labels.explained.items(), key=lambda one: (order.get(one[1], len(order)), one[0]))
    add_key_list(canvas, [(key, points[i].label, _figures(points[i])) for i, key in explained])


# -- the small plot -----------------------------------------------------------------------------------


def decision(figure: Decision, size: tuple[int, int] = SMALL_WIDE) -> Canvas:
    """The rows that matter by name with their intervals, the others as small dots; far lower ones on the lower edge."""
    width, height = size
    top, bottom = 12.0, height - 36.0
    named = [p for label in figure.named for p in figure.points if p.label == label]
    others = [p for p in figure.points if p.label not in figure.named]
    floor = _floor(named)
    values = [*_values(named), *(p.y for p in others if p.y >= floor)]
    y = Scale(*score_range(values, 0.08), bottom, top)
    upward = score_ticks(y, 4)
    left, right = 18.0 + tick_room(upward), width - 10.0
    x, zero = _time_scale([p.x for p in figure.points], left, right)
    canvas = Canvas(width, height, figure.alt, "decision")
    _durations(canvas, x, zero, top, bottom)
    canvas.axis((left + right) / 2, height - 5, figure.axis_x, "tick")
    canvas.upward(y, left, right, upward)
    canvas.upright_axis(11, top, bottom, figure.axis_y, "tick")

    def at(p: CostPoint) -> float:
        return x(p.x) if p.x > 0 else zero

    places = [(at(p), y(p.y) if p.y >= floor else bottom - DOT - 1) for p in others]
    around = [(a - DOT - 1, b - DOT - 1, a + DOT + 1, b + DOT + 1) for a, b in places]
    labels = _named(canvas, named, at, y, (left, 0.0, width - 2.0, bottom), around, small=True)
    for p, (a, b) in zip(others, places, strict=True):
        _dot(canvas, p, a, b, below=p.y < floor)
    _draw_points(canvas, named, at, y)
    _write_labels(canvas, named, labels)
    return canvas


def _values(points: Sequence[CostPoint]) -> list[float]:
    """Scores and the ends of intervals."""
    return [v for p in points for v in (p.y, *(p.span or ()))]


def _floor(named: Sequence[CostPoint]) -> float:
    """The score below which other rows would leave no room for the differences between the named ones."""
    values = _values(named)
    return min(values) - 1.5 * max(2.0, max(values) - min(values))


def _dot(canvas: Canvas, p: CostPoint, x: float, y: float, below: bool) -> None:
    """A row without a name; one that lies below the picture points downwards."""
    look = f"small b-{p.mark}"
    if below:
        points = [(x - DOT, y - DOT), (x + DOT, y - DOT), (x, y + DOT)]
        canvas.path(points, look, f"{_note(p)}, below the picture", closed=True)
    else:
        canvas.circle(x, y, DOT, look, _note(p))


def _time_scale(seconds: Sequence[float], left: float, right: float) -> tuple[Scale, float]:
    """A logarithmic scale of times, and where rows stand that took none: to the left of it."""
    taken = [value for value in seconds if value > 0]
    none = len(taken) < len(seconds)
    low, high = padded_log(taken or [1.0, 10.0], 0.1)
    if high / low < 4:  # so that there are two ticks
        middle = math.sqrt(low * high)
        low, high = middle / 4, middle * 4
    return Scale(low, high, left + (54.0 if none else 0.0), right, log=True), left + INSET + 4 if none else left


def _durations(canvas: Canvas, x: Scale, zero: float, top: float, bottom: float) -> None:
    """An upright grid at times that are spoken of as such."""
    inside = {at: text for at, text in DURATIONS.items() if x.low <= at <= x.high}
    if len(inside) < 2:
        inside |= {at: text for at, text in MORE_DURATIONS.items() if x.low <= at <= x.high}
    shown = spaced(sorted(inside), x, [inside[at] for at in sorted(inside)])
    for at, text in shown:
        canvas.line(x(at), top, x(at), bottom, "grid")
        canvas.tick(x(at), bottom + 14, text)
    if zero != x.start:
        canvas.tick(zero, bottom + 14, "none")
