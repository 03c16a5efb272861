"""New texts, to be classified or answered: one a line, or a column of a table."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path

from whichtune.data.columns import cells_as_text, choose_column
from whichtune.data.given import row_of
from whichtune.data.limits import decode, read_bytes, refuse_other_format
from whichtune.data.shown import shown
from whichtune.data.sources import TEXT_NAMES
from whichtune.data.tables import read_file
from whichtune.errors import DataError


def read_texts(file: Path, text_column: str | None, usual: tuple[str, ...] = TEXT_NAMES) -> list[str]:
    """The texts of a .txt file (one a line, also .gz) or of a table's text column, as many as the file has.

    Raises DataError for a file that cannot be read, and for an empty text with its row.
    """
    place = shown(file.name)
    if file.name.lower().endswith((".txt", ".txt.gz")):
        content = read_bytes(file)
        refuse_other_format(content, place, "")
        lines = text_lines(decode(content, place))
        if not lines:
            raise DataError(f"{place} holds no texts.")
        return cells_as_text(lines, "text", "line", lambda row: f"Row {row + 1} of {place}")
    table = read_file(file).frame
    column = choose_column("text", text_column, usual, [str(name) for name in table.columns], place)
    return cells_as_text(table[column], "text", column, partial(row_of, table, place))


def text_lines(text: str) -> list[str]:
    """The lines of a text: only \\n, \\r\\n and \\r end one, and no other sign that Unicode has for it."""
    return [line.rstrip("\r\n") for line in io.StringIO(text, newline="")]
