"""Reliability diagrams: how often answers were right against how sure they were, a small drawing for each row."""

from __future__ import annotations

from whichtune.report.drawing.canvas import Canvas, spaced, tick_room
from whichtune.report.drawing.kinds import Calibration, ReliabilityPanel
from whichtune.report.drawing.scales import Scale, nice_ticks, padded, tick_text

WIDTH, HEIGHT = 230, 250
TOP, RIGHT, BOTTOM = 26.0, 10.0, 38.0
DOT = 3.2


def calibration_panels(figure: Calibration) -> list[tuple[str, Canvas]]:
    """A panel a row by its title, all on one scale, which both axes share."""
    values = [v for panel in figure.panels for bin_ in panel.bins for v in (bin_.x, bin_.y, *bin_.span)]
    low, high = padded(values, 0.05, 0.5)
    ends = (max(low, -4.0), min(high, 104.0))
    y = Scale(*ends, HEIGHT - BOTTOM, TOP)
    ticks = [tick for tick in nice_ticks(*ends, 5) if 0 <= tick <= 100]
    x = Scale(*ends, tick_room(ticks), WIDTH - RIGHT)
    return [(panel.title, _panel(figure, panel, x, y, ticks)) for panel in figure.panels]


def _panel(figure: Calibration, panel: ReliabilityPanel, x: Scale, y: Scale, ticks: list[float]) -> Canvas:
    alt = f"{figure.title}: {panel.title}, expected calibration error {panel.error:.2f} %."
    canvas = Canvas(WIDTH, HEIGHT, alt, "calibration")
    canvas.upward(y, x.start, x.end, ticks)
    canvas.line(x.start, y.start, x.end, y.start, "rule")
    for tick, text in spaced(ticks, x, [tick_text(tick) for tick in ticks]):
        canvas.line(x(tick), y.start, x(tick), y.end, "grid")
        canvas.tick(x(tick), y.start + 15, text)
    canvas.axis((x.start + x.end) / 2, HEIGHT - 6, figure.axis_x, "tick")
    canvas.text(x.start, 15, f"ECE {panel.error:.2f} %", "value")  # above the plot: in it a point may lie anywhere
    ends = (max(x.low, 0.0), min(x.high, 100.0))
    canvas.line(x(ends[0]), y(ends[0]), x(ends[1]), y(ends[1]), "range")
    for bin_ in panel.bins:
        canvas.line(x(bin_.x), y(bin_.span[0]), x(bin_.x), y(bin_.span[1]), f"whisker c-{panel.mark}")
    for bin_ in panel.bins:
        note = (
            f"{bin_.answers:,} answers, {bin_.x:.1f} % sure: {bin_.y:.1f} % right "
            f"({bin_.span[0]:.1f} to {bin_.span[1]:.1f})"
        )
        canvas.circle(x(bin_.x), y(bin_.y), DOT, f"point c-{panel.mark}", note)
    return canvas
