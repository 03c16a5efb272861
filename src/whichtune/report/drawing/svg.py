"""A canvas as SVG: inside the page, themed by its style sheet and without identifiers, or as a file of its own.

Every text is escaped as it is written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from markupsafe import Markup, escape

from whichtune.report.drawing.canvas import Canvas, Circle, Group, Line, Path, Rectangle, Shape, Text
from whichtune.report.drawing.kinds import Mark, Point
from whichtune.report.drawing.looks import FONT_SIZE, LIGHT, look_of

FONTS = "DejaVu Sans, Verdana, Noto Sans, Noto Sans CJK SC, PingFang SC, Microsoft YaHei, sans-serif"
# Signs that XML has no way to write; a label may hold them all the same.
UNWRITABLE = dict.fromkeys([*range(9), 11, 12, *range(14, 32), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF], "\ufffd")

Style = Callable[[str], str]  # the classes of a shape as attributes


def in_page(canvas: Canvas) -> Markup:
    """As an element of the page: colours come from classes, so that dark mode and print need no second drawing."""
    head = f'<svg class="{escape(canvas.kind)}" viewBox="0 0 {_short(canvas.width)} {_short(canvas.height)}" role="img"'
    return Markup(f'{head} aria-label="{_safe(canvas.alt)}">{_all(canvas.shapes, _classes)}</svg>')


def legend_mark(kind: Mark) -> Markup:
    """One mark alone, for the page's legend; its name stands beside it in words."""
    canvas = Canvas(16, 16)
    canvas.mark(kind, 8, 8, 5)
    body = _all(canvas.shapes, _classes)
    return Markup(f'<svg class="key" viewBox="0 0 16 16" aria-hidden="true" focusable="false">{body}</svg>')


def as_file(canvas: Canvas) -> str:
    """A whole file, on white, with its colours written at each shape."""
    width, height = _short(canvas.width), _short(canvas.height)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'role="img" aria-label="{_safe(canvas.alt)}" font-family="{FONTS}" font-size="{FONT_SIZE:g}px" '
        f'fill="{LIGHT["--ink"]}">'
    )
    ground = f'<rect width="{width}" height="{height}" fill="{LIGHT["--paper"]}"/>'
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{head}\n{ground}\n{_all(canvas.shapes, _written)}\n</svg>\n'


def _classes(look: str) -> str:
    return f' class="{look}"' if look else ""


def _written(look: str) -> str:
    return "".join(f' {name}="{value}"' for name, value in look_of(look).items())


def _all(shapes: Sequence[Shape], style: Style) -> str:
    return "".join(_element(shape, style) for shape in shapes)


def _element(shape: Shape, style: Style) -> str:
    if isinstance(shape, Group):
        return f'<g transform="translate({_short(shape.x)} {_short(shape.y)})">{_all(shape.shapes, style)}</g>'
    look = style(shape.look)
    if isinstance(shape, Line):
        ends = f'x1="{_short(shape.x1)}" y1="{_short(shape.y1)}" x2="{_short(shape.x2)}" y2="{_short(shape.y2)}"'
        return f"<line {ends}{look}/>"
    if isinstance(shape, Path):
        tag = "polygon" if shape.closed else "polyline"
        return _with_note(tag, f'points="{_points(shape.points)}"{look}', shape.note)
    if isinstance(shape, Circle):
        return _with_note(
            "circle", f'cx="{_short(shape.x)}" cy="{_short(shape.y)}" r="{shape.radius:g}"{look}', shape.note
        )
    if isinstance(shape, Rectangle):
        box = (
            f'x="{_short(shape.x)}" y="{_short(shape.y)}" width="{_short(shape.width)}" height="{_short(shape.height)}"'
        )
        strength = "" if shape.strength is None else f' fill-opacity="{shape.strength:.2f}"'
        return _with_note("rect", f"{box}{look}{strength}", shape.note)
    return _text(shape, look)


def _text(shape: Text, look: str) -> str:
    x, y = _short(shape.x), _short(shape.y)
    anchor = "" if shape.anchor == "start" else f' text-anchor="{shape.anchor}"'
    turn = f' transform="rotate({shape.turn:g} {x} {y})"' if shape.turn else ""
    return _with_note("text", f'x="{x}" y="{y}"{look}{anchor}{turn}', shape.note, _safe(shape.text))


def _with_note(tag: str, attributes: str, note: str, inside: str = "") -> str:
    body = (f"<title>{_safe(note)}</title>" if note else "") + inside
    return f"<{tag} {attributes}>{body}</{tag}>" if body else f"<{tag} {attributes}/>"


def _points(points: Sequence[Point]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _safe(text: str) -> str:
    return str(escape(text.translate(UNWRITABLE)))
