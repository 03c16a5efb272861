"""Cells as texts and labels: what is missing, and what is neither a text nor a number."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal

from whichtune.data.limits import LARGEST_CELL
from whichtune.data.shown import listed, nearest, shown
from whichtune.errors import DataError

ASK = {
    "text": "give one text for each row",
    "label": "give one class for each text",
    "target": "give one text for each row",
    "group": "give one group for each row",
}

MEANT = f"say what is meant, several labels for one text (--task multilabel), or {ASK['label']}"


def is_missing(value: object) -> bool:
    """Whether a cell is empty, as tables say it: None, NaN, NA or NaT."""
    if value is None or isinstance(value, str):
        return value is None
    if isinstance(value, (float, Decimal)):
        return value != value
    return type(value).__name__ in ("NAType", "NaTType")


def is_empty(value: object) -> bool:
    """Whether a cell is missing, or a text of blanks."""
    return not value.strip() if isinstance(value, str) else is_missing(value)


def label_text(value: object) -> str:
    """The label as text: 1.0, as a column with gaps is read, is the label 1."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return str(int(value))
    return str(value)


def cells_as_text(
    cells: Iterable[object],
    kind: str,
    column: str,
    place_of: Callable[[int], str],
    as_text: Callable[[object], str] = str,
) -> list[str]:
    """A column's cells as text. `kind` is what the column is for: text, label or target.

    `place_of` says where the cell at a position stands ("Row 3 of a.csv"). Raises DataError for the first cell that
    holds no text or number, and for empty ones.
    """
    texts: list[str] = []
    empty: list[int] = []
    for row, value in enumerate(cells):
        if is_empty(value):
            empty.append(row)
            texts.append("")
            continue
        if odd := what_is(value):
            raise DataError(f"{place_of(row)} has {odd} for a {kind} (column '{shown(column)}'): {_ask(value, kind)}.")
        text = value if isinstance(value, str) else as_text(value)
        if why := _unusable(text):
            raise DataError(f"{place_of(row)} has a {kind} {why} (column '{shown(column)}').")
        texts.append(text)
    if empty:
        number, _, place = place_of(empty[0]).partition(" of ")
        many = f" (and {len(empty) - 1} more)" if len(empty) > 1 else ""
        raise DataError(f"{number}{many} of {place} has an empty {kind} (column '{shown(column)}'): fill or remove it.")
    if kind == "label" and texts and all(text[0] == "[" and text[-1] == "]" for text in map(str.strip, texts)):
        raise DataError(
            f"{place_of(0)} has a list for a label (column '{shown(column)}'), as texts with several labels "
            f"have: {MEANT}."
        )
    return texts


def what_is(value: object) -> str | None:
    """What a cell is that is no text, number or truth value; None for those."""
    if isinstance(value, (str, int, float, Decimal)) or (hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0):
        return None
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "bytes"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, (datetime.date, datetime.time, datetime.timedelta)):
        return "a date or time"
    if hasattr(value, "__len__") or hasattr(value, "__iter__"):
        return "a list"
    return f"a value of the kind {type(value).__name__}"


def _ask(value: object, kind: str) -> str:
    """What to do about an odd cell; a list of labels is named as what it mostly is."""
    if what_is(value) == "bytes":
        return "decode them to text"
    if what_is(value) == "a date or time":
        return "write it as text"
    if kind == "label" and what_is(value) == "a list" and isinstance(value, Iterable):
        parts = list(value)
        if len(parts) > 1 and all(part in (0, 1) for part in parts if not hasattr(part, "__len__")):
            return (
                f"{len(parts)} zeros and ones are several labels for one text (multi-label): name those that are "
                f"given, with --task multilabel, or {ASK[kind]}"
            )
        return MEANT
    return ASK[kind]


def _unusable(text: str) -> str | None:
    if len(text) > LARGEST_CELL:
        return f"of more than {LARGEST_CELL:,} characters, shorten it"
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            return "with half a letter in it (a lone surrogate), remove it"
    return None


def choose_column(kind: str, wanted: str | None, usual: Sequence[str], columns: list[str], place: str) -> str:
    """The wanted column, or the first with a usual name; raises DataError that lists what there is."""
    if wanted is not None:
        if wanted in columns:
            return wanted
        raise DataError(f"{shown(place)} has no column '{shown(wanted)}': {nearest(wanted, columns)}")
    for column in usual:
        if column in columns:
            return column
    raise DataError(
        f"{shown(place)} has no usual {kind} column (its columns: {listed(columns)}): name it with --{kind}-column."
    )
