"""The page's section on classes: results by class, and a confusion matrix a row."""

from __future__ import annotations

from collections.abc import Sequence

from whichtune.report.drawing.kinds import Classes, Confusion, Figure
from whichtune.report.drawing.on_page import mapped
from whichtune.report.figures import of_kind
from whichtune.report.templates import Section, render


def classes_section(drawn: Sequence[Figure]) -> Section | None:
    """Results by class with the confusion matrices below; None where no row has a confusion matrix."""
    by_class = next(iter(of_kind(drawn, Classes)), None)
    if by_class is None:
        return None
    confusions = [mapped(figure) for figure in of_kind(drawn, Confusion)]
    return Section("classes", "Classes", render("classes.html.j2", classes=by_class, confusions=confusions))
