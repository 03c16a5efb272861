"""A figure as a file holds it: all its panels on one sheet, with the legend that the page has elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from whichtune.report.drawing.calibration import calibration_panels
from whichtune.report.drawing.canvas import Canvas, clip_all, width_of
from whichtune.report.drawing.costs import decision, scatter
from whichtune.report.drawing.curves import Panel, curve_panels, gain_panels, sensitivity_panels
from whichtune.report.drawing.key_list import add_key_list
from whichtune.report.drawing.kinds import (
    MARKS,
    Bars,
    Calibration,
    Confusion,
    Curves,
    Decision,
    Dots,
    Figure,
    Gains,
    Mark,
    Matrix,
    Scatter,
    Sensitivity,
    Series,
)
from whichtune.report.drawing.matrices import class_list, matrix, named_confusion
from whichtune.report.drawing.scores import bar_panels, dots

EDGE, GAP = 12.0, 22.0  # around a sheet, and between its panels
TITLE = 22.0  # height of a panel's title
AXIS = 22.0  # width of the upright name of an axis
KEY, KEY_GAP, KEY_LINE = 26.0, 20.0, 22.0  # of a legend: a key's width, the room after an entry, a line's height
LEAST_LEGEND = 440.0
MOST_CONFUSIONS = 6
SERIES: dict[Series, str] = {
    "train": "train, while it was trained",
    "validation": "validation",
    "published": "published",
}


Key = Callable[[Canvas, float, float], None]  # draws around a place


@dataclass(frozen=True)
class Entry:
    """One thing in a legend: how it looks, and what it means."""

    key: Key
    words: str


def sheets(figures: Sequence[Figure]) -> list[tuple[str, Canvas]]:
    """Every figure under its file's name. The first six confusion matrices, of highest score, share one sheet, and
    curves that no row has points enough for have none."""
    confusions = [figure for figure in figures if isinstance(figure, Confusion)][:MOST_CONFUSIONS]
    rest = [figure for figure in figures if not isinstance(figure, Confusion)]
    found = [(figure.name, sheet(figure)) for figure in rest if not isinstance(figure, Curves) or figure.panels]
    return found + ([("confusion", _confusions(confusions))] if confusions else [])


def sheet(figure: Figure) -> Canvas:
    """One figure whole."""
    if isinstance(figure, Dots):
        return _padded(_with_legend(dots(figure), _marks(row.mark for row in figure.rows)))
    if isinstance(figure, Scatter):
        return _padded(_with_legend(scatter(figure), _marks(point.mark for point in figure.points)))
    if isinstance(figure, Decision):
        return _padded(_with_legend(decision(figure), _decision_entries(figure)))
    if isinstance(figure, Calibration):
        grid = _grid(calibration_panels(figure), 4, figure.alt, figure.axis_y)
        return _padded(_with_legend(grid, CALIBRATION_ENTRIES))
    if isinstance(figure, Curves):
        grid = _grid(curve_panels(figure), 4, figure.alt, figure.axis_y)
        return _padded(_with_legend(grid, _curve_entries(figure)))
    if isinstance(figure, Gains):
        return _padded(_grid(gain_panels(figure), 3, figure.alt, figure.axis_y))
    if isinstance(figure, Sensitivity):
        return _padded(_grid(sensitivity_panels(figure), 3, figure.alt, figure.axis_y))
    if isinstance(figure, Bars):
        return _padded(_grid(bar_panels(figure), 3, figure.alt))
    if isinstance(figure, Matrix):
        return _padded(matrix(figure))
    raise TypeError(f"no drawing for a figure of kind {figure.kind!r}")


def _padded(canvas: Canvas) -> Canvas:
    whole = Canvas(canvas.width + 2 * EDGE, canvas.height + 2 * EDGE, canvas.alt, canvas.kind)
    whole.put(canvas, EDGE, EDGE)
    return whole


def _grid(panels: Sequence[Panel], columns: int, alt: str, axis: str = "") -> Canvas:
    """Panels beside and below one another, each under its title; the name of their common axis on the left."""
    columns = min(columns, len(panels))
    lines = [panels[i : i + columns] for i in range(0, len(panels), columns)]
    wide = max(drawn.width for _, drawn in panels)
    talls = [max(drawn.height for _, drawn in line) for line in lines]
    left = AXIS if axis else 0.0
    height = sum(talls) + (TITLE + GAP) * len(lines) - GAP
    canvas = Canvas(left + wide * columns + GAP * (columns - 1), height, alt, panels[0][1].kind)
    if axis:
        canvas.upright_axis(14, 0, height, axis)
    titles = clip_all([title for title, _ in panels], wide - 8, "title")
    y = 0.0
    for i, (line, tall) in enumerate(zip(lines, talls, strict=True)):
        for place, (_, drawn) in enumerate(line):
            x = left + place * (wide + GAP)
            canvas.text(x + 4, y + 14, titles[i * columns + place], "title")
            canvas.put(drawn, x, y + TITLE)
        y += TITLE + tall + GAP
    return canvas


def _confusions(figures: Sequence[Confusion]) -> Canvas:
    grid = _grid([(figure.label, named_confusion(figure)) for figure in figures], 3, figures[0].alt, "true class")
    canvas = Canvas(grid.width, grid.height + 22, grid.alt, grid.kind)
    canvas.put(grid, 0, 0)
    canvas.text(grid.width / 2, grid.height + 16, "predicted class", "axis", "middle")
    add_key_list(canvas, class_list(figures[0]))
    return _padded(canvas)


# -- legends ------------------------------------------------------------------------------------------


def _marks(used: Iterable[Mark]) -> list[Entry]:
    there = set(used)
    return [Entry(_mark(mark), words) for mark, words in MARKS.items() if mark in there]


def _mark(kind: Mark) -> Key:
    return lambda canvas, x, y: canvas.mark(kind, x, y, 5.0)


def _stroke(look: str) -> Key:
    return lambda canvas, x, y: canvas.path([(x - 10, y), (x + 10, y)], look)


def _ring(canvas: Canvas, x: float, y: float) -> None:
    canvas.circle(x, y, 4.4, "best-point c-any")


def _decision_entries(figure: Decision) -> list[Entry]:
    named = [point.mark for point in figure.points if point.label in figure.named]
    others = len(named) < len(figure.points)
    return _marks(named) + ([Entry(lambda canvas, x, y: canvas.circle(x, y, 2.4, "small"), "other")] if others else [])


def _level(look: str) -> Key:
    return lambda canvas, x, y: canvas.line(x, y - 7, x, y + 7, look)


CALIBRATION_ENTRIES = [
    Entry(lambda canvas, x, y: canvas.circle(x, y, 3.4, "point c-any"), "answers that were about as sure"),
    Entry(_level("whisker c-any"), "95 % interval"),
    Entry(_stroke("range"), "as often right as sure"),
]


def _curve_entries(figure: Curves) -> list[Entry]:
    """Dashes, the ring, and the colours of the marked rows."""
    lines = [(line, panel.is_faint(line)) for panel in figure.panels for line in panel.lines]
    there = {line.series for line, _ in lines}
    found = [
        Entry(_stroke(f"curve {'c-published' if series == 'published' else 'c-any'} {series}"), words)
        for series, words in SERIES.items()
        if series in there
    ]
    if any(line.best and not faint for line, faint in lines):
        found.append(Entry(_ring, "best point"))
    marks = {line.mark for line, _ in lines}
    coloured: tuple[Mark, ...] = ("recommended", "best")
    return found + [Entry(_stroke(f"curve c-{mark}"), MARKS[mark]) for mark in coloured if mark in marks]


def _with_legend(canvas: Canvas, entries: Sequence[Entry]) -> Canvas:
    """The drawing with a legend in the middle below it, on as many lines as it needs."""
    room = max(canvas.width, LEAST_LEGEND)
    lines: list[list[Entry]] = [[]]
    for entry in entries:
        if lines[-1] and _length([*lines[-1], entry]) > room:
            lines.append([])
        lines[-1].append(entry)
    whole = Canvas(room, canvas.height + 12 + KEY_LINE * len(lines), canvas.alt, canvas.kind)
    whole.put(canvas, (room - canvas.width) / 2, 0)
    for place, line in enumerate(lines):
        x, y = (room - _length(line)) / 2, canvas.height + 12 + KEY_LINE * (place + 0.5)
        for entry in line:
            entry.key(whole, x + KEY / 2 - 3, y)
            whole.text(x + KEY, y + 4, entry.words, "value")
            x += KEY + width_of(entry.words) + KEY_GAP
    return whole


def _length(line: Sequence[Entry]) -> float:
    return sum(KEY + width_of(entry.words) + KEY_GAP for entry in line) - KEY_GAP
