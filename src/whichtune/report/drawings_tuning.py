"""The figures of a search as matplotlib draws them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from whichtune.report.drawings import COLOURS, GRID, INK, SHAPES, SOFT, new_canvas, panel_grid, quiet, set_ticks
from whichtune.report.scales import clip, log_ticks, nice_ticks, padded, padded_log

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

Figure = dict[str, Any]
OTHERS = "#b4b8be"


def draw_gains(figure: Figure) -> Canvas:
    """A panel a row: its expected best and interval, the other rows in grey."""
    panels = figure["panels"]
    points = [point for panel in panels for point in panel["curve"]]
    ys = [v for p in points for v in (p["y"], p["low"], p["high"]) if v is not None]
    canvas, grid = _panels(figure, [p["x"] for p in points], ys, figure["log"])
    for axes, panel in zip(grid, panels, strict=False):
        for other in panels:
            if other is not panel:
                _line(axes, other["curve"], color=OTHERS, linewidth=0.9)
        curve, colour = panel["curve"], COLOURS[panel["mark"]]
        if curve[0]["low"] is not None:
            lows, highs = [p["low"] for p in curve], [p["high"] for p in curve]
            axes.fill_between([p["x"] for p in curve], lows, highs, color=colour, alpha=0.18, linewidth=0)
        _line(axes, curve, color=colour, linewidth=1.5, marker="o" if len(curve) <= 20 else None, markersize=2.8)
    return canvas


def _line(axes: Axes, curve: Sequence[Figure], **look: Any) -> None:
    axes.plot([p["x"] for p in curve], [p["y"] for p in curve], **look)


def draw_sensitivity(figure: Figure) -> Canvas:
    """A panel a row: each draw's score against its learning rate, the ends of the range upright."""
    panels = figure["panels"]
    points = [point for panel in panels for point in panel["points"]]
    ends = [end for panel in panels for end in panel["range"]]
    canvas, grid = _panels(figure, [*ends, *(p["x"] for p in points)], [p["y"] for p in points], log=True)
    for axes, panel in zip(grid, panels, strict=False):
        for end in panel["range"]:
            axes.axvline(end, color=GRID, linewidth=1.4, zorder=0)
        rest = [p for p in panel["points"] if not p["selected"]]
        hollow: dict[str, Any] = {"facecolor": "white", "edgecolor": INK, "linewidth": 0.8, "zorder": 3}
        axes.scatter([p["x"] for p in rest], [p["y"] for p in rest], s=22, **hollow)
        best = [p for p in panel["points"] if p["selected"]]
        full: dict[str, Any] = {"color": COLOURS[panel["mark"]], "marker": SHAPES[panel["mark"]], "zorder": 4}
        axes.scatter([p["x"] for p in best], [p["y"] for p in best], s=46, **full)
    return canvas


def _few_log_ticks(low: float, high: float) -> list[float]:
    """As many as have room in a small panel."""
    found = log_ticks(low, high)
    return found[:: -(-len(found) // 4)]


def _panels(figure: Figure, xs: list[float], ys: list[float], log: bool) -> tuple[Canvas, list[Axes]]:
    """Empty panels on one scale, with titles and axes."""
    panels = figure["panels"]
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    canvas = new_canvas(max(4.0, 0.95 + 2.4 * columns), 0.85 + 1.95 * lines)
    grid = panel_grid(canvas, lines, columns, (0.8, 0.15, 0.3, 0.6), (0.2, 0.4))
    across, (low, high) = padded_log(xs) if log else padded(xs, 0.05, 0.2), padded(ys, 0.07, 0.01)
    for place, axes in enumerate(grid):
        if place >= len(panels):
            axes.set_visible(False)
            continue
        if log:
            axes.set_xscale("log")
            axes.minorticks_off()
        axes.set_xlim(across if log else (max(across[0], 0.0), across[1]))
        axes.set_ylim(low, high)
        set_ticks(axes, _few_log_ticks(*across) if log else nice_ticks(max(across[0], 0.0), across[1], 5))
        set_ticks(axes, y=nice_ticks(low, high, 5))
        axes.tick_params(labelleft=place % columns == 0, labelbottom=place + columns >= len(panels))
        axes.set_title(clip(panels[place]["title"], 28), fontsize=9.5, loc="left", y=1.0)
        quiet(axes, "y")
    canvas.supxlabel(figure["axis_x"], fontsize=10, color=SOFT, y=0.06 / lines)
    canvas.supylabel(figure["axis_y"], fontsize=10, color=SOFT, x=0.02)
    return canvas, grid
