"""Which run stands for a row that is to be handed over."""

from __future__ import annotations

from dataclasses import dataclass

from whichtune.errors import ExportError
from whichtune.evidence.stored import believed_summary
from whichtune.evidence.summary import Summary
from whichtune.methods import METHODS
from whichtune.records.ranked import validation_rank
from whichtune.records.record import RunRecord, RunStatus
from whichtune.records.store import StudyFolder
from whichtune.runs.predict import find_run, refuse_doubtful
from whichtune.study.roles import Role
from whichtune.study.spec import RunSpec
from whichtune.tasks import task_of
from whichtune.wording import listing

HANDED_ON = ("classes", "numbers", "labels", "tags", "texts")


@dataclass(frozen=True)
class Chosen:
    """A run of a study, and why it was taken; None where there was nothing to choose."""

    record: RunRecord
    summary: Summary
    why: str | None


def choose_run(folder: StudyFolder, row: str, seed: int | None = None) -> Chosen:
    """The run of a row that is handed over: of `seed`, or the best on validation of those that are saved, or of all.

    `row` is a row's label, a run's id or its beginning, or LABEL:SEED. Raises StoreError for a row that is none, and
    for what is not to be believed; ExportError for a seed that the row does not have, or a run that did not complete.
    """
    summary = believed_summary(folder)
    runs = [run for run in summary.runs if run.label == row]
    if not runs:
        record = find_run(folder, row)
        if seed is not None and record.seed != seed:
            raise ExportError(f"The run '{row}' has seed {record.seed}, not {seed}: leave --seed out.")
        return Chosen(_completed(record), summary, None)
    if seed is not None:
        runs = _of_seed(runs, row, seed)
    record, why = _best(folder, runs, summary)
    refuse_doubtful(folder, record)
    return Chosen(_completed(record), summary, why)


def refuse_answers(spec: RunSpec, command: str) -> None:
    """Raise ExportError for a run whose answers `command` has no form for."""
    if (answers := task_of(spec).answers) not in HANDED_ON:
        raise ExportError(
            f"'{spec.label}' is of the task {spec.task}, whose answers ({answers}) {command} cannot hand on yet: use "
            "whichtune predict."
        )


def refuse_formless(spec: RunSpec) -> None:
    """Raise ExportError for a run that asks the language model in words, since no form has the prompt and the words,
    and for one whose model is in fewer bits, which a form would have in float32."""
    if spec.base_precision != "float32":
        raise ExportError(
            f"'{spec.label}' was trained on a model in {spec.base_precision} (base_precision), which no form keeps, "
            "and in float32 its answers would be others: use whichtune predict or serve."
        )
    if spec.role is not Role.BASELINE and METHODS[spec.method].in_words:
        raise ExportError(
            f"'{spec.label}' asks the language model in words and has no head of classes, so that there is no form for "
            "it: use whichtune predict or serve."
        )


def _of_seed(runs: list[RunRecord], row: str, seed: int) -> list[RunRecord]:
    found = [run for run in runs if run.seed == seed]
    if found:
        return found
    seeds = [str(run.seed) for run in runs if run.seed is not None]
    if not seeds:
        raise ExportError(f"The row '{row}' draws nothing, so it has no seeds: leave --seed out.")
    raise ExportError(f"The row '{row}' has no seed {seed}: there are {listing(seeds)}.")


def _completed(record: RunRecord) -> RunRecord:
    if record.status is not RunStatus.COMPLETED:
        raise ExportError(f"The run '{record.label}' did not complete ({record.error}): choose another row.")
    return record


def _best(folder: StudyFolder, runs: list[RunRecord], summary: Summary) -> tuple[RunRecord, str | None]:
    if len(runs) == 1:
        return runs[0], None
    complete = [run for run in runs if run.status is RunStatus.COMPLETED] or runs
    saved = [run for run in complete if folder.weight_files(run.run_id)]
    candidates = saved or complete
    best = max(candidates, key=lambda run: validation_rank(run, summary.study.primary_metric))
    if len(candidates) == 1:
        return best, f"seed {best.seed}, the one that is saved"
    which = "of those that are saved" if saved and len(saved) < len(complete) else f"of {len(candidates)} seeds"
    return best, f"seed {best.seed}, the best on validation {which}"
