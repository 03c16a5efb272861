"""Files of words with tags, a word a line, as the CoNLL shared tasks have them.

The word stands in the first column and its tag in the last, blanks or tabs between; an empty line ends a sentence, and
a line `-DOCSTART-` a document. A line that begins with `#` and ends with no tag is a remark.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from whichtune.data.iob import parsed
from whichtune.data.limits import decode, read_bytes, refuse_other_format
from whichtune.data.shown import shown
from whichtune.data.texts import text_lines
from whichtune.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

OWN = (".conll", ".bio", ".iob")  # endings of such files alone
SUFFIXES = (*OWN, ".txt", ".tsv")
DOCUMENT = "-DOCSTART-"
WRITE = "write O, B-TYPE at an entity's first word and I-TYPE within it"


def is_conll(path: Path) -> bool:
    """Whether a file's name says that it has a word a line, where words have tags."""
    return path.name.lower().removesuffix(".gz").endswith(SUFFIXES)


def refuse_conll(path: Path) -> None:
    """Raise DataError for a file that nothing but tagging reads, of another task."""
    if path.name.lower().removesuffix(".gz").endswith(OWN):
        raise DataError(f"{shown(path.name)} has a tag for each word: say --task tagging.")


def read_conll(path: Path) -> pd.DataFrame:
    """The file's sentences: columns `tokens` and `tags`, lists of texts, and the number of the `document`.

    Raises DataError, with the line, for one without a tag, with another number of columns than the first, or whose last
    column is no tag.
    """
    import pandas as pd

    place = shown(path.name)
    rows = list(_sentences(_content(path), place))
    if not rows:
        raise DataError(f"{place} holds no sentence.")
    return pd.DataFrame(rows, columns=["tokens", "tags", "document"], dtype=object)


def holds_tags(path: Path) -> bool:
    """Whether every line that has something on it ends with a tag, after a word."""
    lines = [line.split() for line in text_lines(_content(path)) if line.strip()]
    return bool(lines) and all(len(cells) > 1 and parsed(cells[-1]) is not None for cells in lines)


def words_alone(path: Path) -> list[list[str]]:
    """The sentences of a file whose tags are of no interest, or not there: the first column."""
    sentences: list[list[str]] = [[]]
    for line in text_lines(_content(path)):
        if line.strip() and not line.startswith(DOCUMENT):
            sentences[-1].append(_cells(line)[0])
        elif sentences[-1]:
            sentences.append([])
    return [words for words in sentences if words]


def _content(path: Path) -> str:
    content = read_bytes(path)
    refuse_other_format(content, shown(path.name), "")
    return decode(content, shown(path.name))


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.rstrip().split("\t")] if "\t" in line.rstrip() else line.split()


def _sentences(text: str, place: str) -> list[tuple[list[str], list[str], str]]:
    found: list[tuple[list[str], list[str], str]] = []
    words: list[str] = []
    tags: list[str] = []
    document, columns = 0, 0

    def ended() -> None:
        if words:
            found.append((words.copy(), tags.copy(), str(document)))
            words.clear()
            tags.clear()

    for number, line in enumerate(text_lines(text), start=1):
        cells = _cells(line)
        if not line.strip():
            ended()
        elif cells[0] == DOCUMENT:
            ended()
            document += 1
        elif not (line.startswith("#") and parsed(cells[-1]) is None):
            columns = columns or len(cells)
            _refuse_odd(cells, columns, f"Line {number} of {place}")
            words.append(cells[0])
            tags.append(cells[-1])
    ended()
    return found


def _refuse_odd(cells: list[str], columns: int, where: str) -> None:
    if len(cells) < 2:
        raise DataError(f"{where} has one column: give a word, then its tag in the last column.")
    if len(cells) != columns:
        raise DataError(f"{where} has {len(cells)} columns, and the first line has {columns}: give each line as many.")
    if parsed(cells[-1]) is None:
        said = f"the tag '{shown(cells[-1])}'" if cells[-1] else "an empty tag"
        raise DataError(f"{where} has {said}: {WRITE}.")
