"""What the letters in a plot stand for, in columns below it."""

from __future__ import annotations

from collections.abc import Sequence

from whichtune.report.drawing.canvas import EDGE, Canvas, clip_all, width_of

LINE, GAP, LOOK = 16.0, 18.0, "key-name"


def add_key_list(canvas: Canvas, entries: Sequence[tuple[str, str, str]], left: float = EDGE) -> None:
    """Makes the canvas as much taller as a list of (key, name, figures) takes, and writes it there in columns.

    A name that is too long is cut, its figures never.
    """
    if not entries:
        return
    key_room = max(width_of(key, LOOK) for key, _, _ in entries) + 6
    room = canvas.width - left - EDGE
    figures_room = max(width_of(figures, LOOK) for _, _, figures in entries)
    names = clip_all([name for _, name, _ in entries], room - key_room - figures_room, LOOK)
    shown = [f"{name}{figures}" for name, (_, _, figures) in zip(names, entries, strict=True)]
    widest = key_room + max(width_of(words, LOOK) for words in shown)
    columns = max(1, int((room + GAP) // (widest + GAP)))
    lines = -(-len(entries) // columns)
    top = canvas.height + 6
    canvas.height = top + LINE * lines + 6
    for place, ((key, name, figures), words) in enumerate(zip(entries, shown, strict=True)):
        column, line = divmod(place, lines)
        x, y = left + column * (widest + GAP), top + LINE * line + 12
        whole = f"{' '.join(name.split())}{figures}"
        canvas.text(x, y, key, f"{LOOK} strong")
        canvas.text(x + key_room, y, words, LOOK, note=whole if words != whole else "")
