"""The figures of a report, computed once as plain values and drawn in the page and as files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from whichtune.records.store import StudyFolder
from whichtune.report.decision_figure import decision_figure
from whichtune.report.drawing.kinds import Figure
from whichtune.report.learning import growth_figure
from whichtune.report.matrices import matrix_figures
from whichtune.report.published_curves import published_curve_figure
from whichtune.report.score_figures import cost_bars, cost_figures, score_dots
from whichtune.report.sections import page_of
from whichtune.report.training_figures import curve_figures
from whichtune.report.tuning_figures import tuning_figures
from whichtune.report.view import View

Kind = TypeVar("Kind", bound=Figure)


def all_figures(view: View, folder: StudyFolder) -> list[Figure]:
    """Every figure that this study's records can fill, in the order of the page.

    Raises StoreError where what a run left behind cannot be read.
    """
    found: list[Figure | None] = [
        decision_figure(view),
        score_dots(view),
        *cost_figures(view),
        growth_figure(view),
        *tuning_figures(view),
        *curve_figures(view),
        published_curve_figure(view),
        cost_bars(view),
        *matrix_figures(view),
        *page_of(view).figures(view, folder),
    ]
    return [figure for figure in found if figure is not None]


def of_kind(figures: Sequence[Figure], kind: type[Kind]) -> list[Kind]:
    """Those of one kind, in their order."""
    return [figure for figure in figures if isinstance(figure, kind)]
