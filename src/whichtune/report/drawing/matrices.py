"""Matrices of cells. The page writes small ones as tables; files have them drawn."""

from __future__ import annotations

from whichtune.report.drawing.canvas import Canvas, clip_all, width_of
from whichtune.report.drawing.kinds import Cell, Confusion, Matrix

CELL_WIDTH = 78.0
SMALL_MAP, MIDDLE_MAP, MAP_SIZE = 220.0, 300.0, 360.0
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
    names = clip_all(figure.rows, NAME_ROOM)
    heads = clip_all(figure.columns, HEAD_ROOM)
    tall = 40.0 if any(cell and cell.note for line in figure.cells for cell in line) else 27.0
    wide = max(
        CELL_WIDTH, 6 + max(map(_cell_width, (cell for line in figure.cells for cell in line if cell)), default=0)
    )
    left = max(map(width_of, names)) + 18
    top = RISE * max(map(width_of, heads)) + 24
    overhang = max(0.0, 0.85 * max(_beyond(head, wide * (len(heads) - j - 0.5)) for j, head in enumerate(heads)))
    canvas = Canvas(left + wide * len(heads) + overhang + 8, top + tall * len(names) + 8, figure.alt, figure.kind)
    for j, head in enumerate(heads):
        canvas.text(left + wide * (j + 0.5) - 6, top - 8, head, "name", turn=SLANT)
    for i, (name, line) in enumerate(zip(names, figure.cells, strict=True)):
        y = top + tall * i
        canvas.text(left - 10, y + tall / 2 + 4, name, "name", "end")
        for j, cell in enumerate(line):
            if cell is not None:
                _cell(canvas, cell, (left + wide * j, y, wide, tall), strength(cell.value, figure) / 100)
    return canvas


def _beyond(head: str, room: float) -> float:
    """How much longer a slanted head is than the room to the right of its foot."""
    return width_of(head) + 6 - room / 0.85


def _cell_look(cell: Cell) -> str:
    return f"cell{' strong' if cell.strong else ''}{'' if cell.tested else ' untested'}"


def _cell_width(cell: Cell) -> float:
    return max(width_of(text, _cell_look(cell)) for text in (cell.text, cell.note))


def _cell(canvas: Canvas, cell: Cell, place: tuple[float, float, float, float], tint: float) -> None:
    x, y, wide, tall = place
    canvas.rectangle(x + 1, y + 1, wide - 2, tall - 2, "miss" if cell.value < 0 else "hit", tint)
    look, middle = _cell_look(cell), x + wide / 2
    if cell.note:
        canvas.text(middle, y + tall / 2 - 3, cell.text, look, "middle")
        canvas.text(middle, y + tall / 2 + 12, cell.note, look, "middle")
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
    """The map with the names of classes beside it, and the counts where there are few. Above MOST_NAMES classes some
    are numbered instead, and `class_list` says what the numbers stand for."""
    numbered = len(figure.rows) > MOST_NAMES
    names = [str(i + 1) for i in range(len(figure.rows))] if numbered else clip_all(figure.rows, CLASS_ROOM, "tick")
    written = len(names) <= MOST_WRITTEN
    counts = [cell.text for line in figure.cells for cell in line if cell is not None]
    widest_count = max(width_of(text, "cell") for text in counts) + 6 if written else 0.0
    size = max(SMALL_MAP, widest_count * len(names)) if written else MIDDLE_MAP
    step = size / len(names)
    shown = range(0, len(names), -(-len(names) // MOST_NAMES))
    widest = max(width_of(names[i], "tick") for i in shown)
    left, top = widest + 12, 0.72 * widest + 20
    overhang = max(0.0, *(0.72 * width_of(names[i], "tick") + 12 - (size - step * (i + 0.5)) for i in shown))
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


def class_list(figure: Confusion) -> list[tuple[str, str, str]]:
    """The numbers that stand for classes beside the map, with their names; none where the names stand there."""
    if len(figure.rows) <= MOST_NAMES:
        return []
    return [(str(i + 1), name, "") for i, name in enumerate(figure.rows)]
