"""New texts for a saved run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from whichtune.data.texts import read_texts
from whichtune.errors import StoreError
from whichtune.records.record import RunRecord, RunStatus
from whichtune.records.store import StudyFolder
from whichtune.registry import did_you_mean
from whichtune.study.spec import RunSpec
from whichtune.tasks import task_of

if TYPE_CHECKING:
    import pandas as pd

RUN_ID = re.compile("[0-9a-f]{16}")


def find_run(folder: StudyFolder, wanted: str) -> RunRecord:
    """A run by its id, the id's beginning, its label, or LABEL:SEED; with a bare label the run that is saved.

    Raises StoreError where none or several fit.
    """
    records = [RunRecord.model_validate(run) for run in folder.read_json("summary.json")["runs"]]
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
        known = {r.label for r in records} | {r.run_id for r in records}
        raise StoreError(f"'{folder.path}' has no run '{wanted}': {did_you_mean(wanted, known)}")
    if len(found) > 1:
        names = ", ".join(f"{r.label}:{r.seed}" for r in found)
        raise StoreError(f"Several runs are called '{wanted}': say which of {names}.")
    return found[0]


def predict_file(folder: StudyFolder, record: RunRecord, file: Path, text_column: str | None) -> pd.DataFrame:
    """What the run's task makes of each row of a file: columns text and prediction, and what else it has to say.

    A .txt file holds one text a line. Raises StoreError where the run was not saved, DataError for the file.
    """
    spec = spec_of(record)
    task = task_of(spec)
    texts = read_texts(file, text_column or spec.data.text_column, task.columns.texts)
    return task.predict(spec, record, saved_in(folder, record), texts)


def saved_in(folder: StudyFolder, record: RunRecord) -> Path:
    """Where a run's trained state lies. Raises StoreError where it was not saved."""
    if record.status is not RunStatus.COMPLETED:
        raise StoreError(f"The run '{record.label}' did not complete ({record.error}): choose another.")
    if not folder.weight_files(record.run_id):
        raise StoreError(
            f"The weights of '{record.label}', seed {record.seed}, were not saved: run the study again with --save all."
        )
    return folder.run_folder(record.run_id)


def spec_of(record: RunRecord) -> RunSpec:
    """The spec that a record tells of."""
    return RunSpec.model_validate({**record.spec, "label": record.label, "fingerprints": record.fingerprints})
