"""Data that a program holds: written beside the study's runs, in files that any later call reads as it reads all files.

The files lie in `DIR/data/<digest>/`, called after their content, so that a study resumes whatever becomes of the
program's data, and other data never take the place of those that runs were made of.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import math
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from pydantic import JsonValue

from whichtune.data.columns import is_missing
from whichtune.data.given import SPLIT_ALIASES, SPLITS
from whichtune.data.shown import quoted, shown
from whichtune.data.sources import named_classes
from whichtune.errors import DataError, StoreError
from whichtune.wording import path_problem

if TYPE_CHECKING:
    import datasets
    import pandas as pd

WHOLE = "rows"  # the file's name where no splits are given
# A table, rows, or columns: a frame, a Hugging Face data set, pairs of text and answer, mappings of columns to cells.
Rows: TypeAlias = "pd.DataFrame | datasets.Dataset | Iterable[Sequence[object] | Mapping[str, object]]"
AnyData: TypeAlias = "Rows | Mapping[str, Rows | Sequence[object]]"


@dataclass(frozen=True)
class GivenData:
    """Tables as the content of files: `files` has each one's text by its name."""

    files: Mapping[str, str]

    @property
    def digest(self) -> str:
        """The first 12 hex digits of the sha256 of names and contents."""
        whole = hashlib.sha256()
        for name, text in sorted(self.files.items()):
            whole.update(f"{name}:{hashlib.sha256(text.encode()).hexdigest()}\n".encode())
        return whole.hexdigest()[:12]

    def folder_in(self, study: Path) -> Path:
        """Where the files lie in a study's folder."""
        return study / "data" / self.digest

    def source_in(self, study: Path) -> str:
        """What a study's `data.source` names: the one file, or the folder of the splits."""
        folder = self.folder_in(study)
        return str(folder if len(self.files) > 1 or f"{WHOLE}.jsonl" not in self.files else folder / f"{WHOLE}.jsonl")

    @contextmanager
    def kept_in(self, study: Path) -> Iterator[None]:
        """Write the files that are not there yet; where what follows fails, what was written goes again.

        Raises StoreError for a folder that cannot be written or leads elsewhere.
        """
        folder = self.folder_in(study)
        first = next((each for each in [*reversed(folder.parents), folder] if not os.path.lexists(each)), None)
        try:
            self._write(study)
            yield
        except BaseException:
            if first is not None:
                shutil.rmtree(first, ignore_errors=True)
            raise

    def _write(self, study: Path) -> None:
        folder = self.folder_in(study)
        for place in (folder.parent, folder):
            if place.is_symlink():
                raise StoreError(f"'{place}' is a link, which may lead out of the study's folder: remove it.")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, text in self.files.items():
                target, content = folder / name, text.encode()
                if not target.is_file() or target.read_bytes() != content:
                    partial = target.with_name(f".{name}.{os.getpid()}")
                    partial.write_bytes(content)
                    partial.replace(target)
        except OSError as error:
            raise StoreError(
                f"The data cannot be written to '{folder}' ({path_problem(error)}): choose another folder with out=."
            ) from error


def names_data(data: object) -> bool:
    """Whether this is what a study file has for its data, too: a source, or a mapping of settings."""
    if isinstance(data, Mapping):
        return not _are_splits(data) and not (data and all(_is_column(column) for column in data.values()))
    return data is None or isinstance(data, (str, os.PathLike))


def given_data(data: object, answer: str) -> GivenData:
    """What a program gives as its data: a table, or a mapping of splits to tables.

    `answer` is what pairs hold beside the text: label or target. Raises DataError for what is no table.
    """
    if isinstance(data, Mapping) and _are_splits(data):
        parts = {SPLIT_ALIASES.get(str(name), str(name)): part for name, part in data.items()}
        texts = {name: _lines(parts[name], f"the {name} data", answer) for name in SPLITS if name in parts}
        return GivenData({f"{name}.jsonl": text for name, text in texts.items()})
    return GivenData({f"{WHOLE}.jsonl": _lines(data, "the data", answer)})


def _are_splits(data: Mapping[object, object]) -> bool:
    """Whether this has tables by their splits. Other names may stand among frames, as `unsupervised` does in data sets,
    and are left out; among plain lists they are columns."""
    names = {SPLIT_ALIASES.get(str(name), str(name)) for name in data}
    frames = all(not isinstance(part, Mapping) and _frame(part) is not None for part in data.values())
    return "train" in names and (frames or names <= set(SPLITS))


def _is_column(value: object) -> bool:
    return not isinstance(value, (str, bytes, Mapping)) and isinstance(value, Iterable)


def _lines(data: object, place: str, answer: str) -> str:
    """A table as JSON, an object a line."""
    lines = [json.dumps(row, ensure_ascii=False) for row in _rows(data, place, answer)]
    if not lines:
        raise DataError(f"There are no rows in {place}: give at least one.")
    text = "\n".join(lines) + "\n"
    try:
        text.encode()
    except UnicodeEncodeError as error:
        row = text.count("\n", 0, error.start) + 1
        raise DataError(f"Row {row} of {place} holds a character that no text can hold: mend it.") from error
    return text


def _rows(data: object, place: str, answer: str) -> list[dict[str, JsonValue]]:
    """The rows of whatever a table may be; places count from 1."""
    frame = _frame(data)
    if frame is not None:
        columns = [str(name) for name in frame.columns]
        if twice := sorted({name for name in columns if columns.count(name) > 1}):
            raise DataError(f"A column's name stands twice in {place}, {quoted(twice, 3)}: rename one.")
        cells: Iterable[Sequence[object]] = frame.itertuples(index=False, name=None)
        rows: Iterable[object] = (dict(zip(columns, row, strict=True)) for row in cells)
    elif isinstance(data, Iterable) and not isinstance(data, (str, bytes)):
        rows = data
    else:
        raise DataError(
            f"What is given as {place} is {type(data).__name__}: give a pandas DataFrame, a list of (text, {answer}) "
            "pairs or of dicts, or the path of a file."
        )
    return [_row(row, f"Row {number} of {place}", answer) for number, row in enumerate(rows, start=1)]


def _frame(data: object) -> pd.DataFrame | None:
    """A table that has columns already; None for rows."""
    if "pandas" in sys.modules:
        import pandas as pd

        if isinstance(data, pd.DataFrame):
            return data
    if "datasets" in sys.modules:
        import datasets

        if isinstance(data, datasets.Dataset):
            return named_classes(data)
    if not isinstance(data, Mapping):
        return None
    import pandas as pd

    columns = {str(name): list(column) for name, column in data.items()}
    if len({len(column) for column in columns.values()}) > 1:
        longest, shortest = (f(columns, key=lambda name: len(columns[name])) for f in (max, min))
        raise DataError(
            f"Column '{shown(longest)}' has {len(columns[longest])} cells and '{shown(shortest)}' "
            f"{len(columns[shortest])}: give columns of one length."
        )
    return pd.DataFrame(columns, dtype=object)


def _row(row: object, place: str, answer: str) -> dict[str, JsonValue]:
    if isinstance(row, Mapping):
        return {str(name): _cell(value, place, str(name)) for name, value in row.items()}
    if isinstance(row, (tuple, list)) and len(row) == 2:
        return {name: _cell(value, place, name) for name, value in zip(("text", answer), row, strict=True)}
    what = f"{len(row)} values" if isinstance(row, (tuple, list)) else type(row).__name__
    raise DataError(f"{place} is {what}: give a pair (text, {answer}), or a dict with both.")


def _cell(value: object, place: str, column: str) -> JsonValue:
    """A cell as JSON has it; what JSON lacks as it is written, since only texts and answers are read."""
    if isinstance(value, (bool, int, str)):
        return value
    if is_missing(value):
        return None
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else str(value)
    if isinstance(value, (datetime.date, datetime.time, datetime.timedelta)):
        return str(value)
    if isinstance(value, (tuple, list)):
        return [_cell(each, place, column) for each in value]
    if isinstance(value, Mapping):
        return {str(name): _cell(each, place, column) for name, each in value.items()}
    if callable(plain := getattr(value, "tolist", None)):  # an array, or one of numpy's numbers
        return _cell(plain(), place, column)
    raise DataError(f"{place} has {type(value).__name__} in column '{shown(column)}': give a text or a number.")
