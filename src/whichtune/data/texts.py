"""New texts, to be classified or answered: one a line, or a column of a table."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from whichtune.data.chats import is_chat_column, prompts_of
from whichtune.data.columns import cells_as_text
from whichtune.data.fields import chosen_columns, text_cells
from whichtune.data.given import row_of
from whichtune.data.limits import decode, read_bytes, refuse_other_format
from whichtune.data.shown import listed, shown
from whichtune.data.sources import TEXT_NAMES
from whichtune.data.tables import Inside, read_file
from whichtune.errors import DataError
from whichtune.study.fields import column_names


def read_texts(
    file: Path, text_column: str | None, usual: tuple[str, ...] = TEXT_NAMES, inside: Inside = Inside(must=False)
) -> list[str]:
    """The texts of a .txt file (one a line, also .gz) or of a table's text columns, as many as the file has.

    Several columns are named with commas between, for texts of several fields. `inside` is which part of a file is
    read.

    Raises DataError for a file that cannot be read, and for an empty text with its row.
    """
    place, names = shown(file.name), column_names(text_column)
    if file.name.lower().endswith((".txt", ".txt.gz")):
        refuse_lines(names, place)
        content = read_bytes(file)
        refuse_other_format(content, place, "")
        lines = text_lines(decode(content, place))
        if not lines:
            raise DataError(f"{place} holds no texts.")
        return cells_as_text(lines, "text", "line", lambda row: f"Row {row + 1} of {place}")
    table = read_file(file, inside=inside).frame
    columns = chosen_columns(names, usual, [str(name) for name in table.columns], place)
    where = partial(row_of, table, place)
    if is_chat_column(columns, usual):
        return prompts_of(table[columns[0]], columns[0], where)
    return text_cells(table, columns, where)


def refuse_lines(text_columns: Sequence[str], place: str) -> None:
    """Raise DataError where a file of lines is to hold texts of several fields."""
    if len(text_columns) > 1:
        raise DataError(
            f"{place} has one text a line, and {len(text_columns)} fields are needed: give a table with the columns "
            f"{listed(text_columns)}."
        )


def text_lines(text: str) -> list[str]:
    """The lines of a text: only \\n, \\r\\n and \\r end one, and no other sign that Unicode has for it."""
    return [line.rstrip("\r\n") for line in io.StringIO(text, newline="")]
