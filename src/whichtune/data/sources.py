"""Rows of text and label: from files, folders, named sets and the Hugging Face Hub."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from whichtune.errors import DataError
from whichtune.registry import did_you_mean
from whichtune.study.spec import DataSettings, sha256_file

if TYPE_CHECKING:
    import datasets
    import pandas as pd

TEXT_NAMES = ("text", "sentence", "message", "content", "review", "document")
LABEL_NAMES = ("label", "labels", "category", "class", "target", "sentiment")
SOURCE_NAMES = ("document", "article", "text", "source", "input", "dialogue", "prompt", "content")
TARGET_NAMES = ("summary", "highlights", "target", "output", "response", "answer", "completion")
SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", ".parquet")
SPLITS = ("train", "validation", "test")
SPLIT_ALIASES = {"dev": "validation", "val": "validation", "valid": "validation", "eval": "validation"}


@dataclass(frozen=True)
class Usual:
    """The columns that a kind of task reads: usual names of the texts' and of the answers' column.

    `answer` is what the second column is called in messages and, with `_column`, in the data's settings.
    """

    texts: tuple[str, ...]
    answers: tuple[str, ...]
    answer: Literal["label", "target"]

    def text_column(self, settings: DataSettings, columns: list[str], place: str) -> str:
        return choose_column("text", settings.text_column, self.texts, columns, place)

    def answer_column(self, settings: DataSettings, columns: list[str], place: str) -> str:
        wanted = getattr(settings, f"{self.answer}_column")
        return choose_column(self.answer, wanted, self.answers, columns, place)


LABELLED = Usual(TEXT_NAMES, LABEL_NAMES, "label")
PAIRED = Usual(SOURCE_NAMES, TARGET_NAMES, "target")


@dataclass(frozen=True)
class Source:
    """Tables as read. `tables` has one entry named "all", or one for each split that the source gives.

    `label_column` holds the answers: labels, or target texts.
    """

    name: str
    tables: dict[str, pd.DataFrame]
    fingerprint: str  # sha256 over the files' contents
    text_column: str
    label_column: str
    split_rule: str | None = None  # a named set's own
    places: dict[str, str] = field(default_factory=dict)  # table -> file name, for messages


def split_files(folder: Path) -> dict[str, Path]:
    """`train.*`, `validation.*` (or dev, val, valid) and `test.*` of a folder."""
    found: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        stem = file.name.split(".")[0].lower()
        split = SPLIT_ALIASES.get(stem, stem)
        if split in SPLITS and kind_of_file(file):
            if split in found:
                raise DataError(f"The folder {folder} holds two files for {split}: {found[split].name}, {file.name}.")
            found[split] = file
    if "train" not in found:
        raise DataError(
            f"The folder {folder} holds no train file: name the files train, validation and test "
            f"with one of {', '.join(SUFFIXES)}."
        )
    return found


def kind_of_file(path: Path) -> str | None:
    """The suffix that tells the format, without .gz; None for a format that is not read."""
    suffixes = [s.lower() for s in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    return suffixes[-1] if suffixes and suffixes[-1] in SUFFIXES else None


def read_table(path: Path) -> pd.DataFrame:
    """A CSV, TSV, JSONL, JSON or Parquet file (also gzip). Text stays text: "NA" and "007" are kept."""
    import pandas as pd

    kind = kind_of_file(path)
    if kind is None:
        raise DataError(f"{path.name} is in no format that is read: use one of {', '.join(SUFFIXES)}, also .gz.")
    try:
        if kind in (".csv", ".tsv"):
            separator = "," if kind == ".csv" else "\t"
            return pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8")
        if kind in (".jsonl", ".json"):
            return pd.read_json(path, lines=kind == ".jsonl", dtype=False, convert_dates=False, encoding="utf-8")
        return pd.read_parquet(path)
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name} is not UTF-8 (byte {error.start}): save it as UTF-8.") from error
    except (ValueError, OSError, EOFError) as error:  # pandas' and pyarrow's parsing errors are ValueErrors
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else "it is empty"
        raise DataError(f"{path.name} cannot be read as {kind[1:]}: {reason}") from error


def make_source(
    name: str,
    tables: dict[str, pd.DataFrame],
    files: dict[str, Path],
    settings: DataSettings,
    split_rule: str | None = None,
    usual: Usual = LABELLED,
) -> Source:
    """Choose the columns, split by `split_column` where one is set, and hash the files."""
    places = {table: file.name for table, file in files.items()}
    first = next(iter(tables))
    columns = [str(column) for column in tables[first].columns]
    text_column = usual.text_column(settings, columns, places.get(first, name))
    label_column = usual.answer_column(settings, columns, places.get(first, name))
    for table, frame in tables.items():
        for column in (text_column, label_column):
            if column not in frame.columns:
                raise DataError(f"{places.get(table, table)} has no column '{column}', which {places[first]} has.")
    if settings.split_column:
        tables = _by_split_column(tables[first], settings.split_column, places.get(first, name))
        places = dict.fromkeys(tables, places.get(first, name))
    digest = hashlib.sha256("\n".join(f"{t}:{sha256_file(f)}" for t, f in sorted(files.items())).encode())
    return Source(name, tables, digest.hexdigest(), text_column, label_column, split_rule, places)


def choose_column(kind: str, wanted: str | None, usual: tuple[str, ...], columns: list[str], place: str) -> str:
    """The wanted column, or the first with a usual name; raises DataError that lists what there is."""
    if wanted is not None:
        if wanted in columns:
            return wanted
        raise DataError(f"{place} has no column '{wanted}': {did_you_mean(wanted, columns)}")
    for column in usual:
        if column in columns:
            return column
    raise DataError(
        f"{place} has no usual {kind} column (its columns: {', '.join(columns)}): name it with --{kind}-column."
    )


def _by_split_column(frame: pd.DataFrame, column: str, place: str) -> dict[str, pd.DataFrame]:
    if column not in frame.columns:
        raise DataError(f"{place} has no column '{column}': {did_you_mean(column, map(str, frame.columns))}")
    names = frame[column].map(lambda value: SPLIT_ALIASES.get(str(value).lower(), str(value).lower()))
    unknown = sorted(set(names) - set(SPLITS))
    if unknown:
        raise DataError(f"Column '{column}' of {place} names a split '{unknown[0]}': use train, validation and test.")
    return {split: frame[names == split] for split in SPLITS if (names == split).any()}


def read_hub(settings: DataSettings, usual: Usual = LABELLED) -> Source:
    """A dataset of the Hugging Face Hub (or a local folder in its layout), its own splits kept.

    `ID:CONFIGURATION` names one of a data set's configurations.
    """
    import datasets

    datasets.disable_progress_bars()
    name, _, configuration = settings.source.partition(":")
    try:
        loaded = datasets.load_dataset(name, configuration or None, revision=settings.revision)
    except (OSError, ValueError, RuntimeError) as error:  # hub, HTTP and format errors derive from these
        reason = str(error).strip().splitlines()[0][:200]
        raise DataError(f"The data set '{settings.source}' cannot be had from the Hub: {reason}") from error
    return from_datasets(loaded, settings, usual)


def from_datasets(loaded: datasets.DatasetDict, settings: DataSettings, usual: Usual = LABELLED) -> Source:
    """Tables of a `datasets.DatasetDict`; class labels become their names."""
    import datasets
    import pandas as pd

    tables, parts = {}, []
    for split, part in loaded.items():
        name = SPLIT_ALIASES.get(split, split)
        if name not in SPLITS:  # "unsupervised" and the like
            continue
        frame = part.to_pandas()
        for column, feature in part.features.items():
            if isinstance(feature, datasets.ClassLabel):
                frame[column] = [feature.int2str(int(v)) if int(v) >= 0 else "" for v in frame[column]]
        tables[name] = frame
        parts.append(f"{name}:{hashlib.sha256(pd.util.hash_pandas_object(frame).to_numpy().tobytes()).hexdigest()}")
    if "train" not in tables:
        raise DataError(f"The data set '{settings.source}' has no train split (it has: {', '.join(loaded)}).")
    first = tables["train"]
    columns = [str(column) for column in first.columns]
    return Source(
        name=settings.source,
        tables=tables,
        fingerprint=hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest(),
        text_column=usual.text_column(settings, columns, settings.source),
        label_column=usual.answer_column(settings, columns, settings.source),
        places=dict.fromkeys(tables, settings.source),
    )
