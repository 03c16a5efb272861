"""Which run is served: of the row that is named, or of the one that the study recommends."""

from __future__ import annotations

from whichtune.errors import StoreError
from whichtune.evidence.stored import believed_summary
from whichtune.handover.choose import Chosen, choose_run
from whichtune.records.ranked import validation_rank
from whichtune.records.record import RunRecord, RunStatus
from whichtune.records.store import StudyFolder
from whichtune.wording import shown


def served_run(folder: StudyFolder, row: str | None, seed: int | None = None) -> Chosen:
    """The run of a row, see `choose_run`; without one of the row that the study recommends, or the best saved one where
    nothing of that is saved. Raises StoreError where nothing is."""
    if row is not None:
        return choose_run(folder, row, seed)
    summary = believed_summary(folder)
    saved = [run for run in _saved(folder, summary.runs) if seed is None or run.seed == seed]
    if not saved:
        of_seed = "" if seed is None else f" of seed {seed}"
        raise StoreError(f"'{folder.path}' has no saved row{of_seed}: run the study again with --save all.")
    recommended = summary.verdict.recommended if summary.verdict is not None else None
    ours = [run for run in saved if run.label == recommended]
    best = max(ours or saved, key=lambda run: validation_rank(run, summary.study.primary_metric))
    if ours:
        return Chosen(best, summary, "the row that the study recommends")
    instead = f", since '{shown(recommended)}', which the study recommends, was not" if recommended else ""
    return Chosen(best, summary, f"the best on validation that was saved{instead}")


def _saved(folder: StudyFolder, runs: list[RunRecord]) -> list[RunRecord]:
    return [run for run in runs if run.status is RunStatus.COMPLETED and folder.weight_files(run.run_id)]
