"""The texts of a file piece by piece, so that a file of any length takes little memory.

A small file is read whole, with every check that a study's data get; a long one row by row. What only a look at all
rows can tell (a quoted text that swallows others, quotes of a TSV that are none) is not told of a long one.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from whichtune.data.chats import is_chat_column, prompts_of
from whichtune.data.columns import cells_as_text
from whichtune.data.delimited import stream_records
from whichtune.data.fields import chosen_columns, joined
from whichtune.data.limits import PARQUET, check_file, format_of
from whichtune.data.long_files import HEAD, lines_of, open_text
from whichtune.data.shown import quoted, shown
from whichtune.data.sources import TEXT_NAMES
from whichtune.data.tables import Inside, kind_of_file
from whichtune.data.texts import read_texts, refuse_lines
from whichtune.data.workbooks import WORKBOOKS
from whichtune.errors import DataError
from whichtune.study.fields import column_names

WHOLE = 4 << 20  # bytes on disk of a file that is read at once
PIECE = 512  # texts that are held at a time
_Row = tuple[object, ...]  # the cells of a row that are read
_Rows = tuple[tuple[str, ...], list[_Row]]  # the columns' names, and a few rows


class TextFile:
    """The texts of a file, to be gone through as often as is wanted.

    A .txt file has one a line, a table has them in `text_column` (several names for texts of several fields), or in the
    first that is called as `usual` says.
    Files of up to `whole` bytes are read at once. Every way through raises DataError at the first row that is wrong.
    """

    def __init__(
        self,
        file: Path,
        text_column: str | None,
        usual: Sequence[str] = TEXT_NAMES,
        whole: int = WHOLE,
        inside: Inside = Inside(must=False),
    ) -> None:
        self.file, self.wanted, self.usual = file, column_names(text_column), tuple(usual)
        check_file(file)
        self.kind = ".txt" if file.name.lower().endswith((".txt", ".txt.gz")) else kind_of_file(file)
        small = file.stat().st_size <= (whole if file.suffix.lower() != ".gz" else whole // 8)
        at_once = (
            small
            or self.kind in (None, ".json", *WORKBOOKS)
            or (self.kind == ".parquet" and file.suffix.lower() == ".gz")
        )
        self.texts = read_texts(file, text_column, self.usual, inside) if at_once else None

    def count(self) -> int:
        """How many texts there are, once every row has been read."""
        return sum(map(len, self.pieces()))

    def pieces(self, size: int = PIECE) -> Iterator[list[str]]:
        """All texts in their order, at most `size` at a time."""
        if self.texts is not None:
            for start in range(0, len(self.texts), size):
                yield self.texts[start : start + size]
            return
        place, done = shown(self.file.name), 0
        if self.kind == ".txt":
            refuse_lines(self.wanted, place)
        for names, rows in self._cells(place, size):
            columns = dict(zip(names, zip(*rows, strict=True), strict=True))
            where = _row_after(done, place)
            if is_chat_column(names, self.usual):
                yield prompts_of(columns[names[0]], names[0], where)
            elif len(names) == 1:
                yield self._texts_of(columns[names[0]], names[0], where)
            else:
                yield joined(columns, where)
            done += len(rows)
        if not done:
            raise DataError(f"{place} has no rows.")

    def _texts_of(self, cells: _Row, column: str, where: Callable[[int], str]) -> list[str]:
        return cells_as_text(cells, "text", column, where)

    def _cells(self, place: str, size: int) -> Iterator[_Rows]:
        if self.kind == ".parquet":
            yield from self._of_parquet(place, size)
            return
        with open_text(self.file, place) as handle:
            lines = lines_of(handle, place)
            if self.kind == ".txt":
                yield from ((("line",), piece) for piece in _pieces(((line.rstrip("\r\n"),) for line in lines), size))
            elif self.kind == ".jsonl":
                yield from self._of_json(lines, place, size)
            else:
                yield from self._of_rows(lines, place, size)

    def _of_rows(self, lines: Iterator[str], place: str, size: int) -> Iterator[_Rows]:
        names, rows = stream_records(lines, place, "\t" if self.kind == ".tsv" else ",")
        columns = chosen_columns(self.wanted, self.usual, names, place)
        at = [names.index(column) for column in columns]
        yield from ((columns, piece) for piece in _pieces((tuple(row[i] for i in at) for row in rows), size))

    def _of_json(self, lines: Iterator[str], place: str, size: int) -> Iterator[_Rows]:
        rows = _objects(lines, place)
        first = next(rows, None)
        if first is None:
            raise DataError(f"{place} has no rows.")
        columns = chosen_columns(self.wanted, self.usual, list(first), place)
        cells = (tuple(row.get(column) for column in columns) for row in chain([first], rows))
        yield from ((columns, piece) for piece in _pieces(cells, size))

    def _of_parquet(self, place: str, size: int) -> Iterator[_Rows]:
        import pyarrow
        from pyarrow import parquet

        with self.file.open("rb") as handle:
            if format_of(handle.read(HEAD)) != PARQUET:
                raise DataError(f"{place} cannot be read as parquet: it is something else, name it after what it is.")
        try:
            with parquet.ParquetFile(self.file) as held:
                names = [str(name) for name in held.schema_arrow.names]
                if twice := [name for name, count in Counter(names).items() if count > 1]:
                    raise DataError(f"{place} names a column twice, {quoted(twice, 3)}: rename one.")
                columns = chosen_columns(self.wanted, self.usual, names, place)
                for batch in held.iter_batches(batch_size=size, columns=list(columns)):
                    cells = [batch.column(column).to_pylist() for column in columns]
                    yield columns, list(zip(*cells, strict=True))
        except (ValueError, OSError, TypeError, KeyError, RuntimeError, pyarrow.ArrowException) as error:
            reason = shown((str(error).strip() or type(error).__name__).splitlines()[0], 200)
            raise DataError(f"{place} cannot be read as parquet: {reason}.") from error


def _row_after(done: int, place: str) -> Callable[[int], str]:
    return lambda row: f"Row {done + row + 1} of {place}"


def _pieces(rows: Iterator[_Row], size: int) -> Iterator[list[_Row]]:
    piece: list[_Row] = []
    for row in rows:
        piece.append(row)
        if len(piece) == size:
            yield piece
            piece = []
    if piece:
        yield piece


def _objects(lines: Iterator[str], place: str) -> Iterator[dict[str, object]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            reason = str(error).partition(":")[0]
            raise DataError(f"Line {number} of {place} cannot be read as jsonl: {reason.lower()}.") from error
        except RecursionError as error:
            raise DataError(f"Line {number} of {place} cannot be read as jsonl: it is nested too deeply.") from error
        if not isinstance(row, dict):
            raise DataError(f"Line {number} of {place} is no object with the columns' names.")
        yield row
