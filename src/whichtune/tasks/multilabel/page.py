"""What reports of sets of labels have of their own: results by label, and how figures are read. Loads no torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from whichtune.records.record import AnyMetrics, LabelSetMetrics, RunRecord
from whichtune.records.store import StudyFolder
from whichtune.report.classes import classes_section
from whichtune.report.drawing.kinds import Classes, Figure
from whichtune.report.matrices import MOST_CLASS_COLUMNS, share_cell
from whichtune.report.sections import PAGES, TaskPage, duplicates_note
from whichtune.report.templates import Section
from whichtune.report.view import View
from whichtune.report.words import number
from whichtune.wording import plural

MOST_LABELS = 200  # rows of the table on the page; the rarest are left out


def test_notes(view: View, test: AnyMetrics) -> list[str]:
    """What the sets of labels are like, and how the figures of them are read."""
    found = [f"The test split has {test.n} examples."]
    if isinstance(test, LabelSetMetrics):
        found.append(
            f"They have {number(test.labels_per_text)} labels each on average, {test.without_labels:,} of them none. "
            "Micro F1 is of all decisions together, macro F1 the mean of the labels', sample F1 that of the texts' (1 "
            "where none is true and none chosen); mAP ranks texts by a label's probability and needs no threshold; "
            "subset accuracy asks for exactly the right labels, and the Hamming loss is the share of decisions that "
            "are wrong. The loss is the binary cross-entropy, a mean over labels, then over texts."
        )
        found.append(_thresholds(view, test))
    return [*found, *duplicates_note(test)]


def _thresholds(view: View, test: LabelSetMetrics) -> str:
    settings = view.done[0].spec.get("task_settings") if view.done else None
    fixed = settings.get("label_thresholds") if isinstance(settings, dict) else None
    if isinstance(fixed, float):
        return f"A label is chosen from a probability of {fixed:g} on."
    return (
        "A label is chosen from the probability on that gives it its best F1 on validation, for each run anew: figures "
        "on validation are a little too good for that, those on test are not."
    )


def label_figure(view: View) -> Classes | None:
    """F1 of each label for each row, seeds taken together, the most frequent labels first."""
    summed = {row.label: found for row in view.scored if (found := _summed(view.groups[row.label])) is not None}
    if not summed:
        return None
    rows = list(summed)[:MOST_CLASS_COLUMNS]
    runs = max(1, sum(run.metrics.test is not None for run in view.groups[rows[0]]))
    support = (summed[rows[0]][:, 0] + summed[rows[0]][:, 2]) // runs
    order = np.argsort(-support, kind="stable")[:MOST_LABELS]
    names = view.class_names
    caption = "F1 of each label in percent, over all seeds together. In brackets: test texts that have it."
    if len(order) < len(support):
        caption += f" The {len(order)} most frequent of {len(support):,} labels are shown."
    if len(rows) < len(summed):
        caption += f" {len(rows)} of {len(summed)} rows are shown, the best first."
    return Classes(
        name="classes",
        title="Results by label",
        caption=caption,
        alt=f"Matrix of F1 for {plural(len(order), 'label')} and {plural(len(rows), 'row')}.",
        rows=[f"{names[label]} ({int(support[label]):,})" for label in order],
        columns=rows,
        corner="label",
        cells=[[share_cell(_f1(summed[row][label])) for row in rows] for label in order],
    )


def _summed(runs: Sequence[RunRecord]) -> np.ndarray | None:
    """Right, wrong and missed texts of each label (L, 3) on test, over completed runs."""
    tests = [run.metrics.test for run in runs]
    found = [np.array(each.label_counts) for each in tests if isinstance(each, LabelSetMetrics) and each.label_counts]
    return np.sum(found, axis=0) if found and len({each.shape for each in found}) == 1 else None


def _f1(counts: np.ndarray) -> float:
    right, wrong, missed = (float(count) for count in counts)
    mentions = 2 * right + wrong + missed
    return 2 * right / mentions if mentions else float("nan")


def figures(view: View, folder: StudyFolder) -> list[Figure]:
    found = label_figure(view)
    return [] if found is None else [found]


def sections(view: View, folder: StudyFolder, drawn: Sequence[Figure]) -> list[Section]:
    found = classes_section(drawn)
    return [] if found is None else [Section(found.name, "Labels", found.html)]


PAGES.register("multilabel")(TaskPage(test_notes=test_notes, figures=figures, sections=sections))
