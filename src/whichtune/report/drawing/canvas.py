"""What a figure is drawn on: shapes in pixels from the upper left corner, for one back end or another to write.

Every figure is drawn once, on a canvas; `svg` writes it into the page or a file, `png` paints it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from whichtune.report.drawing.kinds import Mark, Point
from whichtune.report.drawing.labels import Box, Label
from whichtune.report.drawing.looks import font_size, is_bold
from whichtune.report.drawing.scales import Anchor, Scale, tick_text
from whichtune.report.drawing.text_size import cut_all, cut_tail, text_width

EDGE = 2.0  # that text keeps from the canvas's own
TICK_GAP = 8.0  # between the texts of neighbouring ticks


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
    """Pixels that a text takes at most."""
    return text_width(text, font_size(look), is_bold(look))


def clip_to(text: str, room: float, look: str = "") -> str:
    """The text, its tail cut where it would take more pixels than there are."""
    return cut_tail(text, room, font_size(look), is_bold(look))


def clip_all(texts: Sequence[str], room: float, look: str = "") -> list[str]:
    """Each text as `clip_to` has it, but cut in the middle where two would then read the same."""
    return cut_all([" ".join(text.split()) for text in texts], room, font_size(look), is_bold(look))


def spaced(ticks: Sequence[float], axis: Scale, texts: Sequence[str], look: str = "tick") -> list[tuple[float, str]]:
    """The ticks of a level axis whose texts have room beside one another, first those of round numbers."""
    found: list[tuple[float, float, float, str]] = []
    for tick, text in sorted(zip(ticks, texts, strict=True), key=lambda one: _roundness(one[0], axis.log)):
        half = (width_of(text, look) + TICK_GAP) / 2
        if all(axis(tick) + half <= left or right <= axis(tick) - half for _, left, right, _ in found):
            found.append((tick, axis(tick) - half, axis(tick) + half, text))
    return [(tick, text) for tick, _, _, text in sorted(found)]


def _roundness(tick: float, log: bool) -> int:
    """Of a logarithmic axis, powers of ten first, then fives; otherwise ticks are as round as one another."""
    return ["1", "5", "2"].index(lead) if log and (lead := f"{tick:.0e}"[0]) in "152" else 0


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

    def label(self, label: Label, look: str = "name", note: str = "") -> None:
        """A text where `place_labels` found room, with the line to its mark."""
        if label.leader is not None:
            (x1, y1), (x2, y2) = label.leader
            self.line(x1, y1, x2, y2, "leader")
        self.text(label.x, label.y, label.text, look, label.anchor, note=note)

    def plate(self, box: Box) -> None:
        """A ground that hides the grid behind a text."""
        self.rectangle(box[0], box[1], box[2] - box[0], box[3] - box[1], "plate")

    def across(self, x: Scale, rows: Sequence[tuple[float, float]], ticks: Sequence[float], axis: str) -> None:
        """An upright grid through each of `rows` (top and bottom), its ticks below, and the axis's name below those."""
        bottom = rows[-1][1]
        for tick, text in spaced(ticks, x, [tick_text(tick) for tick in ticks]):
            for top, foot in rows:
                self.line(x(tick), top, x(tick), foot, "grid")
            self.tick(x(tick), bottom + 16, text)
        self.axis((x.start + x.end) / 2, bottom + 36, axis)

    def tick(self, x: float, y: float, text: str) -> None:
        """The text of a tick of a level axis, moved where it would be cut at the edge."""
        half = width_of(text, "tick") / 2
        self.text(min(max(x, half + EDGE), self.width - half - EDGE), y, text, "tick", "middle")

    def axis(self, x: float, y: float, name: str, look: str = "axis") -> None:
        """The name of a level axis, its middle as near to `x` as it has room."""
        shown = clip_to(name, self.width - 2 * EDGE, look)
        half = width_of(shown, look) / 2
        middle = min(max(x, half + EDGE), self.width - half - EDGE)
        self.text(middle, y, shown, look, "middle", note=name if shown != name else "")

    def upright_axis(self, x: float, top: float, bottom: float, name: str, look: str = "axis") -> None:
        """The name of an upright axis, read from below."""
        shown = clip_to(name, self.height - 2 * EDGE, look)
        half = width_of(shown, look) / 2
        middle = min(max((top + bottom) / 2, half + EDGE), self.height - half - EDGE)
        self.text(x, middle, shown, look, "middle", turn=-90, note=name if shown != name else "")

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


def tick_room(ticks: Sequence[float]) -> float:
    """Pixels that the texts of an upright axis's ticks take, with the room beside them."""
    return max((width_of(tick_text(tick), "tick") for tick in ticks), default=0.0) + 6 + EDGE
