"""Columns of a table as texts of several fields (`study.fields`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from whichtune.data.columns import cells_as_text, choose_column
from whichtune.data.shown import shown
from whichtune.errors import DataError
from whichtune.study.fields import FIELD_END

if TYPE_CHECKING:
    import pandas as pd


def joined(columns: Mapping[str, Iterable[object]], place_of: Callable[[int], str]) -> list[str]:
    """The cells of several columns as texts of several fields.

    Raises DataError as `cells_as_text` does, and for a cell that holds the sign between fields.
    """
    cells = [cells_as_text(column, "text", name, place_of) for name, column in columns.items()]
    for name, column in zip(columns, cells, strict=True):
        for row, cell in enumerate(column):
            if FIELD_END in cell:
                raise DataError(
                    f"{place_of(row)} holds the sign U+001F (column '{shown(name)}'), which stands between the fields "
                    "of a text: remove it."
                )
    return [FIELD_END.join(fields) for fields in zip(*cells, strict=True)]


def text_cells(frame: pd.DataFrame, names: Sequence[str], place_of: Callable[[int], str]) -> list[str]:
    """The texts of a table: the cells of one column, or those of several as fields."""
    if len(names) == 1:
        return cells_as_text(frame[names[0]], "text", names[0], place_of)
    return joined({name: list(frame[name]) for name in names}, place_of)


def chosen_columns(wanted: Sequence[str], usual: Sequence[str], columns: list[str], place: str) -> tuple[str, ...]:
    """The columns of the texts: those wanted, or the first with a usual name. Raises DataError for one there is not."""
    if not wanted:
        return (choose_column("text", None, usual, columns, place),)
    if len(wanted) > 1 and (whole := ",".join(wanted)) in columns:
        raise DataError(
            f"{shown(place)} has a column '{shown(whole)}', and the comma asks for {len(wanted)} columns: write it in "
            f"double quotes, '\"{shown(whole)}\"'."
        )
    return tuple(choose_column("text", name, usual, columns, place) for name in wanted)
