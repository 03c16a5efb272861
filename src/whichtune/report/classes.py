"""The page's section on classes: results by class, and a confusion matrix a row."""

from __future__ import annotations

from collections.abc import Sequence

from whichtune.report.drawing.kinds import Classes, Confusion, Figure
from whichtune.report.drawing.on_page import Mapped, mapped
from whichtune.report.figures import of_kind
from whichtune.report.templates import Section, render
from whichtune.wording import plural

MOST_SIGNS = 400_000  # of confusion matrices, so that a page stays below 3 MB; a few dozen of few classes are no burden
OF_A_CELL = 120  # about what a table's cell takes


def classes_section(drawn: Sequence[Figure]) -> Section | None:
    """Results by class with the confusion matrices below; None where no row has a confusion matrix."""
    by_class = next(iter(of_kind(drawn, Classes)), None)
    if by_class is None:
        return None
    every = list(of_kind(drawn, Confusion))
    confusions = _carried(every)
    left = len(every) - len(confusions)
    note = f"The matrices of {plural(left, 'further row')} are left out for the page's size." if left else None
    return Section("classes", "Classes", render("classes.html.j2", classes=by_class, confusions=confusions, note=note))


def _carried(figures: Sequence[Confusion]) -> list[Mapped]:
    """The matrices that a page can carry, highest score first; one at least."""
    found: list[Mapped] = []
    room = MOST_SIGNS
    for figure in figures:
        shown = mapped(figure)
        cells = (len(figure.rows) ** 2 if figure.written else 0) + 5 * len(figure.rows)
        room -= len(shown.drawn or "") + OF_A_CELL * cells
        if found and room < 0:
            break
        found.append(shown)
    return found
