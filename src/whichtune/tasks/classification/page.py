"""What reports of classification have of their own: results by class, calibration, and where rows disagree. Loads no
torch."""

from __future__ import annotations

from collections.abc import Sequence

from whichtune.records.record import AnyMetrics
from whichtune.records.store import StudyFolder
from whichtune.report import words
from whichtune.report.calibration import calibration_figure, calibration_section
from whichtune.report.classes import classes_section
from whichtune.report.drawing.kinds import Figure
from whichtune.report.examples import examples_section
from whichtune.report.sections import PAGES, TaskPage, duplicates_note
from whichtune.report.templates import Section
from whichtune.report.view import View


def test_notes(view: View, test: AnyMetrics) -> list[str]:
    """How much one example weighs, and what repeats of training texts do to the accuracy."""
    means = {row.label: row.mean("test", "accuracy_without_duplicates") for row in view.rows}
    without = [f"{label} {words.percent(value)}" for label, value in means.items() if value is not None]
    return [
        f"The test split has {test.n} examples: one is {100 / test.n:.2f} points.",
        *duplicates_note(test, f"; accuracy without them: {', '.join(without)}." if without else "."),
    ]


def figures(view: View, folder: StudyFolder) -> list[Figure]:
    found = calibration_figure(view, folder)
    return [] if found is None else [found]


def sections(view: View, folder: StudyFolder, drawn: Sequence[Figure]) -> list[Section]:
    found = [classes_section(drawn), calibration_section(drawn), examples_section(view, folder)]
    return [section for section in found if section is not None]


PAGES.register("classification")(TaskPage(test_notes=test_notes, figures=figures, sections=sections))
