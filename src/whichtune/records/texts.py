"""A study's folder without the texts of its examples: those that are there go. Loads no torch."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from whichtune.errors import StoreError
from whichtune.records.store import EXAMPLES, StudyFolder
from whichtune.records.verify import CHECKSUMS, PREDICTIONS
from whichtune.records.wordless import wordless
from whichtune.study.spec import sha256_file

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

PAGE = "report.html"
SENT_PAGES = "mlflow-artifacts"  # copies of the page that a logger keeps beside the study


def leave_texts_out(folder: StudyFolder) -> None:
    """Remove every example's text from what the folder holds, and have study.json say that none is to be kept.

    Texts, references and written answers go; ids, classes, figures and logits stay. Runs keep their ids and are
    believed as before. The page goes, too: it is to be drawn anew. Doing it again changes nothing, so that a call that
    broke off is finished by the next. Raises StoreError where a file cannot be read or written.
    """
    study = folder.read_json("study.json")
    if not isinstance(study, dict):
        raise StoreError(f"'{folder.path / 'study.json'}' holds no study: run the study again.")
    if study.get("texts", True):
        folder.write_json("study.json", {**study, "texts": False})
    try:
        (folder.path / PAGE).unlink(missing_ok=True)
        for page in sorted((folder.path / SENT_PAGES).rglob(PAGE)):
            page.unlink()
        _strip(folder.path / EXAMPLES)
        for run in _runs(folder):
            _strip_run(run)
    except OSError as error:
        raise StoreError(
            f"The texts in '{folder.path}' cannot be left out ({error.strerror or error}): mend that, and call again."
        ) from error


def _runs(folder: StudyFolder) -> Iterator[Path]:
    """The folders of runs, those set aside and those that broke off among them; what is a link is somebody else's."""
    for place in (folder.runs, folder.path / "set-aside"):
        if place.is_dir() and not place.is_symlink():
            yield from sorted(run for run in place.iterdir() if run.is_dir() and not run.is_symlink())


def _strip_run(run: Path) -> None:
    """A run's predictions without texts, and its checksums as they are then.

    The checksums go first: a run that has none is believed by its figures, as those of release 0.1 are, one with a
    wrong one is not. What was changed before stays changed.
    """
    checksums, predictions = run / CHECKSUMS, run / PREDICTIONS
    if not _has_texts(predictions):
        return
    noted = _noted(checksums)
    if noted is not None and noted.get(PREDICTIONS) == sha256_file(predictions):
        checksums.unlink()
        _strip(predictions)
        _write(checksums, json.dumps({**noted, PREDICTIONS: sha256_file(predictions)}, indent=1) + "\n")
    else:
        _strip(predictions)


def _noted(checksums: Path) -> dict[str, str] | None:
    """A run's checksums; None where there are none to go by."""
    try:
        found = json.loads(checksums.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


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


def _write(file: Path, text: str) -> None:
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(file)
