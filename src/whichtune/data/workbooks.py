"""Sheets of Excel workbooks (.xlsx, .xlsm) as tables: the first row names the columns, formulas give what was saved."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

from whichtune.data.limits import LARGEST_FILE, MOST_ROWS, SPREADSHEET, SWELLS, SWELLS_FROM, format_of
from whichtune.data.shown import quoted, shown
from whichtune.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

WORKBOOKS = (".xlsx", ".xlsm")
ERRORS = ("#N/A", "#VALUE!", "#REF!", "#DIV/0!", "#NUM!", "#NAME?", "#NULL!")
Row = tuple[object, ...]


def read_workbook(content: bytes, place: str, sheet: str | None, must: bool = True) -> tuple[pd.DataFrame, list[str]]:
    """The rows of `sheet`, or of the only sheet that has any, and what is to be told of them.

    Numbers stay numbers, blank rows are left out. Without `must` a sheet that is not there is passed over where there
    is one alone. Raises DataError for what is no workbook, one of several sheets without a choice, and where openpyxl
    is not installed.
    """
    _refuse_others(content, place)
    try:
        import openpyxl
    except ImportError as error:
        raise DataError(
            f"{place} needs openpyxl, which is not installed: pip install 'whichtune[excel]', or save it as CSV UTF-8."
        ) from error
    try:
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        sheets = {each.title: each for each in book.worksheets}
        name = _chosen(sheets, place, sheet, must)
        frame = _table(sheets[name].iter_rows(values_only=True), place)
    except DataError:
        raise
    except Exception as error:  # of whatever a damaged archive or its XML makes of a reader
        reason = shown((str(error).strip() or type(error).__name__).splitlines()[0], 200)
        raise DataError(f"{place} cannot be read as a workbook: {reason}.") from error
    told = [f"Of the {len(sheets)} sheets of {place} '{shown(name)}' is read, the only one with rows."]
    return frame, told if len(sheets) > 1 and sheet != name else []


def _refuse_others(content: bytes, place: str) -> None:
    if format_of(content) != SPREADSHEET:
        raise DataError(f"{place} cannot be read as a workbook: it is something else, name it after what it is.")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        size = sum(part.file_size for part in archive.infolist())
    if size > LARGEST_FILE or (size > SWELLS_FROM and size > SWELLS * len(content)):
        raise DataError(f"{place} swells to {size >> 20:,} MiB, which is more than is read: save it as CSV UTF-8.")


def _chosen(sheets: dict[str, Any], place: str, wanted: str | None, must: bool) -> str:
    if wanted in sheets:
        return wanted
    able = [name for name, sheet in sheets.items() if any(map(_has_cells, sheet.iter_rows(values_only=True)))]
    if wanted is not None and (must or len(able) != 1):
        raise DataError(f"{place} has no sheet '{shown(wanted)}' (data.sheet): it has {quoted(sheets)}.")
    if not able:
        raise DataError(f"{place} has no rows.")
    if len(able) > 1:
        raise DataError(f"{place} has {len(able)} sheets with rows, {quoted(able)}: name one as data.sheet.")
    return able[0]


def _has_cells(row: Row) -> bool:
    return any(cell is not None for cell in row)


def _table(rows: Iterable[Row], place: str) -> pd.DataFrame:
    import pandas as pd

    kept = [row for row in rows if _has_cells(row)]
    if len(kept) < 2:
        raise DataError(f"{place} has no rows.")
    if len(kept) > MOST_ROWS:
        raise DataError(f"{place} holds more than {MOST_ROWS:,} rows: take part of them.")
    width = max(map(len, kept))
    columns = [[row[at] if at < len(row) else None for row in kept] for at in range(width)]
    named: dict[str, list[object]] = {}
    for number, (head, *cells) in enumerate(columns, start=1):
        if head is None and all(cell is None for cell in cells):
            continue
        name = f"column {number}" if head is None else str(head)
        if name in named:
            raise DataError(f"{place} names a column twice, '{shown(name)}': rename one.")
        named[name] = [None if cell in ERRORS else cell for cell in cells]
    return pd.DataFrame(named, dtype=object)
