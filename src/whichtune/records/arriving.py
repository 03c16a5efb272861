"""A run that another machine has made: its files arrive in pieces, and move into the study's folder in one step."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import JsonValue

from whichtune.errors import StoreError
from whichtune.records.record import RunRecord
from whichtune.records.store import StudyFolder
from whichtune.records.verify import RECORD, run_fault, write_checksums


class ArrivingRun:
    """A run's folder beside its place, to which pieces of files are added in order."""

    def __init__(self, partial: Path) -> None:
        self.partial = partial

    def add(self, name: str, piece: bytes) -> None:
        """Add a piece to a file of the run. Raises StoreError for a name that leads elsewhere, or a full disk."""
        if Path(name).name != name or name in ("", ".", ".."):
            raise StoreError(f"A run came back with a file called {name!a}, which is no file of a run.")
        try:
            with (self.partial / name).open("ab") as handle:
                handle.write(piece)
        except OSError as error:
            raise StoreError(f"'{self.partial / name}' cannot be written: {error.strerror}.") from error


@contextmanager
def arriving(folder: StudyFolder, run_id: str, told_spec: dict[str, JsonValue]) -> Iterator[ArrivingRun]:
    """Within, the run's files are added; then they are compared with their checksums and moved into place in one step.

    `told_spec` is the run's spec as its record shows it: where another machine had its files is nobody's concern.
    Raises StoreError where what came is not what was written; nothing of it stays then.
    """
    target = folder.run_folder(run_id)
    partial = folder.runs / f".{run_id}.{os.getpid()}"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        whole = partial / run_id  # called as it will be, which the check of its identity reads
        whole.mkdir(parents=True)
        yield ArrivingRun(whole)
        if fault := run_fault(whole, weights=True):
            raise StoreError(f"The run '{run_id}' did not come back as it was made: {fault}.")
        record = RunRecord.model_validate_json((whole / RECORD).read_text(encoding="utf-8"))
        record = record.model_copy(update={"spec": told_spec})
        (whole / RECORD).write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
        write_checksums(whole)
        if target.exists():
            folder.discard(run_id)
        whole.replace(target)
    except OSError as error:
        raise StoreError(f"The run '{run_id}' cannot be stored in '{folder.runs}': {error.strerror}.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
