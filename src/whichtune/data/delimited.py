"""Rows of CSV and TSV: the separator that a file has, its quotes, and rows that do not fit the header.

No column is ever shifted: a row longer than the header is an error unless what it has more is empty.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from whichtune.data.limits import LARGEST_CELL
from whichtune.data.shown import quoted
from whichtune.errors import DataError

SEPARATORS = (",", ";", "\t", "|")
SEPARATOR_NAMES = {"\t": "tab", " ": "blank"}
SAMPLE = 50  # rows by which a separator is judged
SHARED_LENGTH, MOST_SHARED = 40, 1000  # of cells that are held once: their characters, and how many of a column
MOST_LINES = 100_000  # of one row, where rows are read one by one
FIRST_LINE = re.compile(r'^"?sep=([^"\w\r\n])"?[\r\n]*$')  # as some spreadsheets write it


@dataclass(frozen=True)
class Record:
    """One row as it stands: its fields, and the lines of the file that it takes."""

    fields: list[str]
    first: int
    after: int

    @property
    def lines(self) -> int:
        return self.after - self.first


@dataclass(frozen=True)
class Rows:
    """Columns' names and as many fields in every row; None where a row is shorter than the header."""

    names: list[str]
    rows: list[list[str | None]]
    notes: list[str] = field(default_factory=list)


def read_rows(text: str, place: str, usual: str, separator: str | None = None) -> Rows:
    """The rows of a CSV or TSV text. `usual` is the separator that its name promises.

    `separator` is one that the user named; without it another than the usual is found by the header. Raises
    DataError for an empty file, an open quote, or a row that does not fit.
    """
    lines = list(io.StringIO(text, newline=""))
    notes: list[str] = []
    given = FIRST_LINE.match(lines[0]) if lines else None
    if given:
        lines = lines[1:]
    if not any(line.strip() for line in lines):
        kind = "tsv" if usual == "\t" else "csv"
        raise DataError(f"{place} cannot be read as {kind}: it is empty.")
    chosen = separator or (given.group(1) if given else _separator(lines, usual))
    if chosen != usual and separator is None:
        notes.append(_separator_note(place, chosen))
    records = _records(lines, chosen, place, notes)
    if len(records) < 2:
        raise DataError(f"{place} has no rows.")
    header, body = records[0].fields, [record.fields for record in records[1:]]
    rows = _fitted(body, len(header), place, chosen, notes)
    return Rows(_names(header, place, notes), rows, notes)


def stream_records(lines: Iterator[str], place: str, usual: str) -> tuple[list[str], Iterator[list[str | None]]]:
    """The columns' names of a CSV or TSV text, and its rows one after the other with as many fields.

    The separator, and whether rows begin with a number that the header lacks, are told by the first rows alone. Raises
    DataError, in the middle of the rows too, for an open quote or a row that does not fit.
    """
    sample = list(itertools.islice(lines, 4 * SAMPLE))
    given = FIRST_LINE.match(sample[0]) if sample else None
    if given:
        sample = sample[1:]
    if not any(line.strip() for line in sample):
        raise DataError(f"{place} cannot be read as {'tsv' if usual == chr(9) else 'csv'}: it begins with empty lines.")
    separator = given.group(1) if given else _separator(sample, usual)
    records = _one_by_one(itertools.chain(sample, lines), separator, place)
    header = next(records)
    first = list(itertools.islice(records, SAMPLE))
    numbered = bool(first) and all(len(fields) == len(header) + 1 for fields in first)
    numbered = numbered and _counted([fields[0].strip() for fields in first])

    def rows() -> Iterator[list[str | None]]:
        for row, fields in enumerate(itertools.chain(first, records), start=1):
            yield _fit(fields[1:] if numbered else fields, len(header), row, place, separator)

    return _names(header, place, []), rows()


@dataclass(frozen=True)
class Columns:
    """Columns by their names, each with a cell for every row; those that were not wanted with None."""

    columns: dict[str, list[str | None]]
    notes: list[str] = field(default_factory=list)


def stream_columns(
    lines: Iterator[str],
    place: str,
    usual: str,
    separator: str | None,
    keep: Callable[[Sequence[str]], Collection[str]],
) -> Columns:
    """The columns that `keep` chooses among a CSV or TSV text's, read row by row: as `read_rows` has them, without its
    search for quoted texts that swallow rows. Raises DataError as `stream_records` does."""
    sample = list(itertools.islice(lines, 4 * SAMPLE))
    notes: list[str] = []
    given = FIRST_LINE.match(sample[0]) if sample else None
    sample = sample[1:] if given else sample
    chosen = separator or (given.group(1) if given else _separator(sample, usual))
    if chosen != usual and separator is None:
        notes.append(_separator_note(place, chosen))
    records = _one_by_one(itertools.chain(sample, lines), chosen, place)
    header = next(records, None)
    if header is None:
        raise DataError(f"{place} has no rows.")
    first = list(itertools.islice(records, SAMPLE))
    if first and all(len(fields) == len(header) + 1 for fields in first):
        raise DataError(f"{place} has a field more in its rows than in its header.")  # told by a look at all rows
    names = _names(header, place, notes)
    wanted = keep(names)
    cells: dict[str, list[str | None]] = {name: [] for name in names if name in wanted}
    at = [(names.index(name), column, dict[str, str]()) for name, column in cells.items()]
    rows, extra, short = 0, 0, []
    for rows, fields in enumerate(itertools.chain(first, records), start=1):
        fitted = _fit(fields, len(names), rows, place, chosen)
        extra += len(fields) > len(names)
        if len(fields) < len(names):
            short.append(rows)
        for number, column, known in at:
            column.append(_shared(fitted[number], known))
    if not rows:
        raise DataError(f"{place} has no rows.")
    notes += _fit_notes(place, extra, short)
    nothing: list[str | None] = [None] * rows
    return Columns({name: cells.get(name, nothing) for name in names}, notes)


def _shared(cell: str | None, known: dict[str, str]) -> str | None:
    """The cell, as one object for all rows where it is one of few short ones, as labels are."""
    if cell is None or len(cell) > SHARED_LENGTH:
        return cell
    if len(known) < MOST_SHARED:
        return known.setdefault(cell, cell)
    return known.get(cell, cell)


def _one_by_one(lines: Iterator[str], separator: str, place: str) -> Iterator[list[str]]:
    """Every row that is not blank. Raises DataError for a quote that runs on where it should not."""
    taken: list[str] = []
    ended = False

    def noted() -> Iterator[str]:
        nonlocal ended
        for line in lines:
            taken.append(line)
            if len(taken) > MOST_LINES:
                return  # of one row: its quote is open
            yield line
        ended = True

    row, reader = 0, csv.reader(noted(), delimiter=separator)
    while True:
        with _large_fields():  # for one row: what is set for the whole process is put back
            fields = next(reader, None)
        if fields is None:
            return
        if len(taken) > 1 or not _is_blank(taken[0], separator):
            fault = _quote_fault(taken, separator) if len(taken) > 1 or ended else None
            if fault and (len(taken) > 1 or "unexpected end" in fault):
                where = f"Row {row}" if row else "The header"
                raise DataError(
                    f"{where} of {place} opens a quote that is not closed there: remove the quote or double it."
                )
            yield fields
            row += 1
        taken.clear()


def _separator(lines: Sequence[str], usual: str) -> str:
    """The usual one, unless the header has a single column by it and several by another that the rows have too."""
    sample = lines[: 4 * SAMPLE]
    with _large_fields():
        if len(_first(sample, usual)) > 1:
            return usual
        best, columns = usual, 1
        for other in SEPARATORS:
            found = [fields for fields in csv.reader(sample, delimiter=other) if fields][:SAMPLE]
            width = len(found[0]) if found else 0
            fitting = sum(len(fields) == width for fields in found[1:])
            if width > columns and (2 * fitting > len(found) - 1 or len(found) == 1):
                best, columns = other, width
    return best


def _first(lines: Sequence[str], separator: str) -> list[str]:
    return next((fields for fields in csv.reader(lines, delimiter=separator) if fields), [])


def _records(lines: list[str], separator: str, place: str, notes: list[str]) -> list[Record]:
    """The rows with quotes read; in a TSV whose quotes are unpaired, with quotes as they stand."""
    records = list(_parsed(lines, separator))
    open_row = _open_quote(records, lines, separator)
    swallower = _swallower(records, lines, separator)
    if separator == "\t" and (swallower is not None or _quote_fault(lines, separator)):
        plain = list(_parsed(lines, separator, csv.QUOTE_NONE))
        if all(len(record.fields) == len(plain[0].fields) for record in plain):
            notes.append(f"{place} has quotes that are not closed: its quotes are read as they stand.")
            return plain
    if open_row is not None:
        where = f"Row {open_row}" if open_row else "The header"
        more = records[open_row].lines - 1
        takes = f", so that {more:,} more lines are one text with it" if more else ""
        raise DataError(
            f"{where} of {place} opens a quote that is not closed there{takes}: remove the quote or double it."
        )
    if swallower:
        notes.append(
            f"Row {swallower} of {place} is a quoted text of {records[swallower].lines:,} lines that look like rows "
            "themselves: remove its quotes where they are."
        )
    return records


@contextmanager
def _large_fields() -> Iterator[None]:
    """The csv module refuses fields over a length that is set for the whole process."""
    before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _parsed(lines: list[str], separator: str, quoting: int = csv.QUOTE_MINIMAL) -> Iterator[Record]:
    """Every row that is not blank."""
    with _large_fields():
        reader, first = csv.reader(lines, delimiter=separator, quoting=quoting), 0  # type: ignore[arg-type]
        for fields in reader:
            after = reader.line_num
            if after - first > 1 or not _is_blank(lines[first], separator):
                yield Record(fields, first, after)
            first = after


def _is_blank(line: str, separator: str) -> bool:
    return separator not in line and not line.strip(" \t\r\n")


def _quote_fault(lines: list[str], separator: str) -> str | None:
    """What is wrong with the quotes: one that opens a field does not close it, or is followed by more."""
    with _large_fields():
        try:
            for _ in csv.reader(lines, delimiter=separator, strict=True):
                pass
        except csv.Error as error:
            return str(error)
    return None


def _open_quote(records: list[Record], lines: list[str], separator: str) -> int | None:
    """The first row whose quote runs on into other lines and ends in the middle of a field, or with the file."""
    for row, record in enumerate(records):
        last = row == len(records) - 1
        if record.lines > 1 or last:
            fault = _quote_fault(lines[record.first : record.after], separator)
            if fault and (record.lines > 1 or "unexpected end" in fault):
                return row
    return None


def _swallower(records: list[Record], lines: list[str], separator: str) -> int | None:
    """The first row of several lines each of which is like a row: the columns' number, and a value that one has."""
    long = [(row, record) for row, record in enumerate(records) if record.lines > 1]
    values = _few_values(records) if long else []
    for row, record in long:
        if row and _like_rows(lines[record.first : record.after], separator, values):
            return row
    return None


def _few_values(records: list[Record]) -> list[set[str] | None]:
    """Each column's values in rows of one line; None for a column that has nearly as many values as rows."""
    width = len(records[0].fields)
    short = [record.fields for record in records[1:] if record.lines == 1 and len(record.fields) == width]
    values = [{fields[column] for fields in short} - {""} for column in range(width if short else 0)]
    return [found if 2 * len(found) <= len(short) else None for found in values]


def _like_rows(lines: list[str], separator: str, values: list[set[str] | None]) -> bool:
    fields = [line.rstrip("\r\n").split(separator) for line in lines]
    if any(len(each) != len(values) for each in fields):
        return False
    return any(found and all(each[column] in found for each in fields) for column, found in enumerate(values))


def _fitted(body: list[list[str]], width: int, place: str, separator: str, notes: list[str]) -> list[list[str | None]]:
    """Every row with `width` fields: empty ones at its end are left out, missing ones are None."""
    numbers = [fields[0].strip() for fields in body if len(fields) == width + 1]
    if len(numbers) == len(body) and any(fields[-1].strip() for fields in body) and _counted(numbers):
        notes.append(f"The rows of {place} begin with their number, which the header lacks: it is left out.")
        body = [fields[1:] for fields in body]
    extra, short = 0, []
    rows = []
    for row, fields in enumerate(body, start=1):
        rows.append(_fit(fields, width, row, place, separator))
        extra += len(fields) > width
        if len(fields) < width:
            short.append(row)
    notes += _fit_notes(place, extra, short)
    return rows


def _fit_notes(place: str, extra: int, short: list[int]) -> list[str]:
    """What is told of rows that have more or fewer fields than the header."""
    notes = []
    if extra:
        notes.append(f"Rows of {place} end with a separator that the header lacks: the empty column is left out.")
    if short:
        more = f" and {len(short) - 1:,} more" if len(short) > 1 else ""
        notes.append(f"Row {short[0]}{more} of {place} has fewer fields than the header: those at its end are empty.")
    return notes


def _separator_note(place: str, chosen: str) -> str:
    name = SEPARATOR_NAMES.get(chosen, f"'{chosen}'")
    return f"The columns of {place} are separated by {name}: set data.separator where that is wrong."


def _fit(fields: list[str], width: int, row: int, place: str, separator: str) -> list[str | None]:
    """A row with `width` fields. Raises DataError where what it has more is not empty, or a field is too long."""
    if max(map(len, fields), default=0) > LARGEST_CELL:
        raise DataError(f"Row {row} of {place} has a field of more than {LARGEST_CELL:,} characters: shorten it.")
    if any(value.strip() for value in fields[width:]):
        columns = "1 column" if width == 1 else f"{width:,} columns"
        name = SEPARATOR_NAMES.get(separator, f"'{separator}'")
        raise DataError(
            f"Row {row} of {place} has {len(fields):,} fields, but the header has {columns}: put a text that holds "
            f"a {name} in quotes."
        )
    return [*fields[:width], *[None] * (width - len(fields))]


def _counted(numbers: list[str]) -> bool:
    """Whether these are 1, 2, 3 and so on, or begin with 0."""
    first = numbers[0]
    return first in ("0", "1") and numbers == [str(row) for row in range(int(first), int(first) + len(numbers))]


def _names(header: list[str], place: str, notes: list[str]) -> list[str]:
    """Distinct names: a second `text` is called `text.1`, and a column without one by its place."""
    names: list[str] = []
    seen, every = set[str](), set(header)
    twice: list[str] = []
    counts: dict[str, int] = {}
    for column, given in enumerate(header):
        name = given or f"Unnamed: {column}"
        if name in seen:
            twice.append(name)
            while name in seen or name in every:
                counts[given] = counts.get(given, 0) + 1
                name = f"{given}.{counts[given]}"
        seen.add(name)
        names.append(name)
    if twice:
        notes.append(f"{place} names a column twice, {quoted(dict.fromkeys(twice), 3)}: the first of them is read.")
    return names
