"""One file as one table, with what its reader should be told of it."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from whichtune.data.delimited import read_rows
from whichtune.data.json_rows import read_json_rows
from whichtune.data.limits import (
    LARGEST_FILE,
    MOST_ROWS,
    PARQUET,
    SPREADSHEET,
    decode,
    format_of,
    read_bytes,
    refuse_other_format,
)
from whichtune.data.shown import quoted, shown
from whichtune.data.workbooks import WORKBOOKS, read_workbook
from whichtune.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", ".parquet", *WORKBOOKS)


@dataclass(frozen=True)
class Inside:
    """Which part of a file holds the rows: a workbook's sheet, the key of an object's list. With `must` a part that is
    not there is refused even where there is no choice."""

    sheet: str | None = None
    records: str | None = None
    must: bool = True


@dataclass(frozen=True)
class Table:
    """Rows as read, numbered from 0 in the file's order, under columns with distinct names."""

    frame: pd.DataFrame
    notes: tuple[str, ...] = ()


def kind_of_file(path: Path) -> str | None:
    """The suffix that tells the format, without .gz; None for a format that is not read."""
    suffixes = [s.lower() for s in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    return suffixes[-1] if suffixes and suffixes[-1] in SUFFIXES else None


def read_file(path: Path, separator: str | None = None, inside: Inside = Inside()) -> Table:
    """A CSV, TSV, JSONL, JSON or Parquet file, or an Excel workbook (also gzip). Text stays text: "NA" and "007" are
    kept.

    Raises DataError with one sentence for whatever is wrong with the file.
    """
    import pandas as pd

    kind, place = kind_of_file(path), shown(path.name)
    if kind is None:
        raise DataError(f"{place} is in no format that is read: use one of {', '.join(SUFFIXES)}, also .gz.")
    content = read_bytes(path)
    if separator is not None and kind not in (".csv", ".tsv"):
        raise DataError(f"data.separator is for CSV and TSV files, and {place} is none: leave it out.")
    if inside.must:
        _refuse_parts(kind, place, inside)
    expected = {".parquet": PARQUET, ".xlsx": SPREADSHEET, ".xlsm": SPREADSHEET}
    refuse_other_format(content, place, expected.get(kind, ""))
    notes: list[str] = []
    if kind == ".parquet":
        frame = _parquet(content, place)
    elif kind in WORKBOOKS:
        frame, notes = read_workbook(content, place, inside.sheet, inside.must)
    elif kind in (".jsonl", ".json"):
        text = decode(content, place)
        frame, notes = read_json_rows(text, place, kind == ".jsonl", inside.records, inside.must)
    else:
        rows = read_rows(decode(content, place), place, "," if kind == ".csv" else "\t", separator)
        frame, notes = pd.DataFrame(rows.rows, columns=rows.names, dtype=object), rows.notes
    if frame.empty:
        raise DataError(f"{place} has no rows.")
    return Table(frame.reset_index(drop=True), tuple(notes))


def _refuse_parts(kind: str, place: str, inside: Inside) -> None:
    """Raise DataError for a part that files of this kind do not have."""
    if inside.sheet is not None and kind not in WORKBOOKS:
        raise DataError(f"data.sheet is for Excel workbooks, and {place} is none: leave it out.")
    if inside.records is not None and kind not in (".json", ".jsonl"):
        raise DataError(f"data.records is for JSON files, and {place} is none: leave it out.")


def _parquet(content: bytes, place: str) -> pd.DataFrame:
    """A Parquet file; columns that pandas had saved as the rows' names are columns again."""
    import pandas as pd
    import pyarrow
    from pyarrow import parquet

    if not content:
        raise DataError(f"{place} cannot be read as parquet: it is empty.")
    if format_of(content) != PARQUET:
        raise DataError(f"{place} cannot be read as parquet: it is something else, name it after what it is.")
    try:
        held = parquet.ParquetFile(io.BytesIO(content)).metadata
        groups = [held.row_group(number) for number in range(held.num_row_groups)]
        if held.num_rows > MOST_ROWS or sum(group.total_byte_size for group in groups) > LARGEST_FILE:
            raise DataError(
                f"{place} holds more than {MOST_ROWS:,} rows or {LARGEST_FILE >> 30} GiB: take part of them."
            )
        names = [str(name) for name in held.schema.to_arrow_schema().names]
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise DataError(f"{place} names a column twice, {quoted(twice, 3)}: rename one.")
        frame: pd.DataFrame = pd.read_parquet(io.BytesIO(content))
    except (ValueError, OSError, TypeError, KeyError, RuntimeError, pyarrow.ArrowException) as error:
        reason = shown((str(error).strip() or type(error).__name__).splitlines()[0], 200)
        raise DataError(f"{place} cannot be read as parquet: {reason}.") from error
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index(allow_duplicates=True)
    frame.columns = pd.Index([str(name) for name in frame.columns])
    return frame
