"""What the letters in a plot stand for, in columns below it."""

from __future__ import annotations

from collections.abc import Sequence

from whichtune.report.drawing.canvas import EDGE, Canvas, clip_to, width_of

LINE, GAP, LOOK = 16.0, 18.0, "key-name"


def add_key_list(canvas: Canvas, entries: Sequence[tuple[str, str]], left: float = EDGE) -> None:
    """Makes the canvas as much taller as a list of (key, words) takes, and writes it there, column after column."""
    if not entries:
        return
    key_room = max(width_of(key, LOOK) for key, _ in entries) + 6
    room = canvas.width - left - EDGE
    widest = min(room, key_room + max(width_of(words, LOOK) for _, words in entries))
    columns = max(1, int((room + GAP) // (widest + GAP)))
    lines = -(-len(entries) // columns)
    top = canvas.height + 6
    canvas.height = top + LINE * lines + 6
    for place, (key, words) in enumerate(entries):
        column, line = divmod(place, lines)
        x, y = left + column * (widest + GAP), top + LINE * line + 12
        shown = clip_to(words, widest - key_room, LOOK)
        canvas.text(x, y, key, f"{LOOK} strong")
        canvas.text(x + key_room, y, shown, LOOK, note=words if shown != words else "")
