"""What reports of tagged words have of their own: results by type, and how figures are read. Loads no torch."""

from __future__ import annotations

from collections.abc import Sequence

from whichtune.metrics.tag_names import types_of
from whichtune.records.record import AnyMetrics, TagMetrics
from whichtune.records.store import StudyFolder
from whichtune.report.classes import classes_section
from whichtune.report.drawing.kinds import Classes, Figure
from whichtune.report.kinds import Kinds, kinds_figure
from whichtune.report.sections import PAGES, TaskPage, duplicates_note
from whichtune.report.templates import Section
from whichtune.report.view import View
from whichtune.wording import plural


def test_notes(view: View, test: AnyMetrics) -> list[str]:
    """What the sentences are like, and how the figures of them are read."""
    found = [f"The test split has {test.n} sentences."]
    if isinstance(test, TagMetrics):
        found.append(
            f"They have {test.words:,} words and {plural(test.entities, 'entity', 'entities')}. An entity is right "
            "where its words and its type are exactly those of a true one; F1, precision and recall are of all "
            "entities together, macro F1 is the mean of the types'. Tag accuracy is the share of words with the right "
            "tag, most of which are O. Intervals and tests are over sentences. The loss is the cross-entropy of a word."
        )
    return [*found, *duplicates_note(test)]


def type_figure(view: View) -> Classes | None:
    """F1 of each type of entities for each row, seeds taken together, the most frequent types first."""
    caption = "F1 of each type of entities in percent, over all seeds together. In brackets: true entities on test."
    return kinds_figure(view, Kinds("type", caption, types_of(view.class_names), _counts))


def _counts(test: AnyMetrics | None) -> Sequence[Sequence[int]] | None:
    return test.type_counts if isinstance(test, TagMetrics) else None


def figures(view: View, folder: StudyFolder) -> list[Figure]:
    found = type_figure(view)
    return [] if found is None else [found]


def sections(view: View, folder: StudyFolder, drawn: Sequence[Figure]) -> list[Section]:
    found = classes_section(drawn)
    return [] if found is None else [Section(found.name, "Types", found.html)]


PAGES.register("tagging")(TaskPage(test_notes=test_notes, figures=figures, sections=sections))
