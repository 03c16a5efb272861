"""Cells of CSV files that a spreadsheet opens as what they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import pandas as pd

ValueT = TypeVar("ValueT")
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


def cell(value: ValueT) -> ValueT | str:
    """A value of a CSV file: a text that a spreadsheet would compute has a ' before it; numbers stay."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_SIGNS) else value


def written_cell(text: str) -> str:
    """A cell of a table whose numbers are written out: what reads as a number is left as one."""
    try:
        float(text)
    except ValueError:
        return cell(text)
    return text.strip()


def as_csv(table: pd.DataFrame, separator: str = ",", header: bool = True) -> str:
    """A table for other programs; its columns of numbers stay as they are."""
    texts = [name for name in table.columns if table[name].dtype.kind not in "biuf"]
    marked = table.assign(**{name: [cell(value) for value in table[name]] for name in texts})
    return str(marked.rename(columns=cell).to_csv(index=False, header=header, sep=separator, lineterminator="\n"))
