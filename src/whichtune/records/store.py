"""A study's folder: one folder a run, written whole or not at all.

DIR/study.json                 the study, resolved
DIR/examples.parquet           validation and test texts
DIR/runs/<run_id>/run.json     the record; its presence means that the run is there in full
DIR/runs/<run_id>/curves.jsonl, predictions.parquet, weights.safetensors
DIR/runs/<run_id>/trial.pt     the state of a trial of a search that waits to go on
DIR/runs/<run_id>/checksums.json   sha256 of each of these
DIR/summary.json, table.md, table.csv
DIR/set-aside/<run_id>         runs that were not as they had been written, and were made again
DIR/locks/<run_id>.lock        held by the process that makes the run
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from whichtune.errors import SettingError, StoreError, WhichtuneError
from whichtune.records.record import CurvePoint, RunRecord, RunStatus
from whichtune.records.verify import ASIDE, PREDICTIONS, RECORD, WEIGHTS, as_written, run_fault, write_checksums
from whichtune.records.wordless import without_messages, without_words

if TYPE_CHECKING:
    import pandas as pd


CURVES = TypeAdapter(list[CurvePoint])
EXAMPLES = "examples.parquet"
LEADS_OUT = "is a link, which may lead out of the study's folder"
PLAIN_NAME = re.compile(r"[0-9A-Za-z_-]{1,64}")
LONGEST_NAME = 200  # bytes of a study's name: a file's name may have 255


def default_folder(name: str) -> Path:
    """Where a study is kept when nothing else is said. Raises SettingError for a name that no folder can have."""
    bad = next((sign for sign in name if sign in "/\\" or not sign.isprintable()), None)
    if bad is not None or len(name.encode("utf-8", "replace")) > LONGEST_NAME:
        what = f"has more than {LONGEST_NAME} bytes" if bad is None else f"has {bad!a} in it"
        raise SettingError(
            f"The study's name {what}, so that no folder can be called after it: mend it, or give --out."
        )
    return Path(f"whichtune-{name}")


class StudyFolder:
    """Reads and writes one study's files. Raises StoreError where the folder cannot be used."""

    def __init__(self, path: Path | str, create: bool = False) -> None:
        self.path = Path(os.path.expanduser(path))
        self.runs = self.path / "runs"
        if create:
            self._create()
        elif not self.path.is_dir():
            raise StoreError(f"There is no study folder '{path}': check the path.")
        self._refuse_links("runs")

    def _create(self) -> None:
        self._refuse_links("runs", "locks", "set-aside", "figures")
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

    def _refuse_links(self, *names: str) -> None:
        """Raise StoreError where a folder of the study's leads elsewhere: files are written and removed there."""
        for place in (self.path / name for name in names):
            if place.is_symlink():
                raise StoreError(f"'{place}' {LEADS_OUT}: remove it.")

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

    def write_json(self, name: str, value: object) -> Path:
        return self.write_text(name, json.dumps(value, indent=1, ensure_ascii=False) + "\n")

    def read_json(self, name: str) -> Any:
        """A JSON file of the folder; raises StoreError where it is missing or broken."""
        path = self.path / name
        if not path.is_file():
            raise StoreError(f"'{self.path}' holds no {name}: it is no study folder, or its study never ran.")
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StoreError(f"'{path}' cannot be read: {error}.") from error
        except RecursionError as error:
            raise StoreError(f"'{path}' cannot be read: it is nested too deeply.") from error

    @property
    def keeps_texts(self) -> bool:
        """Whether examples' texts may be written here: what study.json says of it, and true where it says nothing."""
        try:
            study = self.read_json("study.json")
        except StoreError:  # none yet
            return True
        return not isinstance(study, dict) or study.get("texts", True) is not False

    # -- runs -------------------------------------------------------------------------------------

    def run_folder(self, run_id: str) -> Path:
        """Where a run is kept. Raises StoreError for an id that could lead out of the folder."""
        if not PLAIN_NAME.fullmatch(run_id):
            raise StoreError(f"'{self.path}' names a run {ascii(run_id)[:80]}, which is no id: run the study again.")
        return self.runs / run_id

    def read_run(self, run_id: str) -> RunRecord | None:
        """The record of a run, or None where there is none."""
        path = self.run_folder(run_id) / RECORD
        if not path.is_file():
            return None
        try:
            return RunRecord.model_validate_json(path.read_text(encoding="utf-8"))
        except (ValidationError, ValueError, OSError) as error:
            raise StoreError(f"'{path}' is no run record: remove its folder to make the run again.") from error

    def is_complete(self, run_id: str) -> bool:
        record = self.read_run(run_id)
        return record is not None and record.status is RunStatus.COMPLETED

    def fault(self, run_id: str, weights: bool = False) -> str | None:
        """Why a run's folder is not to be believed, as the end of a sentence; None where it is, or there is none."""
        folder = self.run_folder(run_id)
        if folder.is_symlink():
            return f"what stands in its place {LEADS_OUT}"
        if os.path.lexists(folder) and not folder.is_dir():
            return "what stands in its place is no folder"
        return run_fault(folder, weights) if (folder / RECORD).exists() else None

    def set_aside(self, run_id: str) -> Path:
        """Move a run's folder out of the way, so that the run can be made again and nothing is lost."""
        number, place = 1, self.path / "set-aside" / run_id
        while os.path.lexists(place):
            number += 1
            place = place.with_name(f"{run_id}-{number}")
        try:
            place.parent.mkdir(exist_ok=True)
            return self.run_folder(run_id).rename(place)
        except OSError as error:
            raise StoreError(f"'{self.run_folder(run_id)}' cannot be moved ({error.strerror}): remove it.") from error

    def write_run(
        self,
        record: RunRecord,
        curves: Iterable[Mapping[str, object]] = (),
        predictions: pd.DataFrame | None = None,
        save: Callable[[Path], object] | None = None,
        last: Callable[[RunRecord], RunRecord] = lambda record: record,
    ) -> None:
        """Write a run's folder beside its place, then move it there in one step.

        `save` writes the weights: where it fails, what it wrote goes, so that there is room for the rest, and the run
        is kept without them and says so. Where the study keeps no texts, written answers and references are left out,
        and messages that could quote one. `last` completes the record once all else is written.
        Raises StoreError where the run itself cannot be written.
        """
        target = self.run_folder(record.run_id)
        partial = self.runs / f".{record.run_id}.{os.getpid()}"
        shutil.rmtree(partial, ignore_errors=True)
        texts = self.keeps_texts
        try:
            partial.mkdir(parents=True)
            lines = "".join(json.dumps(point) + "\n" for point in curves)
            (partial / "curves.jsonl").write_text(lines, encoding="utf-8")
            if predictions is not None:
                kept = predictions if texts else without_words(predictions)
                kept.to_parquet(partial / PREDICTIONS, index=False)
            if save is not None and (note := _unsaved(save, partial, texts)):
                record = record.model_copy(update={"notes": [*record.notes, note]})
            if not texts:
                record = RunRecord.model_validate(without_messages(record.model_dump(mode="json")))
            record = last(record)
            (partial / RECORD).write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
            write_checksums(partial)
            if target.exists():  # an earlier attempt
                self.discard(record.run_id)
            partial.replace(target)
        except OSError as error:
            reason = error.strerror or str(error)
            raise StoreError(f"The run '{record.label}' cannot be stored in '{self.runs}': {reason}.") from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def discard(self, run_id: str) -> None:
        """Remove a run's folder, record first, so that it never looks complete while it goes."""
        folder = self.run_folder(run_id)
        if folder.is_symlink():
            folder.unlink()  # what it leads to is somebody else's
            return
        (folder / RECORD).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what processes that are gone have left half-written."""
        for folder in self.runs.glob(".*"):
            pid = folder.name.rpartition(".")[2]
            if pid.isdigit() and not _alive(int(pid)):
                shutil.rmtree(folder, ignore_errors=True)

    def predictions(self, run_id: str) -> pd.DataFrame:
        """A completed run's predictions. Raises StoreError where they cannot be read."""
        return _read_table(self.run_folder(run_id) / PREDICTIONS)

    def curves(self, run_id: str) -> list[CurvePoint]:
        """The points of a run's curves; none where it did not complete. Raises StoreError where they cannot be read."""
        path = self.run_folder(run_id) / "curves.jsonl"
        if not path.is_file():
            return []
        try:
            points = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            return CURVES.validate_python(points, strict=True)
        except (OSError, ValueError, RecursionError) as error:
            reason = "it holds no points of curves" if isinstance(error, ValidationError) else str(error)
            raise StoreError(f"'{path}' cannot be read: {reason}.") from error

    def weight_files(self, run_id: str) -> list[Path]:
        """What was saved to have the trained classifier back."""
        folder = self.run_folder(run_id)
        return [folder / name for name in WEIGHTS if (folder / name).is_file()]

    # -- trials that wait ---------------------------------------------------------------------------

    def aside(self, run_id: str) -> Path | None:
        """The state that a run of a trial has put aside; None where there is none, or another than was written."""
        file = self.run_folder(run_id) / ASIDE
        return file if as_written(file) else None

    def waiting(self) -> list[str]:
        """The ids of runs whose trials wait."""
        return sorted(file.parent.name for file in self.runs.glob(f"[!.]*/{ASIDE}"))

    def let_go(self, run_id: str) -> None:
        """Remove what a run has put aside."""
        folder = self.run_folder(run_id)
        if not folder.is_symlink():
            (folder / ASIDE).unlink(missing_ok=True)

    def examples(self) -> pd.DataFrame:
        """Validation and test texts with their ids and labels. Raises StoreError where they cannot be read."""
        path = self.path / EXAMPLES
        if not path.is_file():
            raise StoreError(f"'{self.path}' holds no {EXAMPLES}: run the study again.")
        return _read_table(path)

    def near_repeats(self) -> pd.DataFrame | None:
        """Split, id and `nearly_in_train` of validation and test texts; None where that was not asked."""
        if not (self.path / EXAMPLES).is_file():
            return None
        frame = self.examples()
        wanted = ["split", "example_id", "nearly_in_train"]
        return frame[wanted] if set(wanted) <= set(frame.columns) else None

    def write_examples(self, frame: pd.DataFrame) -> None:
        """Keep validation and test examples, without their texts where the study keeps none."""
        frame = frame if self.keeps_texts else without_words(frame)
        target = self.path / EXAMPLES
        partial = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            frame.to_parquet(partial, index=False)
            partial.replace(target)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise StoreError(f"'{target}' cannot be written: {error.strerror or error}.") from error

    @contextmanager
    def claim(self, run_id: str) -> Iterator[bool]:
        """Whether this process may make the run: false while another process on the folder does. Raises StoreError
        for a lock that leads elsewhere, where the file would be emptied, or that cannot be one."""
        from filelock import FileLock, Timeout

        place = self.path / "locks" / f"{run_id}.lock"
        self._refuse_links("locks", f"locks/{place.name}")
        lock = FileLock(place)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            yield False
            return
        except OSError as error:
            raise StoreError(f"'{place}' cannot be locked ({error.strerror}): remove it.") from error
        try:
            yield True
        finally:
            lock.release()


def _unsaved(save: Callable[[Path], object], folder: Path, texts: bool) -> str | None:
    """Why the weights were not kept; None where they were. What was written of them is gone then.

    Without `texts` a message that is not ours, which could quote one, is left out.
    """
    kept = set(folder.iterdir())
    try:
        save(folder)
        return None
    except Exception as error:  # whatever it is, the run's figures are worth more than its weights
        for file in set(folder.iterdir()) - kept:
            file.unlink()
        quotes = texts or isinstance(error, WhichtuneError)
        text = (" ".join(str(error).split())[:300] if quotes else "") or type(error).__name__
        return f"The weights were not kept: {text.removesuffix('.')}."


def _read_table(path: Path) -> pd.DataFrame:
    import pandas as pd
    from pyarrow import ArrowException

    try:
        return pd.read_parquet(path)
    except (OSError, ValueError, ArrowException) as error:
        reason = " ".join(str(error).split())[:200].removesuffix(".")
        raise StoreError(f"'{path}' cannot be read: {reason}.") from error


def _alive(pid: int) -> bool:
    import psutil

    return bool(psutil.pid_exists(pid))
