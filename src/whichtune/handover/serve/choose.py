"""Which run is served: of the row that is named, or of the one that the study recommends."""

from __future__ import annotations

from dataclasses import dataclass

from whichtune.errors import SettingError, StoreError
from whichtune.evidence.summary import Summary
from whichtune.records.ranked import validation_rank
from whichtune.records.record import RunRecord, RunStatus
from whichtune.records.store import StudyFolder
from whichtune.runs.predict import find_run
from whichtune.wording import listing, shown


@dataclass(frozen=True)
class Chosen:
    """A run, and why it is this one, as the end of a sentence."""

    record: RunRecord
    why: str


def choose_run(folder: StudyFolder, summary: Summary, row: str | None, seed: int | None = None) -> Chosen:
    """The run of a row: of `seed`, or the best on validation of its seeds that are saved.

    `row` is a row's label, LABEL:SEED, or a run's id or its beginning. Without one it is the row that the study
    recommends, or the best saved one where nothing of that is saved. Raises StoreError for a row that is none or was
    not saved, SettingError for a seed that it does not have.
    """
    if row is None:
        return _default(folder, summary, seed)
    runs = [run for run in summary.runs if run.label == row]
    if not runs:
        record = find_run(folder, row)
        if seed is not None and record.seed != seed:
            raise SettingError(f"The run '{shown(row)}' has seed {record.seed}, not {seed}: leave --seed out.")
        return Chosen(record, "as asked for")
    if seed is not None and not any(run.seed == seed for run in runs):
        seeds = [str(run.seed) for run in runs if run.seed is not None]
        have = f"there are {listing(seeds)}" if seeds else "it draws nothing, leave --seed out"
        raise SettingError(f"The row '{shown(row)}' has no seed {seed}: {have}.")
    runs = [run for run in runs if seed is None or run.seed == seed]
    saved = _saved(folder, runs)
    if not saved:
        return Chosen(runs[0], "as asked for")  # which is refused where it is loaded, with the reason
    best = max(saved, key=lambda run: validation_rank(run, summary.study.primary_metric))
    return Chosen(best, "as asked for" if len(runs) == 1 else "the best on validation of its saved seeds")


def _default(folder: StudyFolder, summary: Summary, seed: int | None) -> Chosen:
    saved = [run for run in _saved(folder, summary.runs) if seed is None or run.seed == seed]
    if not saved:
        of_seed = "" if seed is None else f" of seed {seed}"
        raise StoreError(f"'{folder.path}' has no saved row{of_seed}: run the study again with --save all.")
    recommended = summary.verdict.recommended if summary.verdict is not None else None
    ours = [run for run in saved if run.label == recommended]
    best = max(ours or saved, key=lambda run: validation_rank(run, summary.study.primary_metric))
    if ours:
        return Chosen(best, "the row that the study recommends")
    instead = f", since '{shown(recommended)}', which the study recommends, was not" if recommended else ""
    return Chosen(best, f"the best on validation that was saved{instead}")


def _saved(folder: StudyFolder, runs: list[RunRecord]) -> list[RunRecord]:
    return [run for run in runs if run.status is RunStatus.COMPLETED and folder.weight_files(run.run_id)]
