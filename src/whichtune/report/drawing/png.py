"""A canvas painted as PNG. Matplotlib's painter is used for its smooth lines and its font; nothing else of it is."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path as FilePath
from typing import TYPE_CHECKING

from whichtune.report.drawing.canvas import Canvas, Circle, Group, Line, Rectangle, Shape, Text
from whichtune.report.drawing.looks import LIGHT, Look, font_size, look_of

if TYPE_CHECKING:
    from matplotlib.backend_bases import GraphicsContextBase
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.font_manager import FontProperties
    from matplotlib.path import Path as Outline
    from matplotlib.transforms import Affine2D

SCALE = 2  # pixels of the picture to one of the canvas
LATIN_FONT = "DejaVu Sans"  # comes with matplotlib
# For other signs, the first that are installed. Matplotlib cannot draw fonts of coloured emoji.
OTHER_FONTS = [
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans SC",
    "PingFang SC",
    "Microsoft YaHei",
    "WenQuanYi Zen Hei",
    "Noto Sans Devanagari",
    "Noto Emoji",
    "Segoe UI Emoji",
    "Symbola",
]
BEYOND_LATIN_FONT = 0x2E7F  # the last sign before the scripts of East Asia and emoji


def save_png(canvas: Canvas, path: FilePath) -> None:
    """Write the picture. Raises OSError where it cannot be written."""
    path.write_bytes(png_bytes(canvas))


def png_bytes(canvas: Canvas) -> bytes:
    """The picture as a PNG file's content."""
    from matplotlib.image import imsave

    content = io.BytesIO()
    imsave(content, Painter(canvas).paint(), format="png", dpi=96 * SCALE, metadata={"Software": "whichtune"})
    return content.getvalue()


class Painter:
    """Paints the shapes of one canvas, in their order."""

    def __init__(self, canvas: Canvas) -> None:
        from matplotlib.backends.backend_agg import RendererAgg
        from matplotlib.transforms import Affine2D

        self.canvas = canvas
        self.width, self.height = (round(SCALE * size) for size in (canvas.width, canvas.height))
        self.renderer: RendererAgg = RendererAgg(self.width, self.height, 72 * SCALE)
        self.transform: Affine2D = Affine2D().scale(SCALE, -SCALE).translate(0, self.height)
        self.known: dict[str, FontProperties] = {}

    def paint(self) -> memoryview:
        """The picture `(H, W, 4)`, on white."""
        self._rectangle(Rectangle(0, 0, self.canvas.width, self.canvas.height, ""), 0, 0, {"fill": LIGHT["--paper"]})
        with warnings.catch_warnings():
            # A sign that no font here has is drawn as a box; the SVG keeps it as text.
            warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
            self._shapes(self.canvas.shapes, 0.0, 0.0)
        picture: memoryview = self.renderer.buffer_rgba()
        return picture

    def _shapes(self, shapes: Sequence[Shape], dx: float, dy: float) -> None:
        from matplotlib.path import Path as Outline

        for shape in shapes:
            if isinstance(shape, Group):
                self._shapes(shape.shapes, dx + shape.x, dy + shape.y)
            elif isinstance(shape, Text):
                self._text(shape, dx, dy)
            elif isinstance(shape, Rectangle):
                self._rectangle(shape, dx, dy, look_of(shape.look))
            elif isinstance(shape, Circle):
                self._outline(Outline.circle((shape.x + dx, shape.y + dy), shape.radius), look_of(shape.look))
            elif isinstance(shape, Line):
                ends = [(shape.x1 + dx, shape.y1 + dy), (shape.x2 + dx, shape.y2 + dy)]
                self._outline(Outline(ends), look_of(shape.look), filled=False)
            else:
                points = [(x + dx, y + dy) for x, y in shape.points]
                closed = Outline([*points, points[0]], closed=True) if shape.closed else Outline(points)
                self._outline(closed, look_of(shape.look), filled=shape.closed)

    def _rectangle(self, shape: Rectangle, dx: float, dy: float, look: Look) -> None:
        from matplotlib.path import Path as Outline

        left, top = shape.x + dx, shape.y + dy
        right, bottom = left + shape.width, top + shape.height
        corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
        if shape.strength is not None:
            look = {**look, "fill-opacity": f"{shape.strength:.2f}"}
        self._outline(Outline(corners, closed=True), look)

    def _outline(self, outline: Outline, look: Look, filled: bool = True) -> None:
        """Inside and line, each with its own opacity."""
        whole = float(look.get("opacity", 1))
        fill, stroke = look.get("fill", LIGHT["--ink"]), look.get("stroke", "none")
        if filled and fill != "none":
            brush = self._brush(fill, whole * float(look.get("fill-opacity", 1)), 0.0)
            self.renderer.draw_path(brush, outline, self.transform, _channels(fill))
        if stroke != "none":
            brush = self._brush(
                stroke, whole * float(look.get("stroke-opacity", 1)), float(look.get("stroke-width", 1))
            )
            dashes = look.get("stroke-dasharray", "none")
            if dashes != "none":
                brush.set_dashes(0, [float(length) for length in dashes.split()])
            brush.set_capstyle("round" if look.get("stroke-linecap") == "round" else "butt")
            brush.set_joinstyle(look.get("stroke-linejoin", "miter"))
            self.renderer.draw_path(brush, outline, self.transform)

    def _brush(self, colour: str, opacity: float, width: float) -> GraphicsContextBase:
        brush: GraphicsContextBase = self.renderer.new_gc()
        brush.set_foreground(colour)
        brush.set_alpha(opacity)
        brush.set_linewidth(width)
        return brush

    def _text(self, shape: Text, dx: float, dy: float) -> None:
        if not shape.text:
            return
        look, font = look_of(shape.look), self._font(shape.look)
        width, _, _ = self.renderer.get_text_width_height_descent(shape.text, font, False)
        back = {"start": 0.0, "middle": 0.5, "end": 1.0}[shape.anchor] * width
        angle = math.radians(shape.turn)
        x = SCALE * (shape.x + dx) - back * math.cos(angle)
        y = SCALE * (shape.y + dy) - back * math.sin(angle)
        brush = self._brush(look.get("fill", LIGHT["--ink"]), 1.0, 0.0)
        self.renderer.draw_text(brush, x, y, shape.text, font, -shape.turn, False)

    def _font(self, classes: str) -> FontProperties:
        if classes not in self.known:
            from matplotlib.font_manager import FontProperties

            look = look_of(classes)
            self.known[classes] = FontProperties(
                family=self.families,
                size=font_size(classes),
                weight=look.get("font-weight", "normal"),
                style="italic" if look.get("font-style") == "italic" else "normal",
            )
        return self.known[classes]

    @cached_property
    def families(self) -> list[str]:
        """The fonts that this canvas needs: more than one makes every text slower to draw."""
        from matplotlib import font_manager

        if all(ord(sign) <= BEYOND_LATIN_FONT for text in self.canvas.texts() for sign in text):
            return [LATIN_FONT]
        there = {font.name for font in font_manager.fontManager.ttflist}
        if not there & set(OTHER_FONTS):  # perhaps installed since matplotlib last looked
            for path in font_manager.findSystemFonts():
                if any(name.replace(" ", "")[:11] in FilePath(path).stem.replace(" ", "") for name in OTHER_FONTS):
                    font_manager.fontManager.addfont(path)
            there = {font.name for font in font_manager.fontManager.ttflist}
        return [LATIN_FONT, *(name for name in OTHER_FONTS if name in there)]


def _channels(colour: str) -> tuple[float, float, float]:
    """`#rrggbb` as shares of 1."""
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue
