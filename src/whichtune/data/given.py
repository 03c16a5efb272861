"""Splits that a source gives: by its files, or by a column that names each row's split."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whichtune.data.columns import is_empty
from whichtune.data.shown import nearest, shown
from whichtune.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

SPLITS = ("train", "validation", "test")
SPLIT_ALIASES = {"dev": "validation", "val": "validation", "valid": "validation", "eval": "validation"}


def answered(
    tables: dict[str, pd.DataFrame], column: str, answer: str, places: dict[str, str], columns: list[str]
) -> tuple[dict[str, pd.DataFrame], tuple[str, ...]]:
    """The tables without validation and test where these have no answer in any row, and a sentence for each such.

    A table without the column is one only where all that it has stands in train too: with a column of another name the
    answer may be meant by that.
    """
    kept, notes = {}, []
    for table, frame in tables.items():
        unanswered = (
            all(is_empty(value) for value in frame[column])
            if column in frame.columns
            else {str(name) for name in frame.columns} <= set(columns)
        )
        if unanswered and table in ("validation", "test") and "train" in tables:
            notes.append(
                f"The {table} rows of {places.get(table, table)} have no {answer}s, so they are left for predict: the "
                f"{table} split is drawn from train."
            )
        else:
            kept[table] = frame
    return kept, tuple(notes)


def same_columns(tables: dict[str, pd.DataFrame], wanted: tuple[str, ...], places: dict[str, str], first: str) -> None:
    """Raise DataError for a table that lacks a column which the first one has."""
    for table, frame in tables.items():
        for column in wanted:
            if column not in frame.columns:
                raise DataError(f"{places.get(table, table)} has no column '{shown(column)}', which {first} has.")


def by_split_column(
    tables: dict[str, pd.DataFrame], column: str, places: dict[str, str]
) -> tuple[dict[str, pd.DataFrame], dict[str, str]]:
    """The rows of all tables by the split that the column names, and where each table's rows stand.

    Rows keep their numbers; of several tables, their table beside it. Raises DataError for a column that a table lacks,
    or a split that there is not.
    """
    import pandas as pd

    for table, frame in tables.items():
        if column not in frame.columns:
            known = [str(name) for name in frame.columns]
            raise DataError(f"{places.get(table, table)} has no column '{shown(column)}': {nearest(column, known)}")
        for row, value in enumerate(frame[column], start=1):
            if is_empty(value):
                raise DataError(
                    f"Row {row} of {places.get(table, table)} has an empty split (column '{shown(column)}'): fill it."
                )
    several = len(tables) > 1
    whole = pd.concat({places.get(t, t): f for t, f in tables.items()}) if several else next(iter(tables.values()))
    place = ", ".join(places.get(table, table) for table in tables)
    names = whole[column].map(_split_named)
    unknown = sorted(set(names) - set(SPLITS))
    if unknown:
        raise DataError(
            f"Column '{shown(column)}' of {place} names a split '{shown(unknown[0])}': use train, validation and test."
        )
    parts = {split: whole[names == split] for split in SPLITS if (names == split).any()}
    return parts, dict.fromkeys(parts, place)


def _split_named(value: object) -> str:
    name = str(value).strip().lower()
    return SPLIT_ALIASES.get(name, name)


def row_of(frame: pd.DataFrame, place: str, position: int) -> str:
    """Where the row at a position stands: its number in its file, counted from 1."""
    number = frame.index[position]
    if isinstance(number, tuple):
        place, number = number
    return f"Row {int(number) + 1} of {place}"
