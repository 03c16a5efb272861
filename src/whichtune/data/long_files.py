"""Files that are too long to be held whole: their lines one by one, and of a table the columns that are wanted."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import IO

from whichtune.data.delimited import stream_columns
from whichtune.data.limits import LARGEST_CELL, LARGEST_FILE, check_file, encoding_of, refuse_other_format
from whichtune.data.shown import shown
from whichtune.data.tables import Table, kind_of_file
from whichtune.errors import DataError

HEAD = 4096
LONG = 32 << 20  # bytes on disk of a CSV or TSV file of which only the wanted columns are held
Keep = Callable[[Sequence[str]], Collection[str]]  # of a table's columns those that are wanted


def read_long(path: Path, separator: str | None, keep: Keep) -> Table | None:
    """A long CSV or TSV file with the cells of the wanted columns, None in the others; None where the file is short, or
    of another kind, or where something is wrong with it that a look at the whole tells better."""
    import pandas as pd

    kind = kind_of_file(path)
    if kind not in (".csv", ".tsv") or not path.is_file():
        return None
    if path.stat().st_size <= (LONG // 8 if path.suffix.lower() == ".gz" else LONG):
        return None
    place = shown(path.name)
    try:
        check_file(path)
        with open_text(path, place) as handle:
            rows = stream_columns(lines_of(handle, place), place, "," if kind == ".csv" else "\t", separator, keep)
    except DataError:
        return None
    return Table(pd.DataFrame(rows.columns, dtype=object), tuple(rows.notes))


def open_text(file: Path, place: str) -> IO[str]:
    """The file's characters, decompressed; its first bytes say how they are encoded."""
    try:
        handle: IO[bytes] = gzip.open(file) if file.suffix.lower() == ".gz" else file.open("rb")  # type: ignore[assignment]
        head = handle.read(HEAD)
        handle.seek(0)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{place} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    refuse_other_format(head, place, "")
    return io.TextIOWrapper(handle, encoding=encoding_of(head, place), newline="")


def lines_of(handle: IO[str], place: str) -> Iterator[str]:
    """Lines with their ends. Raises DataError for one that is too long, and where the bytes are no text."""
    number, read = 0, 0
    try:
        while line := handle.readline(LARGEST_CELL + 1):
            number += 1
            read += len(line)
            if len(line) > LARGEST_CELL:
                raise DataError(f"Line {number} of {place} has more than {LARGEST_CELL:,} characters: shorten it.")
            if read > LARGEST_FILE:
                raise DataError(f"{place} holds more than {LARGEST_FILE >> 30} GiB: split it into smaller files.")
            yield line
    except UnicodeDecodeError as error:
        name = error.encoding.upper()
        raise DataError(f"{place} is not {name} after line {number}: save it as UTF-8.") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{place} cannot be read after line {number}: {error}.") from error
