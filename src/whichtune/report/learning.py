"""How scores grow with the number of training texts: the section of the page, and its figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from whichtune.metrics import METRICS, metric_title
from whichtune.report.drawing.kinds import Data, Figure, GainPanel, GainPoint, Growth
from whichtune.report.drawing.on_page import Panels, panels
from whichtune.report.score_figures import unit_of
from whichtune.report.tables import Table
from whichtune.report.view import View
from whichtune.report.words import NOTHING, number, span
from whichtune.stats.growth import LearningCurve


@dataclass(frozen=True)
class LearningContent:
    """What the section shows."""

    sentences: list[str]
    figures: list[Panels]
    table: Table


def learning_content(view: View, drawn: Sequence[Figure]) -> LearningContent | None:
    """The section on learning curves; None where no sizes were varied."""
    figures = view.summary.learning
    if figures is None:
        return None
    shown = [panels(figure) for figure in drawn if isinstance(figure, Growth)]
    known = METRICS[figures.metric]
    unit, digits = unit_of(known), 1 if known.unit == "points" else known.digits
    come, foretold, seen = (f"{what} {unit}" for what in ("more texts alone come to", "largest foretold", "seen"))
    header = ["row", "texts", "exponent", come, foretold, seen, "fits"]
    lines = [_line(curve, digits) for curve in figures.curves]
    return LearningContent(figures.sentences, shown, Table(header, lines))


def _line(curve: LearningCurve, digits: int) -> list[str]:
    sizes = f"{curve.points[0].size:,} to {curve.points[-1].size:,}"
    if curve.exponent is None or curve.foretold is None:
        return [curve.name, sizes, *[NOTHING] * 5]
    found = curve.foretold
    return [
        curve.name,
        sizes,
        f"{number(curve.exponent)} ({span(curve.exponent_interval)})",
        f"{number(curve.ceiling, digits)} ({span(curve.ceiling_interval, digits)})",
        f"{number(found.score, digits)} ({span(found.interval, digits)})",
        number(found.seen, digits),
        "yes" if found.holds else "no",
    ]


def growth_figure(view: View) -> Growth | None:
    """The learning curves, on a logarithmic axis of texts."""
    figures = view.summary.learning
    if figures is None:
        return None
    metric, known = metric_title(figures.metric), METRICS[figures.metric]
    unit = unit_of(known)
    return Growth(
        name="learning",
        title=f"Test {metric} against training texts",
        axis_x="training texts",
        axis_y=f"Test {metric} ({unit})",
        log=True,
        caption="The band is the 95 % interval at each number of texts, for new seeds and new test texts, with this "
        "one nested draw of training texts. Grey: the other rows. The axis of texts is logarithmic.",
        alt=f"Learning curves of {len(figures.curves)} rows.",
        panels=[
            GainPanel(
                title=curve.name,
                mark="baseline" if curve.baseline else "run",
                curve=[
                    GainPoint(point.size, point.score, point.interval, point.size, "texts") for point in curve.points
                ],
            )
            for curve in figures.curves
        ],
        data=Data(
            ["row", "training texts", f"{metric} {unit}", "95 % interval"],
            [
                [curve.name, f"{point.size:,}", number(point.score, known.digits), span(point.interval, known.digits)]
                for curve in figures.curves
                for point in curve.points
            ],
        ),
    )
