"""A study's folder: one folder a run, written whole or not at all.

DIR/study.json                 the study, resolved
DIR/examples.parquet           validation and test texts
DIR/runs/<run_id>/run.json     the record; its presence means that the run is there in full
DIR/runs/<run_id>/curves.jsonl, predictions.parquet, weights.safetensors
DIR/summary.json, table.md, table.csv
DIR/locks/<run_id>.lock        held by the process that makes the run
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from whichtune.errors import StoreError
from whichtune.records.record import CurvePoint, RunRecord, RunStatus

if TYPE_CHECKING:
    import pandas as pd


class StudyFolder:
    """Reads and writes one study's files. Raises StoreError where the folder cannot be used."""

    def __init__(self, path: Path | str, create: bool = False) -> None:
        self.path = Path(path).expanduser()
        self.runs = self.path / "runs"
        if create:
            self._create()
        elif not self.path.is_dir():
            raise StoreError(f"There is no study folder '{path}': check the path.")

    def _create(self) -> None:
        try:
            self.runs.mkdir(parents=True, exist_ok=True)
            (self.path / "locks").mkdir(exist_ok=True)
            probe = self.path / f".write-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise StoreError(
                f"The folder '{self.path}' cannot be written ({error.strerror}): choose another with --out."
            ) from error

    # -- single files -----------------------------------------------------------------------------

    def write_text(self, name: str, text: str) -> Path:
        """Write a file so that a reader sees the old one or the new one, never half."""
        target = self.path / name
        partial = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            partial.write_text(text, encoding="utf-8")
            partial.replace(target)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise StoreError(f"'{target}' cannot be written: {error.strerror}.") from error
        return target

    def write_json(self, name: str, value: Any) -> Path:
        return self.write_text(name, json.dumps(value, indent=1, ensure_ascii=False) + "\n")

    def read_json(self, name: str) -> Any:
        """A JSON file of the folder; raises StoreError where it is missing or broken."""
        path = self.path / name
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise StoreError(
                f"'{self.path}' holds no {name}: it is no study folder, or its study never ran."
            ) from error
        except (OSError, ValueError) as error:
            raise StoreError(f"'{path}' cannot be read: {error}.") from error

    # -- runs -------------------------------------------------------------------------------------

    def run_folder(self, run_id: str) -> Path:
        return self.runs / run_id

    def read_run(self, run_id: str) -> RunRecord | None:
        """The record of a run, or None where there is none."""
        path = self.run_folder(run_id) / "run.json"
        if not path.is_file():
            return None
        try:
            return RunRecord.model_validate_json(path.read_text(encoding="utf-8"))
        except (ValidationError, ValueError) as error:
            raise StoreError(f"'{path}' is no run record: remove its folder to make the run again.") from error

    def is_complete(self, run_id: str) -> bool:
        record = self.read_run(run_id)
        return record is not None and record.status is RunStatus.COMPLETED

    def write_run(self, record: RunRecord, curves: Any = (), predictions: Any = None, save: Any = None) -> None:
        """Write a run's folder beside its place, then move it there in one step."""
        target = self.run_folder(record.run_id)
        partial = self.runs / f".{record.run_id}.{os.getpid()}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            lines = "".join(json.dumps(point) + "\n" for point in curves)
            (partial / "curves.jsonl").write_text(lines, encoding="utf-8")
            if predictions is not None:
                predictions.to_parquet(partial / "predictions.parquet", index=False)
            if save is not None:
                save(partial)
            text = record.model_dump_json(indent=1)
            (partial / "run.json").write_text(text + "\n", encoding="utf-8")
            if target.exists():  # an earlier attempt
                self.discard(record.run_id)
            partial.replace(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def discard(self, run_id: str) -> None:
        """Remove a run's folder, record first, so that it never looks complete while it goes."""
        (self.run_folder(run_id) / "run.json").unlink(missing_ok=True)
        shutil.rmtree(self.run_folder(run_id), ignore_errors=True)

    def sweep(self) -> None:
        """Remove what processes that are gone have left half-written."""
        for folder in self.runs.glob(".*"):
            pid = folder.name.rpartition(".")[2]
            if pid.isdigit() and not _alive(int(pid)):
                shutil.rmtree(folder, ignore_errors=True)

    def predictions(self, run_id: str) -> pd.DataFrame:
        """A completed run's predictions."""
        import pandas as pd

        return pd.read_parquet(self.run_folder(run_id) / "predictions.parquet")

    def curves(self, run_id: str) -> list[CurvePoint]:
        """The points of a run's curves; none where it did not complete."""
        path = self.run_folder(run_id) / "curves.jsonl"
        if not path.is_file():
            return []
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    def weight_files(self, run_id: str) -> list[Path]:
        """What was saved to have the trained classifier back."""
        folder = self.run_folder(run_id)
        names = ("weights.safetensors", "baseline.safetensors", "vocabulary.json")
        return [folder / name for name in names if (folder / name).is_file()]

    def examples(self) -> pd.DataFrame:
        """Validation and test texts with their ids and labels."""
        import pandas as pd

        path = self.path / "examples.parquet"
        if not path.is_file():
            raise StoreError(f"'{self.path}' holds no examples.parquet: run the study again.")
        return pd.read_parquet(path)

    def write_examples(self, frame: pd.DataFrame) -> None:
        target = self.path / "examples.parquet"
        partial = target.with_name(f".{target.name}.{os.getpid()}")
        frame.to_parquet(partial, index=False)
        partial.replace(target)

    @contextmanager
    def claim(self, run_id: str) -> Iterator[bool]:
        """Whether this process may make the run: false while another process on the folder does."""
        from filelock import FileLock, Timeout

        lock = FileLock(self.path / "locks" / f"{run_id}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()


def _alive(pid: int) -> bool:
    import psutil

    return bool(psutil.pid_exists(pid))
