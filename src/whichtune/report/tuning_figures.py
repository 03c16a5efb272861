"""The search of a study as figures: curves of the expected best score, and scores against learning rates.

Scores are percentages here, losses as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import JsonValue

from whichtune.evidence.tuning_sentences import CENTRE
from whichtune.metrics import metric_title
from whichtune.report import words
from whichtune.report.drawing.kinds import (
    Data,
    DrawPoint,
    Figure,
    GainPanel,
    GainPoint,
    Gains,
    Sensitivity,
    SensitivityPanel,
    Span,
)
from whichtune.report.score_figures import is_wide
from whichtune.report.view import View
from whichtune.report.words import scale_of
from whichtune.stats.tuning import Axis, CurvePoint, LineFigures, TuningFigures
from whichtune.study.spaces import Choice
from whichtune.wording import plural


@dataclass(frozen=True)
class GainAxis:
    """What the expected best is drawn against: `divisor` takes the stored figure to the axis, `show` writes it."""

    key: Axis
    name: str
    divisor: float
    show: words.Show

    def of(self, point: CurvePoint) -> float | None:
        stored = {"draws": point.draws, "flops": point.flops, "seconds": point.seconds}[self.key]
        return None if stored is None else stored / self.divisor


DRAWS = GainAxis("draws", "draws", 1, words.whole)
OPERATIONS = GainAxis("flops", "training operations (GFLOP)", 1e9, words.giga_operations)
SECONDS = GainAxis("seconds", "training time (s)", 1, words.seconds)


def tuning_figures(view: View) -> list[Figure]:
    """The curves by draws, and by what they cost; then scores against learning rates."""
    tuning = view.summary.tuning
    if tuning is None:
        return []
    costs = SECONDS if tuning.unit == "seconds" else OPERATIONS
    found = [_gains(view, tuning, DRAWS), _gains(view, tuning, costs), _sensitivity(view, tuning)]
    return [figure for figure in found if figure is not None]


def _gains(view: View, tuning: TuningFigures, axis: GainAxis) -> Gains | None:
    """A panel a row: its expected best with its interval, the other rows' grey behind it."""
    factor, digits, unit = scale_of(tuning.metric)
    panels = [
        GainPanel(line.label, view.mark(line.label), curve)
        for line in tuning.lines
        if (curve := _curve(line, axis, factor))
    ]
    if not panels:
        return None
    metric = metric_title(tuning.metric)
    return Gains(
        name="tuning" if axis is DRAWS else f"tuning-{axis.key}",
        title=f"Expected best validation {metric} against {axis.name.split(' (')[0]}",
        axis_x=axis.name,
        axis_y=f"Validation {metric}{unit}",
        log=axis is not DRAWS and is_wide([point.x for panel in panels for point in panel.curve]),
        caption="Line: the mean best validation score over every choice of so many draws. Shaded: its 95 % "
        f"interval over resampled draws. Grey: the other rows.{_ended_alone(tuning)}",
        alt=f"Expected best validation {metric} against {axis.name} for {plural(len(panels), 'row')}; the values "
        "follow as a table.",
        panels=panels,
        data=Data(
            ["run", *dict.fromkeys(["draws", axis.name]), f"expected best{unit}", "95 % interval"],
            [_gain_row(panel, point, axis, digits) for panel in panels for point in panel.curve],
        ),
    )


def _ended_alone(tuning: TuningFigures) -> str:
    halved = any(line.rungs for line in tuning.lines)
    return " Draws that were dropped before their end are left out." if halved else ""


def _curve(line: LineFigures, axis: GainAxis, factor: float) -> list[GainPoint]:
    return [
        GainPoint(
            x,
            factor * point.best,
            None if point.low is None or point.high is None else (factor * point.low, factor * point.high),
            point.draws,
        )
        for point in line.curve
        if (x := axis.of(point)) is not None
    ]


def _gain_row(panel: GainPanel, point: GainPoint, axis: GainAxis, digits: int) -> list[str]:
    cost = [] if axis is DRAWS else [axis.show(point.x * axis.divisor)]
    return [panel.title, str(point.draws), *cost, words.number(point.y, digits), words.span(point.span, digits)]


def _sensitivity(view: View, tuning: TuningFigures) -> Sensitivity | None:
    """A panel a row: the score of each draw against its learning rate."""
    factor, digits, unit = scale_of(tuning.metric)
    panels = [
        SensitivityPanel(line.label, view.mark(line.label), points, _range(line))
        for line in tuning.lines
        if (points := _draw_points(line, factor))
    ]
    if not panels or min(panel.range[0] for panel in panels) <= 0:
        return None
    metric = metric_title(tuning.metric)
    return Sensitivity(
        name="sensitivity",
        title=f"Validation {metric} against the learning rate",
        axis_x="learning rate",
        axis_y=f"Validation {metric}{unit}",
        caption="One dot a draw, the selected one marked; its other settings were drawn too. Between the upright "
        f"lines: the range that was searched.{_ended_alone(tuning)}",
        alt=f"Validation {metric} of each draw against its learning rate, for {plural(len(panels), 'row')}; "
        "the values follow as a table.",
        panels=panels,
        data=Data(
            ["run", "draw", "learning rate", f"validation {metric}{unit}", ""],
            [
                [panel.title, str(p.number), f"{p.x:g}", words.number(p.y, digits), "selected" if p.selected else ""]
                for panel in panels
                for p in sorted(panel.points, key=lambda p: p.x)
            ],
        ),
    )


def _draw_points(line: LineFigures, factor: float) -> list[DrawPoint]:
    return [
        DrawPoint(draw.number, _rate(draw.settings[CENTRE]), factor * draw.score, draw.number == line.selected)
        for draw in line.ended
        if draw.score is not None and CENTRE in draw.settings
    ]


def _range(line: LineFigures) -> Span:
    space = line.spaces[CENTRE]
    ends = list(map(_rate, space.choices)) if isinstance(space, Choice) else [space.low, space.high]
    return min(ends), max(ends)


def _rate(value: JsonValue) -> float:
    assert isinstance(value, (int, float))  # a learning rate
    return float(value)
