"""The studies of a folder, a line each, in the order in which they were made."""

from __future__ import annotations

from pathlib import Path

from whichtune.errors import StoreError
from whichtune.evidence.stored import SUMMARY, read_summary
from whichtune.evidence.summary import Summary
from whichtune.metrics import metric_title
from whichtune.records.store import StudyFolder
from whichtune.report.decision import interval_of, score_of
from whichtune.report.names import short_data, short_model
from whichtune.report.view import View
from whichtune.wording import plural


def studies_in(folder: Path) -> list[str]:
    """A line for each study right in `folder`, oldest first. Raises StoreError where it is no folder."""
    if not folder.is_dir():
        raise StoreError(f"There is no folder '{folder}': check the path.")
    found = []
    for place in sorted(path.parent for path in folder.glob(f"*/{SUMMARY}")):
        summary = read_summary(StudyFolder(place)).summary
        found.append((max((run.finished_at or "" for run in summary.runs), default=""), place.name, summary))
    return [_line(at, name, summary) for at, name, summary in sorted(found, key=lambda one: one[:2])]


def _line(at: str, name: str, summary: Summary) -> str:
    view, study = View(summary), summary.study
    models = " and ".join(short_model(model) for model in study.models or [study.model])
    made = f"{at[:16].replace('T', ' ') or 'not finished'}  {name}: {short_data(study.data.source)} with {models}"
    verdict = summary.verdict
    if verdict is None or verdict.recommended is None:
        return f"{made}, {plural(len(summary.runs), 'run')}; no row is recommended."
    span = interval_of(view, verdict.recommended)
    score = f"{score_of(view, verdict.recommended)} {metric_title(view.metric)}{f' ({span})' if span else ''}"
    return f"{made}, {plural(len(summary.runs), 'run')}; use {verdict.recommended}, {score}."
