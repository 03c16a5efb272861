"""Figures as PNG and SVG files, from the same plain values as the page's."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whichtune.errors import StoreError
from whichtune.report.drawings import (
    INK,
    SOFT,
    draw_bars,
    draw_confusions,
    draw_dots,
    draw_matrix,
    draw_scatter,
)
from whichtune.report.drawings_curves import draw_curves
from whichtune.report.drawings_tuning import draw_gains, draw_sensitivity

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

Figure = dict[str, Any]
DPI = 160
MOST_CONFUSIONS = 6
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


def save_figures(figures: list[Figure], folder: Path) -> list[Path]:
    """Write NAME.png and NAME.svg of each figure. Raises StoreError where the folder cannot be written.

    Of the confusion matrices the first six (the rows of highest score) become one figure.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    style = {
        "font.family": _fonts_for(figures),
        "font.size": 10,
        "svg.fonttype": "none",
        "svg.hashsalt": "whichtune",
        "axes.edgecolor": "#b9b6af",
        "axes.labelcolor": SOFT,
        "text.color": INK,
        "xtick.color": SOFT,
        "ytick.color": SOFT,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "text.parse_math": False,
    }
    written = []
    try:
        folder.mkdir(exist_ok=True)
        for old in [*folder.glob("*.png"), *folder.glob("*.svg")]:
            old.unlink()  # of an earlier report, whose rows may be others
        with matplotlib.rc_context(style), warnings.catch_warnings():
            # A sign that no font here has is drawn as a box in the PNG; the SVG keeps it as text.
            warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
            for name, draw in _drawings(figures):
                canvas = draw()
                FigureCanvasAgg(canvas)
                for kind, extra in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": "whichtune"})):
                    path = folder / f"{name}.{kind}"
                    canvas.savefig(path, dpi=DPI, metadata=extra, facecolor="white")
                    written.append(path)
    except OSError as error:
        raise StoreError(f"The figures cannot be written to '{folder}': {error.strerror}.") from error
    return written


def _fonts_for(figures: list[Figure]) -> list[str]:
    """The fonts that these figures' names need: more than one makes every text slower to draw."""
    from matplotlib import font_manager

    if not any(ord(sign) > BEYOND_LATIN_FONT for sign in repr(figures)):
        return [LATIN_FONT, "sans-serif"]
    there = {font.name for font in font_manager.fontManager.ttflist}
    if not there & set(OTHER_FONTS):  # perhaps installed since matplotlib last looked
        for path in font_manager.findSystemFonts():
            if any(name.replace(" ", "")[:11] in Path(path).stem.replace(" ", "") for name in OTHER_FONTS):
                font_manager.fontManager.addfont(path)
        there = {font.name for font in font_manager.fontManager.ttflist}
    return [LATIN_FONT, *(name for name in OTHER_FONTS if name in there), "sans-serif"]


def _drawings(figures: list[Figure]) -> list[tuple[str, Callable[[], Canvas]]]:
    """What to draw under which name."""
    kinds: dict[str, Callable[[Figure], Canvas]] = {
        "dots": draw_dots,
        "scatter": draw_scatter,
        "curves": draw_curves,
        "bars": draw_bars,
        "matrix": draw_matrix,
        "gains": draw_gains,
        "sensitivity": draw_sensitivity,
    }
    found: list[tuple[str, Callable[[], Canvas]]] = [
        (figure["name"], lambda figure=figure: kinds[figure["kind"]](figure))  # type: ignore[misc]
        for figure in figures
        if figure["kind"] in kinds
    ]
    confusions = [figure for figure in figures if figure["kind"] == "confusion"][:MOST_CONFUSIONS]
    return found + ([("confusion", lambda: draw_confusions(confusions))] if confusions else [])
