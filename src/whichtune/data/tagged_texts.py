"""New sentences whose words are to be tagged: like training data, with tags or without, or texts with blanks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from whichtune.data.columns import cells_as_text
from whichtune.data.conll import holds_tags, is_conll, words_alone
from whichtune.data.fields import chosen_columns
from whichtune.data.given import row_of
from whichtune.data.limits import check_file
from whichtune.data.shown import shown
from whichtune.data.streamed import WHOLE, TextFile
from whichtune.data.tables import read_file
from whichtune.data.tag_cells import TAGGED, filled, list_of_words, words_of
from whichtune.data.texts import read_texts
from whichtune.errors import DataError
from whichtune.study.fields import column_names

LONG = (".csv", ".jsonl", ".parquet")  # tables that are read row by row where they are long


class SentenceFile(TextFile):
    """The sentences of a file: a word a line, lists of words in a table, or running texts.

    A .txt file has a sentence a line, unless every line ends with a tag; so has a .tsv file unless it is a table. All
    are read at once, but long tables.
    """

    def __init__(self, file: Path, text_column: str | None, whole: int = WHOLE) -> None:
        check_file(file)
        if file.suffix.lower() in LONG and file.stat().st_size > whole:
            super().__init__(file, text_column, TAGGED.texts, whole)
            return
        self.file = file
        self.texts = sentences_of(file, text_column)

    def _texts_of(self, cells: tuple[object, ...], column: str, where: Callable[[int], str]) -> list[str]:
        return _sentences(cells, column, where)


def sentences_of(file: Path, text_column: str | None) -> list[str]:
    """The file's sentences, their words with one blank between. Raises DataError."""
    place = shown(file.name)
    where = partial(_row, place)
    name = file.name.lower().removesuffix(".gz")
    if is_conll(file) and (not name.endswith((".txt", ".tsv")) or holds_tags(file)):
        found = [" ".join(map(filled, words)) for words in words_alone(file)]
    elif name.endswith(".txt"):
        found = [" ".join(words_of(text)) for text in read_texts(file, None)]
    else:
        table = read_file(file).frame
        known = [str(column) for column in table.columns]
        (column,) = chosen_columns(column_names(text_column)[:1], TAGGED.texts, known, place)
        where = partial(row_of, table, place)
        found = _sentences(table[column], column, where)
    if not found:
        raise DataError(f"{place} holds no sentence.")
    return cells_as_text(found, "text", "words", where)


def _sentences(cells: Iterable[object], column: str, where: Callable[[int], str]) -> list[str]:
    return [" ".join(list_of_words(cell, column, partial(where, row))) for row, cell in enumerate(cells)]


def _row(place: str, row: int) -> str:
    return f"Row {row + 1} of {place}"
