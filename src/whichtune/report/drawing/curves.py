"""Curves of training and of a search: a small drawing for each row, all on one scale."""

from __future__ import annotations

from collections.abc import Sequence

from whichtune.report.drawing.canvas import Canvas, spaced, tick_room
from whichtune.report.drawing.kinds import (
    CurveLine,
    CurvePanel,
    Curves,
    GainPanel,
    GainPoint,
    Gains,
    Point,
    Sensitivity,
    SensitivityPanel,
)
from whichtune.report.drawing.scales import Scale, log_ticks, nice_ticks, padded, padded_log, tick_text
from whichtune.report.drawing.scores import MARK_SIZE, WIDE

Panel = tuple[str, Canvas]  # its title and its drawing
Size = tuple[int, int]
SMALL: Size = (250, 170)
MEDIUM: Size = (300, 200)
JOINED: Size = (WIDE, 360)
TOP, RIGHT, BOTTOM = 8.0, 10.0, 38.0  # margins; the left one is that of the ticks
MOST_TICKS = {SMALL: (5, 4), MEDIUM: (6, 5), JOINED: (8, 7)}  # across and upward
FEW_POINTS = 8  # up to which each point of a curve is marked
FEW_GAINS = 20


def _scales(size: Size, across: Point, upward: Point, log: bool = False) -> tuple[Scale, Scale]:
    y = Scale(*upward, size[1] - BOTTOM, TOP)
    return Scale(*across, max(30.0, tick_room(_upward(size, y))), size[0] - RIGHT, log), y


def _upward(size: Size, y: Scale) -> list[float]:
    return nice_ticks(y.low, y.high, MOST_TICKS[size][1])


def _ground(size: Size, x: Scale, y: Scale, alt: str, axis: str) -> Canvas:
    """A canvas with both axes."""
    canvas = Canvas(*size, alt, "curves")
    canvas.upward(y, x.start, x.end, _upward(size, y))
    canvas.line(x.start, y.start, x.end, y.start, "rule")
    ticks = log_ticks(x.low, x.high) if x.log else nice_ticks(x.low, x.high, MOST_TICKS[size][0])
    for tick, text in spaced(ticks, x, [tick_text(tick) for tick in ticks]):
        canvas.tick(x(tick), y.start + 15, text)
    canvas.axis((x.start + x.end) / 2, size[1] - 6, axis, "tick")
    return canvas


# -- training -----------------------------------------------------------------------------------------


def curve_panels(figure: Curves) -> list[Panel]:
    """Loss or score over training."""
    if not figure.panels:
        return []
    size = JOINED if figure.joined else SMALL
    points = [point for panel in figure.panels for line in panel.lines for point in line.points]
    low, high = padded([y for _, y in points], 0.05, 0.01)
    across = (min(0.0, *(x for x, _ in points)), max(x for x, _ in points) or 1.0)
    x, y = _scales(size, across, (max(low, 0.0), high))
    return [(panel.title, _curve_panel(figure, panel, size, x, y)) for panel in figure.panels]


def _curve_panel(figure: Curves, panel: CurvePanel, size: Size, x: Scale, y: Scale) -> Canvas:
    alt = f"{figure.title}: {panel.title}, {len(panel.lines)} lines."
    canvas = _ground(size, x, y, alt, figure.axis_x)
    for line in panel.lines:
        _curve(canvas, line, panel.is_faint(line), x, y, figure.axis_x)
    return canvas


def _curve(canvas: Canvas, line: CurveLine, faint: bool, x: Scale, y: Scale, axis: str) -> None:
    colour = "c-published" if line.series == "published" else f"c-{line.mark}"
    drawn = [(x(a), y(b)) for a, b in line.points]
    seed = "" if line.seed is None else f", seed {line.seed}"
    look = f"curve {colour} {line.series}{' faint' if faint else ''}"
    canvas.path(drawn, look, f"{line.label}, {line.series}{seed}")
    for a, b in drawn if len(drawn) <= FEW_POINTS else []:
        canvas.circle(a, b, 2.2, f"point {colour}")
    if line.best and not faint:
        across, up = line.best
        note = f"best point: {tick_text(across)} {axis}, {up:.4g}"
        canvas.circle(x(across), y(up), 4.4, f"best-point {colour}", note)


# -- a search -----------------------------------------------------------------------------------------


def gain_panels(figure: Gains) -> list[Panel]:
    """Each row's expected best with its interval, the others' in grey."""
    points = [point for panel in figure.panels for point in panel.curve]
    xs = [point.x for point in points]
    across = padded_log(xs) if figure.log else padded(xs, 0.05, 0.2)
    upward = padded([v for p in points for v in (p.y, *(p.span or ()))], 0.07, 0.01)
    x, y = _scales(MEDIUM, across if figure.log else (max(across[0], 0.0), across[1]), upward, figure.log)
    return [(panel.title, _gain_panel(figure, panel, x, y)) for panel in figure.panels]


def _gain_panel(figure: Gains, panel: GainPanel, x: Scale, y: Scale) -> Canvas:
    canvas = _ground(MEDIUM, x, y, f"{figure.title}: {panel.title}.", figure.axis_x)
    for other in figure.panels:
        if other is not panel:
            canvas.path(_middle(other.curve, x, y), "curve c-other", other.title)
    curve = panel.curve
    spans = [(point.x, point.span) for point in curve if point.span is not None]
    if len(spans) > 1:
        edges = [(x(at), y(high)) for at, (_, high) in spans] + [(x(at), y(low)) for at, (low, _) in reversed(spans)]
        canvas.path(edges, f"band b-{panel.mark}", closed=True)
    canvas.path(_middle(curve, x, y), f"curve c-{panel.mark}")
    for point in curve if len(curve) <= FEW_GAINS else curve[-1:]:
        note = f"{panel.title}, {point.draws:,} {point.unit}: {point.y:.4g}"
        canvas.circle(x(point.x), y(point.y), 2.4, f"point c-{panel.mark}", note)
    return canvas


def _middle(curve: Sequence[GainPoint], x: Scale, y: Scale) -> list[Point]:
    return [(x(point.x), y(point.y)) for point in curve]


def sensitivity_panels(figure: Sensitivity) -> list[Panel]:
    """Each draw's score against its learning rate, with the ends of the range."""
    xs = [v for panel in figure.panels for v in (*panel.range, *(point.x for point in panel.points))]
    upward = padded([point.y for panel in figure.panels for point in panel.points], 0.07, 0.01)
    x, y = _scales(MEDIUM, padded_log(xs), upward, log=True)
    return [(panel.title, _sensitivity_panel(figure, panel, x, y)) for panel in figure.panels]


def _sensitivity_panel(figure: Sensitivity, panel: SensitivityPanel, x: Scale, y: Scale) -> Canvas:
    canvas = _ground(MEDIUM, x, y, f"{figure.title}: {panel.title}.", figure.axis_x)
    for end in panel.range:
        canvas.line(x(end), y.end, x(end), y.start, "range")
    for point in sorted(panel.points, key=lambda point: point.selected):
        note = f"draw {point.number}: learning rate {point.x:g}, {point.y:.4g}"
        if point.selected:
            canvas.mark(panel.mark, x(point.x), y(point.y), MARK_SIZE, f"{note}, selected")
        else:
            canvas.circle(x(point.x), y(point.y), 3.4, "seed", note)
    return canvas
