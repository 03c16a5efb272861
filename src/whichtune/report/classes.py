"""The page's section on classes: results by class, and a confusion matrix a row."""

from __future__ import annotations

from collections.abc import Sequence

from whichtune.report import svg
from whichtune.report.figures import Figure
from whichtune.report.templates import Section, render


def classes_section(drawn: Sequence[Figure]) -> Section | None:
    """Results by class with the confusion matrices below; None where no row has a confusion matrix."""
    by_class = next((figure for figure in drawn if figure["kind"] == "matrix" and figure["name"] == "classes"), None)
    if by_class is None:
        return None
    confusions = [
        {**figure, "drawn": None if figure["written"] else svg.confusion_grid(figure)}
        for figure in drawn
        if figure["kind"] == "confusion"
    ]
    return Section("classes", "Classes", render("classes.html.j2", classes=by_class, confusions=confusions))
