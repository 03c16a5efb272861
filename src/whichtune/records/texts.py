"""A study's folder without the texts of its examples: those that are there go. Loads no torch."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from whichtune.errors import StoreError
from whichtune.records.store import EXAMPLES, StudyFolder
from whichtune.records.verify import CHECKSUMS, PREDICTIONS, RECORD
from whichtune.records.wordless import without_messages, wordless
from whichtune.study.spec import sha256_file

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

DRAWN = ("report.html", "table.md", "table.csv", "table.tex")
SENT = ("mlflow-artifacts/**/report.html", "mlflow-artifacts/**/table.*", "tensorboard/study/*")  # what loggers keep


def leave_texts_out(folder: StudyFolder) -> None:
    """Remove every example's text from what the folder holds, and have study.json say that none is to be kept.

    Texts, references and written answers go; ids, classes, figures and logits stay. Runs keep their ids and are
    believed as before. Messages of libraries, which could quote a text, go, too, and so do page and tables, which are
    to be drawn anew. Where there are none it changes nothing; the examples go last, so that a call that broke off is
    finished by the next. Raises StoreError where a file cannot be read or written.
    """
    study = folder.read_json("study.json")
    if not isinstance(study, dict):
        raise StoreError(f"'{folder.path / 'study.json'}' holds no study: run the study again.")
    if study.get("texts", True):
        folder.write_json("study.json", {**study, "texts": False})
    try:
        examples, runs = folder.path / EXAMPLES, [run for run in _runs(folder) if _is_to_be_stripped(run)]
        if not runs and not _has_texts(examples):
            return
        for place in (*DRAWN, *SENT):
            for file in sorted(folder.path.glob(place)):
                file.unlink()
        for run in runs:
            _strip_run(run)
        _strip(examples)
    except OSError as error:
        raise StoreError(
            f"The texts in '{folder.path}' cannot be left out ({error.strerror or error}): mend that, and call again."
        ) from error


def _runs(folder: StudyFolder) -> Iterator[Path]:
    """The folders of runs, those set aside and those that broke off among them; what is a link is somebody else's."""
    for place in (folder.runs, folder.path / "set-aside"):
        if place.is_dir() and not place.is_symlink():
            yield from sorted(run for run in place.iterdir() if run.is_dir() and not run.is_symlink())


def _is_to_be_stripped(run: Path) -> bool:
    return _has_texts(run / PREDICTIONS) or _has_messages(run / RECORD)


def _strip_run(run: Path) -> None:
    """A run's predictions without texts and its record without messages, and its checksums as they are then.

    The checksums go first: a run that has none is believed by its figures, as those of release 0.1 are, one with a
    wrong one is not. What was changed before stays changed.
    """
    checksums, record, predictions = run / CHECKSUMS, run / RECORD, run / PREDICTIONS
    noted = _noted(checksums) or {}
    right = [file for file in (record, predictions) if file.is_file() and noted.get(file.name) == sha256_file(file)]
    if noted:
        checksums.unlink()
    _strip(predictions)
    if _has_messages(record):
        _write_json(record, without_messages(_plain(record)))
    if noted:
        _write_json(checksums, {**noted, **{file.name: sha256_file(file) for file in right}})


def _has_messages(record: Path) -> bool:
    found = _plain(record)
    return without_messages(found) != found


def _noted(checksums: Path) -> dict[str, JsonValue] | None:
    """A run's checksums; None where there are none to go by."""
    found = _plain(checksums)
    return found if isinstance(found, dict) else None


def _plain(file: Path) -> JsonValue:
    """What a file of JSON holds; null where it is missing or broken."""
    try:
        found: JsonValue = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found


def _has_texts(file: Path) -> bool:
    schema = _opened(file).schema_arrow if file.is_file() else None
    return schema is not None and len(wordless(schema)) < len(schema.names)


def _strip(file: Path) -> None:
    """Write a table of parquet without its columns of texts, in one step."""
    import pyarrow.parquet

    if not _has_texts(file):
        return
    opened = _opened(file)
    table = opened.read(columns=wordless(opened.schema_arrow)).replace_schema_metadata(None)
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        pyarrow.parquet.write_table(table, partial)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def _opened(file: Path) -> ParquetFile:
    """A table of parquet. Raises StoreError where it is none."""
    import pyarrow.parquet
    from pyarrow import ArrowException

    try:
        return pyarrow.parquet.ParquetFile(file)
    except (OSError, ValueError, ArrowException) as error:
        reason = " ".join(str(error).split())[:200].removesuffix(".")
        raise StoreError(f"'{file}' cannot be read, so its texts cannot be left out ({reason}): remove it.") from error


def _write_json(file: Path, value: JsonValue) -> None:
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    partial.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    partial.replace(file)
