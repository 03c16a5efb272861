"""Cells that say which words a sentence has and which tag each word, and the files that are written so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from whichtune.data.columns import is_empty, what_is
from whichtune.data.conll import WRITE, is_conll, read_conll
from whichtune.data.iob import BEGINS, as_iob2, parsed
from whichtune.data.label_cells import written_list
from whichtune.data.shown import shown
from whichtune.data.sources import Source, Usual, make_source, split_files
from whichtune.data.tables import kind_of_file, read_file
from whichtune.errors import DataError
from whichtune.study.data_settings import DataSettings
from whichtune.wording import plural

FILLED = "_"  # stands for blanks within a word, and for a word of blanks alone


@dataclass(frozen=True)
class TaggedColumns(Usual):
    """Words with tags: lists in two columns, or files of a word a line."""

    by_word: bool = True

    def own_files(self, path: Path, settings: DataSettings) -> Source | None:
        """Of a file with a word a line, and of a folder with one among its splits."""
        files = split_files(path, lambda file: kind_of_file(file) or is_conll(file)) if path.is_dir() else {"all": path}
        lined = [file for file in files.values() if is_conll(file)]
        if not lined:
            return None
        if settings.separator is not None:
            place = shown(lined[0].name)
            raise DataError(f"data.separator is for tables, and {place} has a word a line: leave it out.")
        tables, notes = {}, list[str]()
        for table, file in files.items():
            if is_conll(file):
                tables[table] = read_conll(file)
            else:
                read = read_file(file)
                tables[table] = read.frame
                notes += read.notes
        name = path.name or path.resolve().name
        return make_source(name, tables, files, settings, usual=self, notes=tuple(notes))

    def text_columns(self, settings: DataSettings, columns: list[str], place: str) -> tuple[str, ...]:
        if len(settings.text_columns) > 1:
            named = len(settings.text_columns)
            raise DataError(f"Words with tags stand in one column, and {named} are named: name one.")
        return super().text_columns(settings, columns, place)


TAGGED = TaggedColumns(
    ("tokens", "words", "sentence", "text"), ("tags", "ner_tags", "ner", "bio_tags", "labels", "label"), "label"
)


def words_of(text: str) -> list[str]:
    """The words of a sentence."""
    return text.split()


@dataclass
class Seen:
    """What was read otherwise than it was written."""

    filled: int = 0  # words with blanks
    begun: int = 0  # entities that begin with another prefix than B
    prefixes: Counter[str] = field(default_factory=Counter)


def filled(word: str, seen: Seen | None = None) -> str:
    """A word without blanks in it."""
    parts = word.split()
    if parts == [word]:
        return word
    if seen is not None:
        seen.filled += 1
    return FILLED.join(parts) or FILLED


def list_of_words(cell: object, column: str, where: Callable[[], str]) -> list[str]:
    """The words of a cell: a list, a list written out, or a text that is taken apart at its blanks."""
    return [filled(word) for word in parts_of(cell, "word", column, where)]


def parts_of(cell: object, kind: str, column: str, where: Callable[[], str]) -> list[str]:
    found = _listed(cell, kind, column, where)
    if not found:
        raise DataError(f"{where()} has no {kind} (column '{shown(column)}'): fill or remove it.")
    for part in found:
        if part is None or what_is(part):
            said = what_is(part) or "nothing"
            raise DataError(f"{where()} has {said} for a {kind} (column '{shown(column)}'): give each as a text.")
    return [str(part) for part in found]


def _listed(cell: object, kind: str, column: str, where: Callable[[], str]) -> list[object]:
    if isinstance(cell, str):
        apart: list[object] = [*cell.split()]
        known = written_list(cell)
        return apart if known is None else known
    if is_empty(cell):
        return []
    if what_is(cell) != "a list" or not isinstance(cell, Iterable):
        said = what_is(cell) or "a number"
        raise DataError(f"{where()} has {said} for its {kind}s (column '{shown(column)}'): give a list of {kind}s.")
    return list(cell)


def tags_in(given: object, words: int, column: str, where: Callable[[], str], seen: Seen) -> tuple[str, ...]:
    """The tags of a sentence in IOB2."""
    cells = _listed(given, "tag", column, where)
    if len(cells) != words:
        raise DataError(
            f"{where()} has {plural(words, 'word')} and {plural(len(cells), 'tag')} (column '{shown(column)}'): give "
            "one tag for each word."
        )
    known = []
    for cell in cells:
        if not isinstance(cell, str):
            raise DataError(
                f"{where()} has {what_is(cell) or f'the number {shown(cell)}'} for a tag (column '{shown(column)}'), "
                "and nothing says what that is: give names, or a folder of datasets.save_to_disk with its class names."
            )
        tag = parsed(cell.strip())
        if tag is None:
            raise DataError(f"{where()} has the tag '{shown(cell)}' (column '{shown(column)}'): {WRITE}.")
        known.append(tag)
    found = as_iob2(known)
    for (prefix, _), told in zip(known, found, strict=True):
        seen.prefixes[prefix] += 1
        seen.begun += told[0] == "B" and prefix not in BEGINS
    return tuple(found)
