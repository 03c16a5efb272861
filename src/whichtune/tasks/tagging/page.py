"""What reports of tagged words have of their own: results by type, and how figures are read. Loads no torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from whichtune.metrics.tag_names import types_of
from whichtune.records.record import AnyMetrics, RunRecord, TagMetrics
from whichtune.records.store import StudyFolder
from whichtune.report.classes import classes_section
from whichtune.report.drawing.kinds import Classes, Figure
from whichtune.report.matrices import MOST_CLASS_COLUMNS, share_cell
from whichtune.report.sections import PAGES, TaskPage, duplicates_note
from whichtune.report.templates import Section
from whichtune.report.view import View
from whichtune.wording import plural

MOST_TYPES = 200  # rows of the table on the page; the rarest are left out


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
    summed = {row.label: found for row in view.scored if (found := _summed(view.groups[row.label])) is not None}
    if not summed:
        return None
    rows = list(summed)[:MOST_CLASS_COLUMNS]
    runs = max(1, sum(run.metrics.test is not None for run in view.groups[rows[0]]))
    support = (summed[rows[0]][:, 0] + summed[rows[0]][:, 2]) // runs
    order = np.argsort(-support, kind="stable")[:MOST_TYPES]
    names = types_of(view.class_names)
    caption = "F1 of each type of entities in percent, over all seeds together. In brackets: true entities on test."
    if len(order) < len(support):
        caption += f" The {len(order)} most frequent of {len(support):,} types are shown."
    if len(rows) < len(summed):
        caption += f" {len(rows)} of {len(summed)} rows are shown, the best first."
    return Classes(
        name="classes",
        title="Results by type",
        caption=caption,
        alt=f"Matrix of F1 for {plural(len(order), 'type')} and {plural(len(rows), 'row')}.",
        rows=[f"{names[kind]} ({int(support[kind]):,})" for kind in order],
        columns=rows,
        corner="type",
        cells=[[share_cell(_f1(summed[row][kind])) for row in rows] for kind in order],
    )


def _summed(runs: Sequence[RunRecord]) -> np.ndarray | None:
    """Right, wrong and missed entities of each type (K, 3) on test, over completed runs."""
    tests = [run.metrics.test for run in runs]
    found = [np.array(each.type_counts) for each in tests if isinstance(each, TagMetrics) and each.type_counts]
    return np.sum(found, axis=0) if found and len({each.shape for each in found}) == 1 else None


def _f1(counts: np.ndarray) -> float:
    right, wrong, missed = (float(count) for count in counts)
    mentions = 2 * right + wrong + missed
    return 2 * right / mentions if mentions else float("nan")


def figures(view: View, folder: StudyFolder) -> list[Figure]:
    found = type_figure(view)
    return [] if found is None else [found]


def sections(view: View, folder: StudyFolder, drawn: Sequence[Figure]) -> list[Section]:
    found = classes_section(drawn)
    return [] if found is None else [Section(found.name, "Types", found.html)]


PAGES.register("tagging")(TaskPage(test_notes=test_notes, figures=figures, sections=sections))
