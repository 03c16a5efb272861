"""A study as its folder tells of it, and what of that is not to be believed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from whichtune.errors import StoreError
from whichtune.evidence.summary import Summary, checksum_of
from whichtune.records.record import RunRecord, RunStatus
from whichtune.records.store import EXAMPLES, StudyFolder
from whichtune.records.texts import leave_texts_out
from whichtune.records.verify import same_run
from whichtune.records.wordless import without_messages
from whichtune.study.explain import wrong_value
from whichtune.study.resolved import ResolvedRun
from whichtune.study.roles import SCHEMA_VERSION
from whichtune.study.spec import RunSpec, sha256_file

SUMMARY = "summary.json"


@dataclass(frozen=True)
class Stored:
    """A summary that was read; `changed` where it is not as it was written."""

    summary: Summary
    changed: bool


def read_summary(folder: StudyFolder) -> Stored:
    """summary.json as a typed value. Raises StoreError where it is no study's summary."""
    path = folder.path / SUMMARY
    found = folder.read_json(SUMMARY)
    if not isinstance(found, dict) or not isinstance(found.get("runs"), list) or "study" not in found:
        raise StoreError(f"'{path}' is no summary of a study: run the study again.")
    if found.get("schema_version") != SCHEMA_VERSION:
        raise StoreError(
            f"'{path}' has schema version {found.get('schema_version')}, and this whichtune reads version "
            f"{SCHEMA_VERSION}: use the version that wrote it."
        )
    try:
        summary = Summary.model_validate({key: value for key, value in found.items() if value is not None})
    except ValidationError as error:
        raise StoreError(
            f"'{path}' is no summary that this whichtune can read, run the study again: {wrong_value(error)}."
        ) from error
    return Stored(summary, _is_changed(found))


def believed_summary(folder: StudyFolder) -> Summary:
    """The summary of a study whose runs are to be used. Raises StoreError where it was changed after it was written, or
    by another version."""
    stored = read_summary(folder)
    if stored.changed:
        raise StoreError(f"'{folder.path / SUMMARY}' was changed after it was written: run the study again.")
    return stored.summary


def _is_changed(found: dict[str, Any]) -> bool:
    return found.get("checksum") not in (None, checksum_of(found))


def without_texts(folder: StudyFolder) -> None:
    """Take every example's text out of a study that is there, its summary told of it.

    What was changed after it was written keeps its wrong checksum. Raises StoreError for a folder without a summary,
    before anything is removed.
    """
    found, examples = read_summary(folder), folder.path / EXAMPLES
    before = sha256_file(examples) if examples.is_file() else None
    leave_texts_out(folder)
    plain: dict[str, Any] = {name: without_messages(part) for name, part in folder.read_json(SUMMARY).items()}
    plain["study"]["texts"] = False
    if before is not None and plain.get("examples_checksum") == before:
        plain["examples_checksum"] = sha256_file(examples)
    if plain.get("checksum") is not None and not found.changed:
        plain["checksum"] = checksum_of(plain)
    folder.write_json(SUMMARY, plain)


def doubts(folder: StudyFolder, stored: Stored) -> list[str]:
    """What a reader must know before the figures: whatever in the folder is not as it was written."""
    found = []
    if stored.changed:
        found.append(f"Not to be believed: {SUMMARY} was changed after it was written; compare writes it anew.")
    noted, examples = stored.summary.examples_checksum, folder.path / EXAMPLES
    if noted is not None and examples.is_file() and sha256_file(examples) != noted:
        found.append(f"{EXAMPLES} is not the one that the runs were tested on: its texts are not to be believed.")
    for run in stored.summary.runs:
        if (fault := run_doubt(folder, run)) is not None:
            found.append(f"Not to be believed: {named(run)}, since {fault}; compare makes it again.")
    return found


def with_warnings(summary: Summary, told: list[str]) -> Summary:
    """The summary with sentences that a reader must know before anything else."""
    if not told:
        return summary
    if summary.verdict is None:
        study = summary.study.model_copy(update={"notes": [*told, *summary.study.notes]})
        return summary.model_copy(update={"study": study})
    verdict = summary.verdict.model_copy(update={"warnings": [*told, *summary.verdict.warnings]})
    return summary.model_copy(update={"verdict": verdict})


def run_doubt(folder: StudyFolder, told: RunRecord, weights: bool = False) -> str | None:
    """Why what a summary tells of a run is not to be believed, as the end of a sentence; None where it is."""
    fault = folder.fault(told.run_id, weights)
    if fault is not None:
        return fault
    record = folder.read_run(told.run_id)
    if record is None:
        return "its record is missing" if told.status is RunStatus.COMPLETED else None
    return None if same_run(record, told) else f"{SUMMARY} tells something else of it than its record"


def named(run: RunRecord | RunSpec | ResolvedRun) -> str:
    """A run as it stands in a sentence."""
    return f"the run '{run.label}'" + ("" if run.seed is None else f", seed {run.seed}")
