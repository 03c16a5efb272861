"""What the tasks' reports have of their own. Each task declares it in a `page.py`, found here by the task's name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from whichtune.records.record import AnyMetrics
from whichtune.records.store import StudyFolder
from whichtune.registry import Registry, modules_of_folders
from whichtune.report.columns import Column
from whichtune.report.drawing.kinds import Figure
from whichtune.report.templates import Section
from whichtune.report.view import View


def duplicates_note(test: AnyMetrics, rest: str = ".") -> list[str]:
    """How many test examples stand in train, too; `rest` ends the sentence."""
    return [f"{test.duplicates_of_train} of them stand verbatim in train{rest}"] if test.duplicates_of_train else []


def _plain_notes(view: View, test: AnyMetrics) -> list[str]:
    return [f"The test split has {test.n} examples.", *duplicates_note(test)]


def _no_sections(view: View, folder: StudyFolder, drawn: Sequence[Figure]) -> list[Section]:
    return []


def _no_figures(view: View, folder: StudyFolder) -> list[Figure]:
    return []


@dataclass(frozen=True)
class TaskPage:
    """What a task adds to tables and page; with the defaults nothing: the plain page of a task that declares none.

    `beside_loss` are columns after the test loss, `uses` columns of table.md before the latency. `test_notes` says in
    sentences what the test split is and how its figures are read. `figures` are drawn from what the runs left behind,
    beside those of every study. `sections` are those of the page between the differences and the interpretation; they
    are handed all figures.
    """

    beside_loss: tuple[Column, ...] = ()
    uses: tuple[Column, ...] = ()
    test_notes: Callable[[View, AnyMetrics], list[str]] = _plain_notes
    figures: Callable[[View, StudyFolder], list[Figure]] = _no_figures
    sections: Callable[[View, StudyFolder, Sequence[Figure]], list[Section]] = _no_sections


PAGES: Registry[TaskPage] = Registry("page", modules_of_folders("whichtune.tasks", "page"))


def page_of(view: View) -> TaskPage:
    """What the study's task adds."""
    task = view.study.task
    return PAGES[task] if task in PAGES else TaskPage()
