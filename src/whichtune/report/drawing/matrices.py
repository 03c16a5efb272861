"""Matrices of cells. The page writes small ones as tables; files have them drawn."""

from __future__ import annotations

from whichtune.report.drawing.canvas import Canvas, clip_to, width_of
from whichtune.report.drawing.kinds import Cell, Confusion, Matrix

CELL_WIDTH = 78.0
SMALL_MAP, MIDDLE_MAP, MAP_SIZE = 220.0, 270.0, 360.0
MOST_NAMES = 15  # classes that are named beside a map
MOST_WRITTEN = 6  # classes up to which a map's cells are written out
NAME_ROOM, HEAD_ROOM, CLASS_ROOM = 220.0, 170.0, 96.0  # pixels that names may take
SLANT = -35.0  # degrees
RISE = 0.58  # height of a slanted text as a share of its width


def strength(value: float, figure: Matrix) -> float:
    """Strength of a cell's colour in percent."""
    share = min(1.0, abs(value) / figure.largest) if figure.largest else 0.0
    return 5 + 45 * share if figure.tint == "sequential" else 42 * share


def matrix(figure: Matrix) -> Canvas:
    """Cells with their figures; blue from zero up, orange below."""
    names = [clip_to(name, NAME_ROOM) for name in figure.rows]
    heads = [clip_to(name, HEAD_ROOM) for name in figure.columns]
    tall = 40.0 if any(cell and cell.note for line in figure.cells for cell in line) else 27.0
    left = max(map(width_of, names)) + 18
    top = RISE * max(map(width_of, heads)) + 24
    overhang = max(0.0, 0.85 * width_of(heads[-1]) - CELL_WIDTH / 2 + 6)
    canvas = Canvas(left + CELL_WIDTH * len(heads) + overhang + 8, top + tall * len(names) + 8, figure.alt, figure.kind)
    for j, head in enumerate(heads):
        canvas.text(left + CELL_WIDTH * (j + 0.5) - 6, top - 8, head, "name", turn=SLANT)
    for i, (name, line) in enumerate(zip(names, figure.cells, strict=True)):
        y = top + tall * i
        canvas.text(left - 10, y + tall / 2 + 4, name, "name", "end")
        for j, cell in enumerate(line):
            if cell is not None:
                _cell(canvas, cell, left + CELL_WIDTH * j, y, tall, strength(cell.value, figure) / 100)
    return canvas


def _cell(canvas: Canvas, cell: Cell, x: float, y: float, tall: float, tint: float) -> None:
    canvas.rectangle(x + 1, y + 1, CELL_WIDTH - 2, tall - 2, "miss" if cell.value < 0 else "hit", tint)
    look = f"cell{' strong' if cell.strong else ''}{'' if cell.tested else ' untested'}"
    middle = x + CELL_WIDTH / 2
    if cell.note:
        canvas.text(middle, y + tall / 2 - 3, cell.text, look, "middle")
        canvas.text(middle, y + tall / 2 + 11, cell.note, look, "middle")
    else:
        canvas.text(middle, y + tall / 2 + 4, cell.text, look, "middle")


def confusion_map(figure: Confusion, size: float = MAP_SIZE, strongest: float = 1.0) -> Canvas:
    """A square a cell, darker for a larger share of its true class; right answers blue, wrong ones orange."""
    canvas = Canvas(size, size, figure.alt, "grid-map")
    step = size / len(figure.rows)
    canvas.rectangle(0, 0, size, size, "paper")
    for i, line in enumerate(figure.cells):
        for j, cell in enumerate(line):
            if cell is not None and cell.value > 0:
                look = "hit" if i == j else "miss"
                canvas.rectangle(j * step, i * step, step, step, look, strongest * (0.15 + 0.85 * cell.value))
    return canvas


def named_confusion(figure: Confusion) -> Canvas:
    """The map with the names of classes beside it, and the counts where there are few."""
    names = [clip_to(name, CLASS_ROOM, "tick") for name in figure.rows]
    written = len(names) <= MOST_WRITTEN
    size = SMALL_MAP if written else MIDDLE_MAP
    step = size / len(names)
    shown = range(0, len(names), -(-len(names) // MOST_NAMES))
    widest = max(width_of(names[i], "tick") for i in shown)
    left, top = widest + 12, 0.72 * widest + 16
    overhang = max(0.0, 0.72 * width_of(names[shown[-1]], "tick") - (size - step * (shown[-1] + 0.5)))
    canvas = Canvas(left + size + overhang + 6, top + size + 6, figure.alt, figure.kind)
    canvas.put(confusion_map(figure, size, 0.5 if written else 1.0), left, top)
    for i in shown:
        middle = step * (i + 0.5)
        canvas.text(left - 6, top + middle + 4, names[i], "tick", "end")
        canvas.text(left + middle + 2, top - 6, names[i], "tick", turn=-45)
    if written:
        for i, line in enumerate(figure.cells):
            for j, cell in enumerate(line):
                if cell is not None:
                    canvas.text(left + step * (j + 0.5), top + step * (i + 0.5) + 4, cell.text, "cell", "middle")
    return canvas
