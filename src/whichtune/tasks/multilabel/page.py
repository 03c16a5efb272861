"""What reports of sets of labels have of their own: results by label, and how figures are read. Loads no torch."""

from __future__ import annotations

from collections.abc import Sequence

from whichtune.records.record import AnyMetrics, LabelSetMetrics
from whichtune.records.store import StudyFolder
from whichtune.report.classes import classes_section
from whichtune.report.drawing.kinds import Classes, Figure
from whichtune.report.kinds import Kinds, kinds_figure
from whichtune.report.sections import PAGES, TaskPage, duplicates_note
from whichtune.report.templates import Section
from whichtune.report.view import View
from whichtune.report.words import number


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
    caption = "F1 of each label in percent, over all seeds together. In brackets: test texts that have it."
    return kinds_figure(view, Kinds("label", caption, view.class_names, _counts))


def _counts(test: AnyMetrics | None) -> Sequence[Sequence[int]] | None:
    return test.label_counts if isinstance(test, LabelSetMetrics) else None


def figures(view: View, folder: StudyFolder) -> list[Figure]:
    found = label_figure(view)
    return [] if found is None else [found]


def sections(view: View, folder: StudyFolder, drawn: Sequence[Figure]) -> list[Section]:
    found = classes_section(drawn)
    return [] if found is None else [Section(found.name, "Labels", found.html)]


PAGES.register("multilabel")(TaskPage(test_notes=test_notes, figures=figures, sections=sections))
