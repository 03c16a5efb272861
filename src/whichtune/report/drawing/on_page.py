"""Figures as the page shows them: with both sizes, or a drawing a panel, in its own markup."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from whichtune.report.drawing.calibration import calibration_panels
from whichtune.report.drawing.costs import SMALL_NARROW, SMALL_WIDE, decision, scatter
from whichtune.report.drawing.curves import Panel, curve_panels, gain_panels, sensitivity_panels
from whichtune.report.drawing.kinds import (
    MARKS,
    Bars,
    Calibration,
    Confusion,
    Curves,
    Decision,
    Dots,
    Gains,
    Mark,
    Scatter,
    Sensitivity,
)
from whichtune.report.drawing.matrices import confusion_map
from whichtune.report.drawing.scores import NARROW, WIDE, bar_panels, dots
from whichtune.report.drawing.svg import in_page, legend_mark

InTwoSizes = Dots | Scatter | Decision
InPanels = Bars | Calibration | Curves | Gains | Sensitivity
Layout = Literal["small", "medium", "joined"]


@dataclass(frozen=True)
class TwoSizes:
    """A phone gets its own drawing, so that its text stays readable; the style sheet shows one of the two."""

    figure: InTwoSizes
    wide: Markup
    narrow: Markup


@dataclass(frozen=True)
class Panels:
    """Each panel by its title; `layout` says how wide the style sheet makes them."""

    figure: InPanels
    layout: Layout
    drawn: list[tuple[str, Markup]]


@dataclass(frozen=True)
class Mapped:
    """A confusion matrix; a table of its cells where these are few, else a map."""

    figure: Confusion
    drawn: Markup | None


def two_sizes(figure: InTwoSizes) -> TwoSizes:
    if isinstance(figure, Dots):
        return TwoSizes(figure, in_page(dots(figure, WIDE)), in_page(dots(figure, NARROW)))
    if isinstance(figure, Decision):
        return TwoSizes(figure, in_page(decision(figure, SMALL_WIDE)), in_page(decision(figure, SMALL_NARROW)))
    return TwoSizes(figure, in_page(scatter(figure, WIDE)), in_page(scatter(figure, NARROW)))


def panels(figure: InPanels) -> Panels:
    if isinstance(figure, Curves):
        return Panels(figure, "joined" if figure.joined else "small", _written(curve_panels(figure)))
    if isinstance(figure, Bars):
        return Panels(figure, "medium", _written(bar_panels(figure)))
    if isinstance(figure, Calibration):
        return Panels(figure, "small", _written(calibration_panels(figure)))
    found = gain_panels(figure) if isinstance(figure, Gains) else sensitivity_panels(figure)
    return Panels(figure, "medium", _written(found))


def _written(found: list[Panel]) -> list[tuple[str, Markup]]:
    return [(title, in_page(canvas)) for title, canvas in found]


def mapped(figure: Confusion) -> Mapped:
    return Mapped(figure, None if figure.written else in_page(confusion_map(figure)))


def legend(used: Collection[Mark]) -> list[tuple[Markup, str]]:
    """The marks in use, each with its name."""
    return [(legend_mark(mark), name) for mark, name in MARKS.items() if mark in used]
