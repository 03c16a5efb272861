"""Tables of answers written piece by piece: CSV, TSV, JSONL or Parquet, a whole file or none."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from whichtune.errors import SettingError, StoreError
from whichtune.report.cells import as_csv
from whichtune.wording import shown, shown_path

if TYPE_CHECKING:
    import pandas as pd

FORMATS = ("csv", "tsv", "jsonl", "parquet")
ROW_GROUP = 1 << 14  # rows that a Parquet file keeps together


def format_for(out: Path | None, wanted: str | None) -> str:
    """The format that is wanted, or that the file's ending says; CSV where it says none.

    Raises SettingError for a format that is not written, and for Parquet without a file.
    """
    ending = out.suffix.lower().removeprefix(".") if out is not None else ""
    kind = wanted or (ending if ending in FORMATS else "csv")
    if kind not in FORMATS:
        raise SettingError(f"--format {shown(kind)} is not written: use one of {', '.join(FORMATS)}.")
    if kind == "parquet" and out is None:
        raise SettingError("A Parquet file cannot be printed: name it with --out.")
    return kind


class TableWriter(ABC):
    """Writes tables of the same columns one after the other. Close it once the last is written."""

    def __init__(self, handle: IO[bytes]) -> None:
        self.handle = handle

    @abstractmethod
    def write(self, table: pd.DataFrame) -> None:
        """Write the rows of one table."""

    def close(self) -> None:
        """Write what was kept back. The file itself stays open."""
        self.handle.flush()


class _Delimited(TableWriter):
    """Cells that a spreadsheet would compute are marked, see `report.cells`."""

    def __init__(self, handle: IO[bytes], separator: str) -> None:
        super().__init__(handle)
        self.separator, self.header = separator, True

    def write(self, table: pd.DataFrame) -> None:
        self.handle.write(as_csv(table, self.separator, self.header).encode("utf-8"))
        self.header = False


class _Jsonl(TableWriter):
    def write(self, table: pd.DataFrame) -> None:
        names = [str(name) for name in table.columns]
        columns = [table[name].tolist() for name in table.columns]
        for row in zip(*columns, strict=True):
            line = json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False)
            self.handle.write(line.encode("utf-8") + b"\n")


class _Parquet(TableWriter):
    def __init__(self, handle: IO[bytes]) -> None:
        super().__init__(handle)
        self.kept: list[pd.DataFrame] = []
        self.writer: Any = None  # made with the first table, whose columns it takes

    def write(self, table: pd.DataFrame) -> None:
        self.kept.append(table)
        if sum(map(len, self.kept)) >= ROW_GROUP:
            self._flush()

    def close(self) -> None:
        if self.kept:
            self._flush()
        if self.writer is not None:
            self.writer.close()
        super().close()

    def _flush(self) -> None:
        import pandas as pd
        import pyarrow
        from pyarrow import parquet

        table = pyarrow.Table.from_pandas(pd.concat(self.kept, ignore_index=True), preserve_index=False)
        self.kept = []
        if self.writer is None:
            self.writer = parquet.ParquetWriter(self.handle, table.schema)
        self.writer.write_table(table)


def writer_of(kind: str, handle: IO[bytes]) -> TableWriter:
    """A writer of one of `FORMATS`."""
    if kind == "parquet":
        return _Parquet(handle)
    return _Jsonl(handle) if kind == "jsonl" else _Delimited(handle, "\t" if kind == "tsv" else ",")


def check_place(out: Path) -> None:
    """Raise StoreError where no file can be written, before anything is computed."""
    try:
        is_folder, parent = out.is_dir(), out.parent
        if is_folder:
            raise StoreError(f"'{shown_path(out)}' is a folder: name a file with --out.")
        if not parent.is_dir():
            raise StoreError(f"'{shown_path(out)}' cannot be written: there is no folder '{shown_path(parent)}'.")
        place = parent if not out.exists() or out.is_file() else out
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StoreError(f"'{shown_path(out)}' cannot be written: {reason}.") from error
    if not os.access(place, os.W_OK):
        raise StoreError(f"'{shown_path(out)}' cannot be written: no permission.")


@contextmanager
def whole_file(out: Path) -> Iterator[IO[bytes]]:
    """A file that takes its place once it is whole: what fails or is interrupted leaves what was there.

    A device or a pipe is written straight. Raises StoreError where it cannot be written.
    """
    check_place(out)
    target = out.resolve()  # a link stays one
    straight = target.exists() and not target.is_file()
    partial = target if straight else target.with_name(f".{target.name[:200]}.{os.getpid()}")
    try:
        with partial.open("wb") as handle:
            yield handle
        if not straight:
            partial.replace(target)
    except OSError as error:
        raise StoreError(f"'{shown_path(out)}' cannot be written: {error.strerror or error}.") from error
    finally:
        if not straight:
            partial.unlink(missing_ok=True)
