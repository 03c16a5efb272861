"""What a figure is drawn on: shapes in pixels from the upper left corner, for one back end or another to write.

Every figure is drawn once, on a canvas; `svg` writes it into the page or a file, `png` paints it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from whichtune.report.drawing.kinds import Mark, Point
from whichtune.report.drawing.looks import font_size
from whichtune.report.drawing.scales import Anchor, Scale, clip, text_units, tick_text

CHARACTER = 0.6  # mean width of a sign as a share of the font's size; the fonts of readers differ


@dataclass(frozen=True, slots=True)
class Line:
    x1: float
    y1: float
    x2: float
    y2: float
    look: str


@dataclass(frozen=True, slots=True)
class Path:
    """Straight lines from point to point; `note` is shown where a pointer rests on it."""

    points: Sequence[Point]
    look: str
    closed: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Rectangle:
    x: float
    y: float
    width: float
    height: float
    look: str
    strength: float | None = None  # of its colour, from 0 to 1
    note: str = ""


@dataclass(frozen=True, slots=True)
class Circle:
    x: float
    y: float
    radius: float
    look: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """`x` and `y` are those of the baseline at the anchor; `turn` is in degrees, clockwise."""

    x: float
    y: float
    text: str
    look: str
    anchor: Anchor = "start"
    turn: float = 0.0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Shapes of another canvas, moved."""

    x: float
    y: float
    shapes: Sequence[Shape]


Shape = Line | Path | Rectangle | Circle | Text | Group


def width_of(text: str, look: str = "") -> float:
    """Pixels that a text takes, about."""
    return text_units(text) * font_size(look) * CHARACTER


def clip_to(text: str, room: float, look: str = "") -> str:
    """The text, cut where it would take more pixels than there are."""
    return clip(text, int(room / (font_size(look) * CHARACTER)))


class Canvas:
    """Collects shapes. `alt` says what they show, `kind` is the drawing's class on the page."""

    def __init__(self, width: float, height: float, alt: str = "", kind: str = "") -> None:
        self.width, self.height, self.alt, self.kind = width, height, alt, kind
        self.shapes: list[Shape] = []

    def line(self, x1: float, y1: float, x2: float, y2: float, look: str) -> None:
        self.shapes.append(Line(x1, y1, x2, y2, look))

    def path(self, points: Sequence[Point], look: str, note: str = "", closed: bool = False) -> None:
        self.shapes.append(Path(points, look, closed, note))

    def rectangle(self, x: float, y: float, width: float, height: float, look: str, strength: float | None = None,
                  note: str = "") -> None:  # fmt: skip
        self.shapes.append(Rectangle(x, y, width, height, look, strength, note))

    def circle(self, x: float, y: float, radius: float, look: str, note: str = "") -> None:
        self.shapes.append(Circle(x, y, radius, look, note))

    def text(self, x: float, y: float, text: str, look: str = "", anchor: Anchor = "start", turn: float = 0.0,
             note: str = "") -> None:  # fmt: skip
        self.shapes.append(Text(x, y, " ".join(text.split()), look, anchor, turn, note))

    def mark(self, kind: Mark, x: float, y: float, r: float, note: str = "") -> None:
        """One of the four marks, told apart by shape as well as by colour."""
        look = f"m-{kind}"
        if kind == "run":
            self.circle(x, y, r, look, note)
        elif kind == "baseline":
            self.rectangle(x - r, y - r, 2 * r, 2 * r, look, note=note)
        elif kind == "recommended":
            d = 1.35 * r
            self.path([(x, y - d), (x + d, y), (x, y + d), (x - d, y)], look, note, closed=True)
        else:
            self.path(
                [(x, y - 1.25 * r), (x + 1.2 * r, y + 0.85 * r), (x - 1.2 * r, y + 0.85 * r)], look, note, closed=True
            )

    def put(self, other: Canvas, x: float, y: float) -> None:
        """All of another canvas, its upper left corner here."""
        self.shapes.append(Group(x, y, other.shapes))

    def across(self, x: Scale, top: float, bottom: float, ticks: Sequence[float], axis: str) -> None:
        """An upright grid, its ticks below, and the axis's name below those."""
        for tick in ticks:
            self.line(x(tick), top, x(tick), bottom, "grid")
            self.text(x(tick), bottom + 16, tick_text(tick), "tick", "middle")
        self.text((x.start + x.end) / 2, bottom + 36, axis, "axis", "middle")

    def upward(self, y: Scale, left: float, right: float, ticks: Sequence[float]) -> None:
        """A level grid with its ticks on the left."""
        for tick in ticks:
            self.line(left, y(tick), right, y(tick), "grid")
            self.text(left - 6, y(tick) + 4, tick_text(tick), "tick", "end")

    def texts(self) -> Iterator[str]:
        """Everything that is written on it."""
        waiting: list[Shape] = list(self.shapes)
        while waiting:
            shape = waiting.pop()
            if isinstance(shape, Group):
                waiting.extend(shape.shapes)
            elif isinstance(shape, Text):
                yield shape.text
