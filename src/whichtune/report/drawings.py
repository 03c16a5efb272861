"""How matplotlib draws each kind of figure: light ground, colours of Okabe and Ito, margins reckoned here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from whichtune.report.scales import (
    clip,
    log_ticks,
    nice_ticks,
    padded,
    padded_log,
    place_labels,
    text_units,
    tick_text,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

Figure = dict[str, Any]
COLOURS = {"run": "#0072B2", "recommended": "#D55E00", "best": "#009E73", "baseline": "#5f6670"}
SHAPES = {"run": "o", "recommended": "D", "best": "^", "baseline": "s"}
NAMES = {"run": "trained", "recommended": "recommended", "best": "best on validation", "baseline": "baseline"}
SOFT, GRID, INK = "#5a616b", "#e6e4df", "#1c1f24"
CHARACTER = 0.087  # inches that a sign takes at 10 points


def new_canvas(width: float, height: float) -> Canvas:
    from matplotlib.figure import Figure as Canvas

    return Canvas(figsize=(width, height))


def _room(names: Sequence[str], points: float = 10) -> float:
    """Inches that the longest of these names takes."""
    return max((text_units(name) for name in names), default=0) * CHARACTER * points / 10


def _axes(canvas: Canvas, left: float, right: float, top: float, bottom: float) -> Axes:
    """Axes with these margins in inches. Margins are reckoned here: matplotlib's own layout draws all twice."""
    width, height = canvas.get_size_inches()
    box = (left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height)
    return canvas.add_axes(box)


def panel_grid(
    canvas: Canvas, lines: int, columns: int, margins: tuple[float, float, float, float], gap: tuple[float, float]
) -> list[Axes]:
    """Axes in rows; `margins` (left, right, top, bottom) and `gap` (across, down) in inches."""
    left, right, top, bottom = margins
    width, height = canvas.get_size_inches()
    wide = (width - left - right - gap[0] * (columns - 1)) / columns
    tall = (height - top - bottom - gap[1] * (lines - 1)) / lines
    found = []
    for place in range(lines * columns):
        x = left + place % columns * (wide + gap[0])
        y = height - top - tall - place // columns * (tall + gap[1])
        found.append(canvas.add_axes((x / width, y / height, wide / width, tall / height)))
    return found


def quiet(axes: Axes, along: str = "x") -> None:
    axes.grid(axis=along, color=GRID, linewidth=0.8)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
    axes.tick_params(length=0)


def set_ticks(axes: Axes, x: list[float] | None = None, y: list[float] | None = None) -> None:
    """Fixed ticks, which spare matplotlib the search for its own."""
    if x is not None:
        axes.set_xticks(x, [tick_text(tick) for tick in x])
    if y is not None:
        axes.set_yticks(y, [tick_text(tick) for tick in y])


def _marks(axes: Axes, points: Sequence[tuple[str, float, float]]) -> None:
    """`(kind, x, y)` of each mark, drawn a kind at a time."""
    for kind in SHAPES:
        found = [(x, y) for one, x, y in points if one == kind]
        if found:
            hollow = kind == "baseline"
            axes.scatter(
                [x for x, _ in found],
                [y for _, y in found],
                s=46,
                marker=SHAPES[kind],
                zorder=4,
                facecolor="white" if hollow else COLOURS[kind],
                edgecolor=COLOURS[kind] if hollow else "white",
                linewidth=1.4 if hollow else 0.8,
            )


def _legend(canvas: Canvas, kinds: Sequence[str]) -> None:
    """The marks in use, in words, below the axes."""
    from matplotlib.lines import Line2D

    used = [kind for kind in ("recommended", "best", "run", "baseline") if kind in kinds]
    handles = [
        Line2D(
            [],
            [],
            linestyle="none",
            marker=SHAPES[kind],
            label=NAMES[kind],
            color=COLOURS[kind],
            markerfacecolor="white" if kind == "baseline" else COLOURS[kind],
        )
        for kind in used
    ]
    canvas.legend(handles=handles, loc="lower center", ncols=4, frameon=False, fontsize=9)


def draw_dots(figure: Figure) -> Canvas:
    """Seeds, mean and interval of each row, highest on top."""
    rows = figure["rows"][::-1]
    names = [clip(row["label"], 34) for row in rows]
    canvas = new_canvas(7.6, 1.05 + 0.27 * len(rows))
    axes = _axes(canvas, 0.25 + _room(names), 0.2, 0.1, 0.85)
    whiskers = [(y, row) for y, row in enumerate(rows) if row["low"] is not None]
    axes.hlines(
        [y for y, _ in whiskers],
        [row["low"] for _, row in whiskers],
        [row["high"] for _, row in whiskers],
        colors=[COLOURS[row["mark"]] for _, row in whiskers],
        linewidth=1.8,
        alpha=0.75,
    )
    _marks(axes, [(row["mark"], row["mean"], y) for y, row in enumerate(rows)])
    seeds = [(value, y) for y, row in enumerate(rows) if len(row["seeds"]) > 1 for _, value in row["seeds"]]
    look: dict[str, Any] = {"facecolor": (1, 1, 1, 0.7), "edgecolor": INK, "linewidth": 0.8}
    axes.scatter([x for x, _ in seeds], [y for _, y in seeds], s=13, zorder=5, **look)
    values = [v for row in rows for v in (row["mean"], row["low"], row["high"], *(s[1] for s in row["seeds"]))]
    low, high = padded([v for v in values if v is not None], 0.04, 0.4)
    axes.set_xlim(low, high)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    set_ticks(axes, x=[tick for tick in nice_ticks(low, high, 8) if 0 <= tick <= 100])
    axes.set_yticks(range(len(rows)), names, color=INK)
    axes.spines["left"].set_visible(False)
    quiet(axes)
    axes.set_xlabel(figure["axis"])
    _legend(canvas, [row["mark"] for row in rows])
    return canvas


def draw_scatter(figure: Figure) -> Canvas:
    """Score against a cost, the Pareto front stepped, names where they fit."""
    points = figure["points"]
    canvas = new_canvas(7.6, 4.8)
    axes = _axes(canvas, 0.65, 0.2, 0.15, 0.85)
    xs = [point["x"] for point in points]
    across = padded_log(xs) if figure["log"] else (0.0, max(xs) * 1.1 or 1.0)
    low, high = padded([v for p in points for v in (p["y"], p["low"], p["high"]) if v is not None], 0.06, 0.4)
    if figure["log"]:
        axes.set_xscale("log")
        axes.minorticks_off()
    axes.set_xlim(*across)
    axes.set_ylim(low, high)
    upward = [tick for tick in nice_ticks(low, high) if 0 <= tick <= 100]
    set_ticks(axes, log_ticks(*across) if figure["log"] else nice_ticks(*across, 7), upward)
    front = sorted((p for p in points if p["front"]), key=lambda p: p["x"])
    axes.step(
        [p["x"] for p in front] + [across[1]],
        [p["y"] for p in front] + [front[-1]["y"]],
        where="post",
        color=SOFT,
        linewidth=1.1,
        linestyle=(0, (5, 4)),
    )
    spans = [p for p in points if p["low"] is not None]
    axes.vlines(
        [p["x"] for p in spans],
        [p["low"] for p in spans],
        [p["high"] for p in spans],
        colors=[COLOURS[p["mark"]] for p in spans],
        linewidth=1.6,
        alpha=0.7,
    )
    _marks(axes, [(p["mark"], p["x"], p["y"]) for p in points])
    quiet(axes, "both")
    axes.set_xlabel(figure["axis_x"])
    axes.set_ylabel(figure["axis_y"])
    _legend(canvas, [p["mark"] for p in points])
    _names(canvas, axes, points)
    return canvas


def _names(canvas: Canvas, axes: Axes, points: list[Figure]) -> None:
    """Names beside their points, placed in pixels."""
    order = sorted(points, key=lambda p: (p["mark"] in ("run", "baseline"), not p["front"], -p["y"]))
    names = [clip(p["label"], 24) for p in order]
    frame, height = axes.get_window_extent(), canvas.bbox.height
    at = [axes.transData.transform((p["x"], p["y"])) for p in order]
    unit = canvas.dpi / 72
    spots = place_labels(
        [(x, height - y, name) for (x, y), name in zip(at, names, strict=True)],
        (frame.x0, height - frame.y1, frame.x1, height - frame.y0),
        9 * unit,
        5 * unit,
    )
    for (x, y), name, spot in zip(at, names, spots, strict=True):
        if spot is not None:
            across = {"start": "left", "end": "right", "middle": "center"}[spot[2]]
            by = ((spot[0] - x) / unit, (height - spot[1] - y) / unit)
            place = tuple(axes.transData.inverted().transform((x, y)))
            look: dict[str, Any] = {"ha": across, "va": "baseline", "fontsize": 9}
            axes.annotate(name, place, by, textcoords="offset points", **look)


def draw_bars(figure: Figure) -> Canvas:
    """A panel a figure, each with its axis from zero and the value written beside its bar."""
    panels = figure["panels"]
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    most = max(len(panel["bars"]) for panel in panels)
    room = _room([clip(bar["label"], 20) for panel in panels for bar in panel["bars"]], 8.5) + 0.1
    canvas = new_canvas(0.2 + (room + 2.2) * columns, 0.1 + lines * (0.4 + 0.23 * most))
    grid = panel_grid(canvas, lines, columns, (room + 0.1, 0.1, 0.35, 0.05), (room + 0.1, 0.4))
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    for axes, panel in zip(grid, panels, strict=False):
        bars = panel["bars"][::-1]
        values = [bar["value"] for bar in bars]
        drawn = axes.barh(range(len(bars)), values, height=0.66, color=[COLOURS[bar["mark"]] for bar in bars])
        axes.bar_label(drawn, [bar["text"] for bar in bars], padding=3, fontsize=8, color=SOFT)
        axes.set_yticks(range(len(bars)), [clip(bar["label"], 20) for bar in bars], fontsize=8.5, color=INK)
        axes.set_ylim(-0.5, len(bars) - 0.5)
        axes.set_xlim(0, max(values) * 1.4)
        axes.set_xticks([])
        axes.set_title(panel["title"], fontsize=10, loc="left", y=1.0)
        axes.spines["bottom"].set_visible(False)
        axes.tick_params(length=0)
    return canvas


def draw_matrix(figure: Figure) -> Canvas:
    """Cells with their figures; blue above and orange below zero, or one colour from pale to strong."""

    rows, columns = len(figure["rows"]), len(figure["columns"])
    left, top = (clip(name, 30) for name in figure["rows"]), (clip(name, 16) for name in figure["columns"])
    names, heads = list(left), list(top)
    margin, head = 0.2 + _room(names), 0.3 + 0.6 * _room(heads)
    width, height = 0.82 * columns, (0.44 if figure["scale"] == "diverging" else 0.28) * rows
    canvas = new_canvas(margin + width + 0.8, head + height + 0.1)
    axes: Axes = _axes(canvas, margin, 0.8, head, 0.1)
    _cells(axes, figure, written=True)
    axes.set_xticks(range(columns), heads, rotation=35, ha="left", color=INK)
    axes.set_yticks(range(rows), names, color=INK)
    return canvas


def draw_confusions(figures: list[Figure]) -> Canvas:
    """Confusion matrices side by side; cells are written out while there are few classes."""
    columns = min(3, len(figures))
    lines = -(-len(figures) // columns)
    names = [clip(name, 12) for name in figures[0]["rows"]]
    room = _room(names, 7.5) + 0.15
    canvas = new_canvas(0.45 + (room + 2.3) * columns, 0.35 + lines * (2.9 + 0.7 * room))
    grid = panel_grid(
        canvas, lines, columns, (0.3 + room, 0.15 + 0.3 * room, 0.4 + 0.7 * room, 0.35), (room, 0.4 + 0.7 * room)
    )
    for axes in grid[len(figures) :]:
        axes.set_visible(False)
    for axes, figure in zip(grid, figures, strict=False):
        size = len(figure["rows"])
        _cells(axes, figure, written=size <= 6)
        places = range(0, size, -(-size // 15))
        shown = [names[i] for i in places]
        axes.set_xticks(places, shown, rotation=45, ha="left", fontsize=7.5)
        axes.set_yticks(places, shown, fontsize=7.5)
        axes.set_title(clip(figure["label"], 30), fontsize=9.5, loc="left", pad=12 + 50 * room)
    canvas.supxlabel("predicted class", fontsize=9.5, color=SOFT, y=0.01)
    canvas.supylabel("true class", fontsize=9.5, color=SOFT, x=0.01)
    return canvas


def _cells(axes: Axes, figure: Figure, written: bool) -> None:
    import numpy as np
    from matplotlib.colors import LinearSegmentedColormap

    values = np.array([[np.nan if cell is None else cell["value"] for cell in line] for line in figure["cells"]])
    diverging = figure["scale"] == "diverging"
    ends = ["#ec9a5c", "#ffffff", "#6db3da"] if diverging else ["#ffffff", "#6db3da"]
    largest = float(np.nanmax(np.abs(values), initial=0)) or 1.0
    colours = LinearSegmentedColormap.from_list("report", ends)
    axes.imshow(
        values, cmap=colours, vmin=-largest if diverging else 0, vmax=largest if diverging else 1, aspect="auto"
    )
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if not written:
        return
    for i, line in enumerate(figure["cells"]):
        for j, cell in enumerate(line):
            if cell is not None:
                note = f"\n{cell['note']}" if cell.get("note") else ""
                weight = "bold" if cell.get("strong") else "normal"
                style = "normal" if cell.get("tested", True) else "italic"
                axes.text(
                    j,
                    i,
                    cell["text"] + note,
                    ha="center",
                    va="center",
                    fontsize=7.5,
                    fontweight=weight,
                    fontstyle=style,
                )
