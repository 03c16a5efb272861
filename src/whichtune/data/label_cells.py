"""Cells that say which labels a text has: lists, names with a sign between them, or columns of zeros and ones."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from whichtune.data.columns import is_empty, is_missing, label_text, what_is
from whichtune.data.given import row_of
from whichtune.data.shown import nearest, shown
from whichtune.data.sources import LABEL_NAMES, TEXT_NAMES, Usual
from whichtune.errors import DataError
from whichtune.study.data_settings import DataSettings
from whichtune.study.fields import column_names

if TYPE_CHECKING:
    import pandas as pd

GIVEN, NOT_GIVEN = ("1", "true"), ("0", "false")
BETWEEN = (";", "|", ",", "/")  # what mostly stands between labels


@dataclass(frozen=True)
class LabelSetColumns(Usual):
    """Texts with sets of labels: in one column, or in one of zeros and ones for each label."""

    several: bool = True

    def answer_column(self, settings: DataSettings, columns: list[str], place: str) -> str:
        return self.chosen_answer(settings, columns, place)

    def gathered(
        self, tables: dict[str, pd.DataFrame], settings: DataSettings, places: dict[str, str]
    ) -> dict[str, pd.DataFrame]:
        """The tables with one column of tuples in place of those that the settings name between commas, under the name
        that the settings have. A table without any of them stays as it is, as one does whose cells are all empty."""
        import pandas as pd

        wanted, first = label_columns(settings), next(iter(tables.values()))
        if len(wanted) < 2 or settings.label_column in first.columns:
            return tables
        if twice := sorted({name for name in wanted if wanted.count(name) > 1}):
            raise DataError(f"The label column '{shown(twice[0])}' is named twice: name each once.")
        found = {}
        for table, frame in tables.items():
            place = places.get(table, table)
            there = [name for name in wanted if name in frame.columns]
            if not there and frame is not first:
                found[table] = frame
                continue
            for name in wanted:
                if name not in there:
                    known = [str(column) for column in frame.columns]
                    raise DataError(f"{place} has no column '{shown(name)}': {nearest(name, known)}")
            cells = _from_columns(frame, wanted, partial(row_of, frame, place))
            found[table] = frame.assign(
                **{str(settings.label_column): pd.Series(cells, index=frame.index, dtype=object)}
            )
        return found


LABEL_SETS = LabelSetColumns(TEXT_NAMES, ("labels", "tags", "topics", "categories", *LABEL_NAMES), "label")


def sign_between(names: Sequence[str], wanted: str | None) -> str:
    """What stands between labels that are told as one text: the data's own sign, else one that no name has."""
    return wanted or next((sign for sign in BETWEEN if not any(sign in name for name in names)), BETWEEN[0])


def label_columns(settings: DataSettings) -> tuple[str, ...]:
    """The columns that `label_column` names: none, one, or one for each label."""
    return column_names(settings.label_column)


def _from_columns(
    frame: pd.DataFrame, names: Sequence[str], where: Callable[[int], str]
) -> list[tuple[str, ...] | None]:
    """Which of the names each row has a 1 for; None in every row where all cells are empty. Raises DataError."""
    columns = [list(frame[name]) for name in names]
    if all(is_empty(cell) for column in columns for cell in column):
        return [None] * len(frame)
    return [
        tuple(name for name, cell in zip(names, row, strict=True) if _is_given(cell, name, partial(where, at)))
        for at, row in enumerate(zip(*columns, strict=True))
    ]


def _is_given(cell: object, name: str, where: Callable[[], str]) -> bool:
    text = "" if is_empty(cell) or what_is(cell) else label_text(cell).strip().lower()
    if text in GIVEN:
        return True
    if text in NOT_GIVEN:
        return False
    said = "an empty cell" if is_empty(cell) else what_is(cell) or f"'{shown(str(cell))}'"
    raise DataError(f"{where()} has {said} in the label column '{shown(name)}': write 1 or true, 0 or false.")


def names_in(cell: object, column: str, separator: str | None, where: Callable[[], str]) -> tuple[str, ...]:
    """The labels of one cell, each once; none of an empty one.

    A list has one in each place; a text is a list written out, or labels with `separator` between them. Raises
    DataError for anything else, and for a text where no separator is known.
    """
    if isinstance(cell, str):
        written = written_list(cell)
        if written is None:
            return _separated(cell, column, separator, where)
        cell = written
    if is_missing(cell):
        return ()
    odd = what_is(cell)
    if odd is None and separator is not None:
        return (label_text(cell),)
    if odd is None or odd != "a list" or not isinstance(cell, Iterable):
        raise DataError(
            f"{where()} has {odd or 'a number'} for its labels (column '{shown(column)}'): give a list of labels, "
            "labels with a sign between them (--label-separator), or a column of 0 and 1 for each label."
        )
    parts = list(cell)
    _refuse_marks(parts, column, where)
    for part in parts:
        if is_empty(part) or what_is(part):
            raise DataError(
                f"{where()} has {what_is(part) or 'an empty label'} among its labels (column '{shown(column)}'): give "
                "each label as a text or a number."
            )
    return tuple(dict.fromkeys(label_text(part).strip() for part in parts))


def _refuse_marks(parts: list[object], column: str, where: Callable[[], str]) -> None:
    """Raise DataError for zeros and ones that say of each label whether it is given."""
    marks = [part for part in parts if isinstance(part, (bool, int, float)) or hasattr(part, "dtype")]
    if len(parts) > len(set(map(str, parts))) and len(marks) == len(parts) and all(part in (0, 1) for part in parts):
        raise DataError(
            f"{where()} has a list of {len(parts)} zeros and ones for its labels (column '{shown(column)}'): write the "
            "names of those that are given, or give a column of 0 and 1 for each label."
        )


def written_list(text: str) -> list[object] | None:
    """A list that stands in a cell as text, in JSON or as Python writes it; None where it is none."""
    text = text.strip()
    if not (text.startswith("[") and text.endswith("]")):
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, list):
            return found
    return None


def _separated(text: str, column: str, separator: str | None, where: Callable[[], str]) -> tuple[str, ...]:
    if not text.strip():
        return ()
    if separator is None:
        near = next((sign for sign in BETWEEN if sign in text), ";")
        raise DataError(
            f"{where()} has the text '{shown(text)}' for its labels (column '{shown(column)}'): say what stands "
            f"between labels, such as --label-separator '{near}'."
        )
    return tuple(dict.fromkeys(name for part in text.split(separator) if (name := part.strip())))
