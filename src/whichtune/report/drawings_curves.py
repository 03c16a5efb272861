"""The curves of training as matplotlib draws them, with a legend: a file stands without the page's caption."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from whichtune.report.drawings import COLOURS, INK, NAMES, SOFT, new_canvas, panel_grid, quiet, set_ticks
from whichtune.report.scales import clip, nice_ticks, padded

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

Figure = dict[str, Any]
# What a line shows: its words and its dashes.
SERIES: dict[str, tuple[str, Any]] = {
    "train": ("train, while it was trained", (0, (3, 2))),
    "validation": ("validation", "-"),
    "published": ("published", (0, (1, 2))),
}


def draw_curves(figure: Figure) -> Canvas:
    """A panel a row on shared scales, or one panel with the marked rows standing out."""
    panels = figure["panels"]
    columns = min(4, len(panels))
    lines = -(-len(panels) // columns)
    joined = "joined" in panels[0]
    canvas = new_canvas(7.6, 4.5) if joined else new_canvas(max(7.2, 0.85 + 2.2 * columns), 1.15 + 1.65 * lines)
    grid = panel_grid(canvas, lines, columns, (0.75, 0.2, 0.3, 0.85), (0.24, 0.34))
    points = [point for panel in panels for line in panel["lines"] for point in line["points"]]
    right = max(x for x, _ in points) or 1.0
    low, high = padded([y for _, y in points], 0.05, 0.01)
    for place, axes in enumerate(grid):
        if place >= len(panels):
            axes.set_visible(False)
            continue
        _curves(axes, panels[place])
        axes.set_xlim(0, right * 1.04)
        axes.set_ylim(max(low, 0.0), high)
        set_ticks(axes, nice_ticks(0, right, 4), nice_ticks(max(low, 0.0), high, 7 if joined else 4))
        axes.tick_params(labelleft=place % columns == 0, labelbottom=place + columns >= len(panels))
        if not joined:
            axes.set_title(clip(panels[place]["title"], 26), fontsize=9.5, loc="left", y=1.0)
        quiet(axes, "y")
    height = canvas.get_size_inches()[1]
    canvas.supxlabel(figure["axis_x"], fontsize=10, color=SOFT, y=0.36 / height)
    canvas.supylabel(figure["axis_y"], fontsize=10, color=SOFT, x=0.02)
    _legend(canvas, panels)
    return canvas


def _is_faint(panel: Figure, line: Figure) -> bool:
    """Whether a line is there for the others to stand out from."""
    return "joined" in panel and line["mark"] in ("run", "baseline")


def _curves(axes: Axes, panel: Figure) -> None:
    for line in panel["lines"]:
        mark, faint = line.get("mark", panel["mark"]), _is_faint(panel, line)
        axes.plot(
            [x for x, _ in line["points"]],
            [y for _, y in line["points"]],
            color=INK if line["series"] == "published" else COLOURS[mark],
            linestyle=SERIES[line["series"]][1],
            linewidth=1.2,
            alpha=0.28 if faint else 0.7 if line["series"] == "train" else 1,
            marker="o" if len(line["points"]) <= 8 and "joined" not in panel else None,
            markersize=2.5,
        )
        if line.get("best") and not faint:
            across, up = line["best"]
            axes.plot([across], [up], "o", color=COLOURS[mark], markerfacecolor="none", markersize=6, clip_on=False)


def _legend(canvas: Canvas, panels: list[Figure]) -> None:
    """Below the panels: dashes, the ring, and the colours of the marked rows."""
    from matplotlib.lines import Line2D

    lines = [line for panel in panels for line in panel["lines"]]
    there = {line["series"] for line in lines}
    handles = [
        Line2D([], [], color=INK if name == "published" else SOFT, linestyle=dashes, linewidth=1.2, label=words)
        for name, (words, dashes) in SERIES.items()
        if name in there
    ]
    if any(line.get("best") and not _is_faint(panel, line) for panel in panels for line in panel["lines"]):
        ring: dict[str, Any] = {"marker": "o", "markerfacecolor": "none", "linestyle": "none", "color": SOFT}
        handles.append(Line2D([], [], label="best point", **ring))
    marks = {thing.get("mark") for thing in [*panels, *lines]}
    handles += [
        Line2D([], [], color=COLOURS[mark], linewidth=1.2, label=NAMES[mark])
        for mark in ("recommended", "best")
        if mark in marks
    ]
    canvas.legend(handles=handles, loc="lower center", ncols=len(handles), frameon=False, fontsize=8.5)
