"""New texts for a saved run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from whichtune.errors import DataError, StoreError
from whichtune.evidence.stored import SUMMARY, read_summary, run_doubt
from whichtune.records.record import RunRecord, RunStatus
from whichtune.records.store import StudyFolder
from whichtune.records.verify import spec_of
from whichtune.registry import did_you_mean
from whichtune.runs.proof import Known, known_answers, proven
from whichtune.study.fields import column_names
from whichtune.study.spec import RunSpec
from whichtune.tasks import task_of
from whichtune.wording import plural

if TYPE_CHECKING:
    import pandas as pd

    from whichtune.data.streamed import TextFile
    from whichtune.tasks.base import Answering

RUN_ID = re.compile("[0-9a-f]{16}")
LIKE_AN_ID = re.compile("(?=.*[0-9])[0-9a-f]{4,16}")


def find_run(folder: StudyFolder, wanted: str) -> RunRecord:
    """A run by its id, the id's beginning, its label, or LABEL:SEED; with a bare label the run that is saved.

    Raises StoreError where none or several fit, and where what is stored of it is not to be believed.
    """
    stored = read_summary(folder)
    if stored.changed:
        raise StoreError(f"'{folder.path / SUMMARY}' was changed after it was written: run the study again.")
    record = _named(folder, wanted, stored.summary.runs)
    refuse_doubtful(folder, record)
    return record


def refuse_doubtful(folder: StudyFolder, record: RunRecord, weights: bool = False) -> None:
    """Raise StoreError where what is stored of a run is not to be believed."""
    doubt = run_doubt(folder, record, weights)
    if doubt is not None:
        raise StoreError(f"The run '{record.label}' in '{folder.path}' is refused, since {doubt}: make it again.")


def _named(folder: StudyFolder, wanted: str, records: list[RunRecord]) -> RunRecord:
    """The run that is meant. Raises StoreError where none or several fit."""
    label, _, seed = wanted.rpartition(":")
    by_id = [r for r in records if len(wanted) >= 4 and r.run_id.startswith(wanted)]
    by_seed = [r for r in records if r.label == label and str(r.seed) == seed]
    by_label = [r for r in records if r.label == wanted]
    found = by_id or by_seed or by_label
    if len(found) > 1:
        saved = [r for r in found if folder.weight_files(r.run_id)]
        found = saved if len(saved) == 1 else found
    if not found and (draw := folder.read_run(wanted) if RUN_ID.fullmatch(wanted) else None):
        return draw  # of a search: no row of the study, so the summary does not list it among its runs
    if not found:
        id_meant = LIKE_AN_ID.fullmatch(wanted) is not None
        known = {r.run_id if id_meant else r.label for r in records}
        kind = "run" if id_meant else "row"
        raise StoreError(f"'{folder.path}' has no {kind} '{wanted}': {did_you_mean(wanted, known)}")
    if len(found) > 1:
        names = ", ".join(f"{r.label}:{r.seed}" for r in found)
        raise StoreError(f"Several runs are called '{wanted}': say which of {names}.")
    return found[0]


@dataclass(frozen=True)
class Opened:
    """A saved run that has proved itself, loaded: `answer` gives the table of `Task.predict` for texts."""

    record: RunRecord
    spec: RunSpec
    answer: Answering


def open_run(folder: StudyFolder, record: RunRecord, remote_code: bool = False) -> Opened:
    """Load a saved run.

    `remote_code` lets the model's own Python code run: that the run's record allows it is no word of the caller's.
    Raises StoreError where the run was not saved or is not what it was.
    """
    spec = trusted_spec(record, remote_code)
    place = saved_in(folder, record)
    return Opened(record, spec, proven(spec, record, place, tested(folder, record)))


def trusted_spec(record: RunRecord, remote_code: bool) -> RunSpec:
    """A run's spec. Raises StoreError where it lets the model's own Python code run and the caller does not."""
    spec = spec_of(record)
    if spec.remote_code and not remote_code:
        raise StoreError(
            f"The run '{record.label}' was made with Python code of its model '{spec.model}': if you trust that code, "
            "let it run with --remote-code (remote_code=True from Python)."
        )
    return spec


def predict_texts(opened: Opened, pieces: Iterable[list[str]]) -> Iterator[pd.DataFrame]:
    """The table of each piece of many texts, in their order."""
    done = 0
    for texts in pieces:
        yield opened.answer(texts, done)
        done += len(texts)


def texts_for(record: RunRecord, file: Path, text_column: str | None) -> TextFile:
    """A file's texts, read as the run's task names its columns. Raises DataError for the file."""
    spec = spec_of(record)
    fields = len(spec.data.text_columns)
    if text_column and len(named := column_names(text_column)) != fields and max(len(named), fields) > 1:
        raise DataError(
            f"'{record.label}' reads {plural(fields or 1, 'text column')} ({spec.data.text_column or 'text'}), and "
            f"--text-column names {len(named)}: name as many, in the same order."
        )
    return task_of(spec).text_file(spec, record, file, text_column)


def predict_file(
    folder: StudyFolder, record: RunRecord, file: Path, text_column: str | None, remote_code: bool = False
) -> pd.DataFrame:
    """What the run's task makes of each row of a file: columns text and prediction, and what else it has to say.

    A .txt file holds one text a line. Raises as `open_run` does, and DataError for the file.
    """
    import pandas as pd

    opened = open_run(folder, record, remote_code)
    pieces = texts_for(record, file, text_column).pieces()
    return pd.concat(predict_texts(opened, pieces), ignore_index=True)


def tested(folder: StudyFolder, record: RunRecord) -> Known | None:
    """A few recorded answers to test texts; None where the run was not tested, and where the study keeps no texts:
    its weights were proven when they were saved, and have their checksum."""
    if record.metrics.test is None:
        return None
    examples = folder.examples()
    if "text" not in examples and not folder.keeps_texts:
        return None
    if not {"split", "example_id", "text"} <= set(examples):
        raise StoreError(f"'{folder.path}' has an examples.parquet without ids and texts: run the study again.")
    test = examples[examples["split"] == "test"]
    texts = {str(example): str(text) for example, text in zip(test["example_id"], test["text"], strict=True)}
    return known_answers(folder.predictions(record.run_id), texts)


def saved_in(folder: StudyFolder, record: RunRecord) -> Path:
    """Where a run's trained state lies. Raises StoreError where it was not saved, or is not as it was written."""
    if record.status is not RunStatus.COMPLETED:
        raise StoreError(f"The run '{record.label}' did not complete ({record.error}): choose another.")
    if not folder.weight_files(record.run_id):
        seed = "" if record.seed is None else f", seed {record.seed},"
        raise StoreError(
            f"The weights of '{record.label}'{seed} were not saved: run the study again with --save all "
            '(save="all" from Python).'
        )
    refuse_doubtful(folder, record, weights=True)
    return folder.run_folder(record.run_id)
