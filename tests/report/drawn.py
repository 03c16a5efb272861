"""What a drawing covers: the room of every text, and of everything else, as convex polygons on the whole canvas.

It knows nothing of how labels are placed. The widths of texts are those that drawings reckon with, which other tests
compare with those of matplotlib and Chromium; what they reach above and below the line is that of DejaVu Sans.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from whichtune.report.drawing.calibration import calibration_panels
from whichtune.report.drawing.canvas import Canvas, Circle, Group, Line, Path, Rectangle, Shape, Text, width_of
from whichtune.report.drawing.costs import SMALL_NARROW, SMALL_WIDE, decision, scatter
from whichtune.report.drawing.curves import curve_panels, gain_panels, sensitivity_panels
from whichtune.report.drawing.kinds import (
    Bars,
    Calibration,
    Confusion,
    Curves,
    Decision,
    Dots,
    Figure,
    Gains,
    Scatter,
    Sensitivity,
)
from whichtune.report.drawing.looks import font_size, look_of
from whichtune.report.drawing.matrices import confusion_map
from whichtune.report.drawing.scores import NARROW, WIDE, bar_panels, dots
from whichtune.report.drawing.sheets import sheets

Boxes = NDArray[np.float64]  # (n, 4): left, top, right, bottom
Polygon = list[tuple[float, float]]
CAPITAL, TAIL, WIDE_SIGN = 0.76, 0.24, 0.88
BEHIND = {"grid", "rule"}  # may pass behind a text that has a ground of its own
GROUNDS = {"hit", "miss", "paper"}  # a cell, whose text stands in it


@dataclass(frozen=True)
class Covered:
    """A shape, or one of its strokes, with the room that it takes. `place` is its order on the canvas."""

    place: int
    shape: Shape
    room: Polygon

    @property
    def looks(self) -> set[str]:
        return set(self.shape.look.split())


def drawings(figures: Sequence[Figure]) -> Iterator[tuple[str, Canvas]]:
    """Every drawing of the page, wide and narrow, and every file."""
    for figure in figures:
        found: list[tuple[str, Canvas]] = []
        if isinstance(figure, Dots):
            found = [("wide", dots(figure, WIDE)), ("narrow", dots(figure, NARROW))]
        elif isinstance(figure, Scatter):
            found = [("wide", scatter(figure, WIDE)), ("narrow", scatter(figure, NARROW))]
        elif isinstance(figure, Decision):
            found = [("wide", decision(figure, SMALL_WIDE)), ("narrow", decision(figure, SMALL_NARROW))]
        elif isinstance(figure, Curves):
            found = curve_panels(figure)
        elif isinstance(figure, Calibration):
            found = calibration_panels(figure)
        elif isinstance(figure, Gains):
            found = gain_panels(figure)
        elif isinstance(figure, Sensitivity):
            found = sensitivity_panels(figure)
        elif isinstance(figure, Bars):
            found = bar_panels(figure)
        elif isinstance(figure, Confusion):
            found = [("map", confusion_map(figure))]
        yield from ((f"{figure.name}, {title}", canvas) for title, canvas in found)
    yield from ((f"{name}.svg", canvas) for name, canvas in sheets(figures))


def flat(shapes: Sequence[Shape], dx: float = 0.0, dy: float = 0.0) -> Iterator[tuple[Shape, float, float]]:
    """Every shape with how far it was moved."""
    for shape in shapes:
        if isinstance(shape, Group):
            yield from flat(shape.shapes, dx + shape.x, dy + shape.y)
        else:
            yield shape, dx, dy


def covered(canvas: Canvas) -> list[Covered]:
    found = []
    for place, (shape, dx, dy) in enumerate(flat(canvas.shapes)):
        for room in _rooms(shape):
            found.append(Covered(place, shape, [(x + dx, y + dy) for x, y in room]))
    return found


def _rooms(shape: Shape) -> list[Polygon]:
    if isinstance(shape, Text):
        return [_of_text(shape)] if shape.text else []
    look = look_of(shape.look)
    half = float(look.get("stroke-width", 1)) / 2 if look.get("stroke", "none") != "none" else 0.0
    if isinstance(shape, Line):
        return [_stroke((shape.x1, shape.y1), (shape.x2, shape.y2), half)]
    if isinstance(shape, Circle):
        r = shape.radius + half
        return [[(shape.x + r * math.cos(a), shape.y + r * math.sin(a)) for a in (i * math.pi / 8 for i in range(16))]]
    if isinstance(shape, Rectangle):
        left, top, right, bottom = (
            shape.x - half, shape.y - half, shape.x + shape.width + half, shape.y + shape.height + half
        )  # fmt: skip
        return [[(left, top), (right, top), (right, bottom), (left, bottom)]]
    assert isinstance(shape, Path)
    strokes = [_stroke(a, b, half) for a, b in pairwise(shape.points)]
    if shape.closed and len(shape.points) <= 4:  # a mark, filled and convex
        return [*strokes, _stroke(shape.points[-1], shape.points[0], half), list(shape.points)]
    return strokes


def _of_text(shape: Text) -> Polygon:
    size = font_size(shape.look)
    tall = WIDE_SIGN if any(ord(sign) > 0x2E7F for sign in shape.text) else CAPITAL
    long = width_of(shape.text, shape.look)
    start = {"start": 0.0, "middle": -long / 2, "end": -long}[shape.anchor]
    turn = math.radians(shape.turn)
    corners = [(start, -tall * size), (start + long, -tall * size), (start + long, TAIL * size), (start, TAIL * size)]
    return [
        (shape.x + x * math.cos(turn) - y * math.sin(turn), shape.y + x * math.sin(turn) + y * math.cos(turn))
        for x, y in corners
    ]


def _stroke(a: tuple[float, float], b: tuple[float, float], half: float) -> Polygon:
    long = math.dist(a, b) or 1.0
    x, y = (b[1] - a[1]) / long * half, (a[0] - b[0]) / long * half
    return [(a[0] + x, a[1] + y), (b[0] + x, b[1] + y), (b[0] - x, b[1] - y), (a[0] - x, a[1] - y)]


def bounds(room: Polygon) -> tuple[float, float, float, float]:
    xs, ys = [x for x, _ in room], [y for _, y in room]
    return min(xs), min(ys), max(xs), max(ys)


def overlap(a: Polygon, b: Polygon, least: float = 0.05) -> bool:
    """Whether two convex polygons share more than an edge: no line lies between them."""
    for room in (a, b):
        for (x1, y1), (x2, y2) in pairwise([*room, room[0]]):
            nx, ny = y2 - y1, x1 - x2
            long = math.hypot(nx, ny)
            if long < 1e-9:
                continue
            first, second = ([(x * nx + y * ny) / long for x, y in polygon] for polygon in (a, b))
            if max(first) - least <= min(second) or max(second) - least <= min(first):
                return False
    return True


def holds(outer: Polygon, inner: Polygon) -> bool:
    """Whether a level rectangle has the other polygon whole within it."""
    a, b = bounds(outer), bounds(inner)
    return a[0] <= b[0] + 0.1 and a[1] <= b[1] + 0.1 and a[2] >= b[2] - 0.1 and a[3] >= b[3] - 0.1


def faults(canvas: Canvas) -> list[str]:
    """Everything that is wrong with the texts of a drawing."""
    rooms = covered(canvas)
    boxes = np.array([bounds(one.room) for one in rooms])
    found = []
    for i, text in enumerate(rooms):
        if not isinstance(text.shape, Text):
            found += _hidden(text, i, rooms, boxes)
            continue
        box = boxes[i]
        if box[0] < 0 or box[1] < 0 or box[2] > canvas.width or box[3] > canvas.height:
            found.append(f"{text.shape} is cut at the edge of {canvas.width} x {canvas.height}: {box}")
        for j in _near(box, boxes):
            other = rooms[j]
            if j == i or other.shape is text.shape or not overlap(text.room, other.room):
                continue
            if isinstance(other.shape, Text):
                if j < i:
                    found.append(f"{text.shape} overlaps {other.shape}")
            elif not _may_cross(other, text, rooms):
                found.append(f"{text.shape} is crossed by {other.shape}")
    return found


def _near(box: Sequence[float], boxes: Boxes) -> list[int]:
    left, top, right, bottom = box
    near = (left < boxes[:, 2]) & (boxes[:, 0] < right) & (top < boxes[:, 3]) & (boxes[:, 1] < bottom)
    return [int(place) for place in np.flatnonzero(near)]


def _may_cross(other: Covered, text: Covered, rooms: Sequence[Covered]) -> bool:
    if "plate" in other.looks:
        return other.place < text.place
    if other.looks & GROUNDS:
        return other.place < text.place and holds(other.room, text.room)
    if other.looks & BEHIND:
        return any(
            "plate" in plate.looks and other.place < plate.place < text.place and holds(plate.room, text.room)
            for plate in rooms
        )
    return False


def _hidden(plate: Covered, i: int, rooms: Sequence[Covered], boxes: Boxes) -> list[str]:
    """What the ground of a text hides, or lies below: nothing but the grid may touch it."""
    if "plate" not in plate.looks:
        return []
    return [
        f"{plate.shape} touches {rooms[j].shape}"
        for j in _near(boxes[i], boxes)
        if not isinstance(rooms[j].shape, Text)
        and not rooms[j].looks & (BEHIND | {"plate"})
        and overlap(plate.room, rooms[j].room)
    ]
