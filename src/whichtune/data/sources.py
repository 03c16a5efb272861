"""Rows of text and label: from files, folders, named sets and the Hugging Face Hub."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from whichtune.data.columns import choose_column, is_missing
from whichtune.data.fields import chosen_columns
from whichtune.data.given import SPLIT_ALIASES, SPLITS, answered, by_split_column, same_columns
from whichtune.data.long_files import read_long
from whichtune.data.shown import listed, shown, shown_path
from whichtune.data.tables import SUFFIXES, Inside, kind_of_file, read_file
from whichtune.errors import DataError
from whichtune.study.data_settings import DataSettings
from whichtune.study.fields import column_names
from whichtune.study.spec import sha256_file

if TYPE_CHECKING:
    import datasets
    import pandas as pd

TEXT_NAMES = ("text", "sentence", "message", "content", "review", "document")
LABEL_NAMES = ("label", "labels", "category", "class", "target", "sentiment")
SOURCE_NAMES = ("document", "article", "text", "source", "input", "dialogue", "prompt", "content")
TARGET_NAMES = ("summary", "highlights", "target", "output", "response", "answer", "completion")


@dataclass(frozen=True)
class Usual:
    """The columns that a kind of task reads: usual names of the texts' and of the answers' column.

    `answer` is what the second column is called in messages and, with `_column`, in the data's settings.
    """

    texts: tuple[str, ...]
    answers: tuple[str, ...]
    answer: Literal["label", "target"]
    several: bool = False  # whether a text has any number of answers
    by_word: bool = False  # whether each word of a text has one

    def own_files(self, path: Path, settings: DataSettings) -> Source | None:
        """What is read of a path in a way that such data alone are written in; None for the usual one."""
        return None

    def text_columns(self, settings: DataSettings, columns: list[str], place: str) -> tuple[str, ...]:
        return chosen_columns(settings.text_columns, self.texts, columns, place)

    def answer_column(self, settings: DataSettings, columns: list[str], place: str) -> str:
        """The column of the answers. Raises DataError where there is none, and where the settings are of texts with
        several labels."""
        if settings.label_separator is not None:
            raise DataError(
                "data.label_separator is for texts with several labels: say --task multilabel, or leave it."
            )
        names = column_names(settings.label_column)
        if len(names) > 1 and settings.label_column not in columns and set(names) <= set(columns):
            raise DataError(
                f"{len(names)} columns are named for the labels of {place}: say what is meant, several labels for one "
                "text (--task multilabel), or name the one column of the labels."
            )
        return self.chosen_answer(settings, columns, place)

    def chosen_answer(self, settings: DataSettings, columns: list[str], place: str) -> str:
        """The column that the settings name, or the first with a usual name."""
        wanted = getattr(settings, f"{self.answer}_column")
        return choose_column(self.answer, wanted, self.answers, columns, place)

    def gathered(
        self, tables: dict[str, pd.DataFrame], settings: DataSettings, places: dict[str, str]
    ) -> dict[str, pd.DataFrame]:
        """The tables with the answers in one column."""
        return tables


LABELLED = Usual(TEXT_NAMES, LABEL_NAMES, "label")
PAIRED = Usual(SOURCE_NAMES, TARGET_NAMES, "target")


@dataclass(frozen=True)
class Source:
    """Tables as read. `tables` has one entry named "all", or one for each split that the source gives.

    `text_columns` hold the texts, a field each; `label_column` holds the answers: labels, or target texts.
    """

    name: str
    tables: dict[str, pd.DataFrame]
    fingerprint: str  # sha256 over the files' contents
    text_columns: tuple[str, ...]
    label_column: str
    split_rule: str | None = None  # a named set's own
    places: dict[str, str] = field(default_factory=dict)  # table -> file name, for messages
    notes: tuple[str, ...] = ()  # what was found in reading, a sentence each


def split_files(folder: Path, is_read: Callable[[Path], object] = kind_of_file) -> dict[str, Path]:
    """`train.*`, `validation.*` (or dev, val, valid) and `test.*` of a folder, of the files that are read."""
    found: dict[str, Path] = {}
    try:
        files = sorted(folder.iterdir())
        inner = folder / "data"  # where data sets laid out as on the Hub have theirs
        if inner.is_dir() and not any(_split_of(file) == "train" for file in files):
            files = sorted(inner.iterdir())
    except OSError as error:
        raise DataError(f"The folder '{shown_path(folder)}' may not be read: {error.strerror or error}.") from error
    for file in files:
        split = _split_of(file)
        if split in SPLITS and is_read(file):
            if split in found:
                two = listed([found[split].name, file.name])
                raise DataError(f"The folder {shown_path(folder)} holds two files for {split}: {two}; keep one.")
            found[split] = file
    if "train" not in found:
        raise DataError(
            f"The folder {shown_path(folder)} holds no train file: name the files train, validation and test "
            f"with one of {', '.join(SUFFIXES)}."
        )
    return found


def _split_of(file: Path) -> str:
    """The split that a file is called after."""
    stem = file.name.split(".")[0].lower()
    return SPLIT_ALIASES.get(stem, stem)


def _wanted(settings: DataSettings, usual: Usual, columns: Sequence[str]) -> set[str]:
    """Of a table's columns those that may be read: what the settings name, and where they name none, usual names."""
    texts = settings.text_columns or usual.texts
    written = settings.label_column if usual.answer == "label" else settings.target_column
    answers = (written, *column_names(written)) if written else usual.answers
    named = (settings.split_column, settings.group_column, settings.time_column)
    return {name for name in (*texts, *answers, *named) if name is not None and name in columns}


def read_table(path: Path) -> pd.DataFrame:
    """A CSV, TSV, JSONL, JSON or Parquet file, or an Excel workbook (also gzip). Text stays text: "NA" and "007" are
    kept."""
    return read_file(path).frame


def read_tables(
    files: dict[str, Path], settings: DataSettings, usual: Usual | None = None
) -> tuple[dict[str, pd.DataFrame], tuple[str, ...]]:
    """The files' tables, and what is to be told of them. Where `usual` names are given, columns of a long CSV or TSV
    file that are not read have no cells."""
    inside = Inside(settings.sheet, settings.records)
    keep = None if usual is None or inside != Inside() else partial(_wanted, settings, usual)
    read = {
        table: (None if keep is None else read_long(file, settings.separator, keep))
        or read_file(file, settings.separator, inside)
        for table, file in files.items()
    }
    return {table: each.frame for table, each in read.items()}, tuple(n for each in read.values() for n in each.notes)


def make_source(
    name: str,
    tables: dict[str, pd.DataFrame],
    files: dict[str, Path],
    settings: DataSettings,
    split_rule: str | None = None,
    usual: Usual = LABELLED,
    notes: tuple[str, ...] = (),
) -> Source:
    """Choose the columns, split by `split_column` where one is set, and hash the files."""
    places = {table: shown(file.name) for table, file in files.items()}
    tables = usual.gathered(tables, settings, places)
    first = "train" if "train" in tables else next(iter(tables))
    columns = [str(column) for column in tables[first].columns]
    text_columns = usual.text_columns(settings, columns, places.get(first, name))
    label_column = usual.answer_column(settings, columns, places.get(first, name))
    tables, without = answered(tables, label_column, usual.answer, places, columns)
    same_columns(tables, (*text_columns, label_column), places, places.get(first, name))
    if settings.split_column:
        tables, places = by_split_column(tables, settings.split_column, places)
        tables, unlabelled = answered(tables, label_column, usual.answer, places, columns)
        without = (*without, *unlabelled)
    used = [f"{t}:{sha256_file(f)}" for t, f in sorted(files.items()) if settings.split_column or t in tables]
    digest = hashlib.sha256("\n".join(used).encode())
    told = (*notes, *without)
    return Source(name, tables, digest.hexdigest(), text_columns, label_column, split_rule, places, told)


def read_hub(settings: DataSettings, usual: Usual = LABELLED) -> Source:
    """A dataset of the Hugging Face Hub (or a local folder in its layout), its own splits kept.

    `ID:CONFIGURATION` names one of a data set's configurations.
    """
    if settings.separator is not None:
        raise DataError(f"data.separator is for CSV and TSV files, not for '{shown(settings.source)}': leave it out.")
    name, _, configuration = settings.source.partition(":")
    place = shown(settings.source)
    loaded = load_from_hub(name, configuration or None, settings.revision, place, "be had from the Hub")
    return from_datasets(loaded, settings, usual)


def load_from_hub(
    name: str, configuration: str | None, revision: str | None, place: str, failing: str
) -> Mapping[str, datasets.Dataset]:
    """The splits of a data set of the Hub, or of a folder in its layout. Raises DataError that names it as `place` and
    says what it cannot, `failing`."""
    import datasets

    datasets.disable_progress_bars()
    try:
        found: Mapping[str, datasets.Dataset] = datasets.load_dataset(name, configuration, revision=revision)
    except (OSError, ValueError, RuntimeError, ImportError, datasets.exceptions.DatasetsError) as error:
        reason = shown((str(error).strip() or type(error).__name__).splitlines()[0], 200)
        raise DataError(f"The data set '{place}' cannot {failing}: {reason}") from error
    return found


def from_datasets(loaded: Mapping[str, datasets.Dataset], settings: DataSettings, usual: Usual = LABELLED) -> Source:
    """Tables of a `datasets.DatasetDict`; class labels become their names."""
    tables, parts = {}, []
    for split, part in loaded.items():
        name = SPLIT_ALIASES.get(split, split)
        if name not in SPLITS:  # "unsupervised" and the like
            continue
        tables[name] = named_classes(part)
        parts.append(f"{name}:{frame_fingerprint(tables[name])}")
    place = shown(settings.source)
    if "train" not in tables:
        raise DataError(f"The data set '{place}' has no train split (it has: {listed(loaded)}).")
    places = {table: f"{place} ({table})" for table in tables}
    tables = usual.gathered(tables, settings, places)
    columns = [str(column) for column in tables["train"].columns]
    label_column = usual.answer_column(settings, columns, place)
    text_columns = usual.text_columns(settings, columns, place)
    tables, told = answered(tables, label_column, usual.answer, places, columns)
    same_columns(tables, (*text_columns, label_column), places, places["train"])
    if settings.split_column:
        tables, places = by_split_column(tables, settings.split_column, places)
        tables, unlabelled = answered(tables, label_column, usual.answer, places, columns)
        told = (*told, *unlabelled)
    return Source(
        name=settings.source,
        tables=tables,
        fingerprint=hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest(),
        text_columns=text_columns,
        label_column=label_column,
        places=places,
        notes=told,
    )


def named_classes(part: datasets.Dataset) -> pd.DataFrame:
    """A split as a table, class labels as their names; -1, as unlabelled rows have, and nothing are missing."""
    import datasets
    import pandas as pd

    frame: pd.DataFrame = part.to_pandas()
    for column, feature in part.features.items():
        if isinstance(inner := getattr(feature, "feature", None), datasets.ClassLabel):
            frame[column] = pd.Series([_class_names(cell, inner, str(column)) for cell in frame[column]], dtype=object)
        elif isinstance(feature, datasets.ClassLabel):
            known = [not is_missing(value) and int(value) >= 0 for value in frame[column]]
            try:
                names = [
                    feature.int2str(int(value)) if is_known else ""
                    for value, is_known in zip(frame[column], known, strict=True)
                ]
            except ValueError as error:
                raise DataError(f"Column '{shown(column)}' holds a class that has no name: {error}.") from error
            frame[column] = names
    return frame.reset_index(drop=True)


def _class_names(cell: object, feature: datasets.ClassLabel, column: str) -> object:
    """A list of class labels as their names; what is none stays as it is."""
    if not isinstance(cell, Iterable) or isinstance(cell, str):
        return cell
    try:
        return [feature.int2str(int(value)) for value in cell]
    except (ValueError, TypeError) as error:
        raise DataError(f"Column '{shown(column)}' holds a class that has no name: {error}.") from error


def frame_fingerprint(frame: pd.DataFrame) -> str:
    """The sha256 of a table's cells; lists and objects, which pandas cannot hash, by how they are written."""
    import pandas as pd

    try:
        hashes = pd.util.hash_pandas_object(frame)
    except TypeError:
        written = {c: [_written(v) for v in frame[c]] for c in frame.columns if frame[c].dtype == object}
        hashes = pd.util.hash_pandas_object(frame.assign(**written))
    return hashlib.sha256(hashes.to_numpy().tobytes()).hexdigest()


def _written(value: object) -> str:
    """A cell with all of its parts, arrays as lists."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_written(part)}" for key, part in value.items()) + "}"
    if hasattr(value, "tolist"):
        value = value.tolist()
    return "[" + ", ".join(map(_written, value)) + "]" if isinstance(value, (list, tuple)) else repr(value)
