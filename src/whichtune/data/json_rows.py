"""Rows of JSON: an array of objects, an object for each line, or an object of columns, whatever the file is called."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

from whichtune.data.shown import quoted, shown
from whichtune.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

CONVERSATIONS = ("messages", "conversations")  # columns whose cells are lists of messages
MOST_NESTED = 3  # keys that lead to a list of rows


def read_json_rows(
    text: str, place: str, lines: bool, records: str | None = None, must: bool = True
) -> tuple[pd.DataFrame, list[str]]:
    """The table and what is to be told of it. `lines` is what the name promises: an object for each line. `records` is
    the key, or keys with points between, under which an object has its rows; without `must` it is one wish of many.

    Numbers stay as they stand, those too long for a computer's number as text. Raises DataError.
    """
    kind = "jsonl" if lines else "json"
    first = text.lstrip()[:1]
    if not first:
        raise DataError(f"{place} cannot be read as {kind}: it is empty.")
    by_line = _by_line(text) if lines else None
    if isinstance(by_line, list) and not (len(by_line) == 1 and _holds_rows(by_line[0])):
        return _table(by_line, place, "Line"), []
    whole, why = _whole(text)
    if why is not None:
        if not lines and first == "{" and isinstance(by_line := _by_line(text), list):
            told = f"{place} holds an object in each line, not one array: it is read so."
            return _table(by_line, place, "Line"), [told]
        line, reason = by_line if isinstance(by_line, tuple) else (None, why)
        where = f"Line {line} of {place}" if line else place
        raise DataError(f"{where} cannot be read as {kind}: {reason}.")
    notes = [f"{place} is one JSON value, not an object in each line: it is read so."] if lines else []
    if isinstance(whole, list):
        if records is not None and must:
            raise DataError(f"{place} is an array of rows, which stand under no key: leave data.records out.")
        return _table(whole, place, "Entry"), notes
    if isinstance(whole, dict):
        if (rows := _rows_inside(whole, place, records, must)) is not None:
            key, found = rows
            told = f"The rows of {place} are those under '{shown(key)}'."
            return _table(found, place, "Entry"), [*notes, *([told] if key != records else [])]
        return _columns(whole, text, place), notes
    raise DataError(f"{place} holds {_word(whole)}, not rows: give an array of objects.")


def _number(digits: str) -> int | str:
    try:
        return int(digits)
    except ValueError:  # thousands of digits
        return digits


def _whole(text: str) -> tuple[object, str | None]:
    """The text as one JSON value, or why it is none."""
    try:
        return json.loads(text, parse_int=_number), None
    except json.JSONDecodeError as error:
        return None, f"{error.msg[:1].lower()}{error.msg[1:]} (line {error.lineno})"
    except RecursionError:
        return None, "it is nested too deeply"


def _by_line(text: str) -> list[object] | tuple[int, str]:
    """One value for each line that is not blank; or the first line that is none, and why. An array in a single line is
    rows and not a row."""
    rows: list[object] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        value, why = _whole(line)
        if why is not None:
            return number, why.removesuffix(" (line 1)")
        rows.append(value)
    if len(rows) == 1 and not _is_row(rows[0]):
        return 1, "it is one value"
    return rows


def _is_row(value: object) -> bool:
    """Whether this is an object, and none of whole columns."""
    return isinstance(value, dict) and not (
        len(value) > 1 and all(isinstance(column, (list, dict)) for column in value.values())
    )


def _table(rows: list[object], place: str, word: str) -> pd.DataFrame:
    import pandas as pd

    if not rows:
        raise DataError(f"{place} has no rows.")
    names: dict[str, None] = {}
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise DataError(f"{word} {number} of {place} is {_word(row)}, not an object with the columns' names.")
        names.update(dict.fromkeys(row))
    cells = [[row.get(name) for name in names] for row in rows if isinstance(row, dict)]
    return pd.DataFrame(cells, columns=list(names), dtype=object)


def lists_of_rows(whole: object, depth: int = MOST_NESTED) -> dict[str, list[object]]:
    """The lists of objects in an object, by the keys that lead to them."""
    found: dict[str, list[object]] = {}
    if not isinstance(whole, dict) or not depth:
        return found
    for name, value in whole.items():
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
            found[name] = value
        found |= {f"{name}.{inner}": rows for inner, rows in lists_of_rows(value, depth - 1).items()}
    return found


def _holds_rows(line: object) -> bool:
    """Whether the only line of a file has its rows inside, and is no conversation."""
    return bool(lists_of_rows(line).keys() - set(CONVERSATIONS))


def _rows_inside(
    whole: dict[str, object], place: str, records: str | None, must: bool
) -> tuple[str, list[object]] | None:
    """The rows under a key and that key; None where the object's values are columns. Raises DataError where several
    keys have rows and none is named, and for a key that has none."""
    found = lists_of_rows(whole)
    if records in found:
        return records, found[records]
    if records is not None and must:
        there = f"there are rows under {quoted(found)}" if found else "there are rows under none"
        raise DataError(f"{place} has no list of objects under '{shown(records)}' (data.records): {there}.")
    lists = {name: value for name, value in whole.items() if isinstance(value, list)}
    if not found or (len(lists) == len(whole) > len(found.keys() & lists.keys())):
        return None  # columns, some of whose cells are objects
    if len(found) > 1:
        raise DataError(f"{place} has rows under {quoted(found)}: name one as data.records.")
    return next(iter(found.items()))


def _columns(whole: dict[str, object], text: str, place: str) -> pd.DataFrame:
    """An object of columns, each a list or an object of cells."""
    import pandas as pd

    kinds = {type(column) for column in whole.values()}
    if kinds - {list, dict} or len(kinds) != 1:
        raise DataError(f"{place} is one object and no rows: give an array of objects.")
    try:
        frame: pd.DataFrame = pd.read_json(io.StringIO(text), dtype=False, convert_dates=False)
    except (ValueError, TypeError, OverflowError) as error:
        reason = (str(error).strip() or "unknown").splitlines()[0][:200]
        raise DataError(f"{place} cannot be read as json: {reason}.") from error
    return frame


def _word(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return "true, false or null"
    kinds = ((dict, "an object"), (list, "a list"), (str, "a text"))
    return next((word for kind, word in kinds if isinstance(value, kind)), "a number")
