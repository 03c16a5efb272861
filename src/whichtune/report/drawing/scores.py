"""Scores by seed, and bars. A phone gets its own size, so that its text stays readable."""

from __future__ import annotations

from whichtune.report.drawing.canvas import Canvas, clip_all, width_of
from whichtune.report.drawing.kinds import BarPanel, Bars, Dots, ScoredRow
from whichtune.report.drawing.scales import Scale, score_range, score_ticks

WIDE, NARROW = 760, 360
BAR_WIDTH, BAR_STEP = 360, 24
BAR_NAME = 160.0  # pixels that a bar's name may take
MARK_SIZE = 5.5
NAME_ROOM = 270.0  # pixels that names may take
ROW_ROOM = 9.0  # above and below a row's line on a phone


def dots(figure: Dots, width: int = WIDE) -> Canvas:
    """Every seed, the mean and its interval; labels on the left, on a phone above their row, where no grid passes."""
    narrow = width < 500
    longest = max(width_of(row.label) for row in figure.rows)
    left = 14.0 if narrow else min(NAME_ROOM, longest + 24)
    right = width - 62.0
    step, top = (38, 8) if narrow else (26, 10)
    bottom = top + step * len(figure.rows)
    values = [v for row in figure.rows for v in (row.mean, *(row.span or ()), *(score for _, score in row.seeds))]
    x = Scale(*score_range(values, 0.04), left, right)
    canvas = Canvas(width, bottom + 44, figure.alt, "dots")
    levels = [top + step * (place + 0.5) + (8 if narrow else 0) for place in range(len(figure.rows))]
    rows = [(y - ROW_ROOM, y + ROW_ROOM) for y in levels] if narrow else [(top, bottom)]
    canvas.across(x, rows, score_ticks(x, 4 if narrow else 7), figure.axis)
    names = clip_all([row.label for row in figure.rows], width - 20.0 if narrow else left - 18)
    for row, name, y in zip(figure.rows, names, levels, strict=True):
        canvas.line(left, y, right, y, "rule")
        note = row.label if name != row.label else ""
        if narrow:
            canvas.text(2.0, y - ROW_ROOM - 4, name, "name", note=note)
        else:
            canvas.text(left - 14, y + 4, name, "name", "end", note=note)
        _seeds_and_mean(canvas, row, x, y)
        canvas.text(width - 4, y + 4, f"{row.mean:.{row.digits}f}", "value", "end")
    return canvas


def _seeds_and_mean(canvas: Canvas, row: ScoredRow, x: Scale, y: float) -> None:
    if row.span is not None:
        canvas.line(x(max(row.span[0], x.low)), y, x(min(row.span[1], x.high)), y, f"whisker c-{row.mark}")
    canvas.mark(row.mark, x(row.mean), y, MARK_SIZE, f"{row.label}: mean {row.told(row.mean)}")
    for seed, score in row.seeds if len(row.seeds) > 1 else []:
        canvas.circle(x(score), y, 3, "seed", f"seed {seed}: {row.told(score)}")


def bar_panels(figure: Bars) -> list[tuple[str, Canvas]]:
    """A small drawing for each panel, by its title; every axis begins at zero."""
    return [(panel.title, _bar_panel(panel)) for panel in figure.panels]


def _bar_panel(panel: BarPanel) -> Canvas:
    bars = panel.bars
    left = min(BAR_NAME, max(width_of(bar.label) for bar in bars)) + 14
    right = BAR_WIDTH - max(width_of(bar.text) for bar in bars) - 12
    x = Scale(0, max(bar.value for bar in bars) or 1.0, left, right)
    canvas = Canvas(BAR_WIDTH, BAR_STEP * len(bars) + 6, f"Bar chart: {panel.title}.", "bars")
    canvas.line(left, 0, left, BAR_STEP * len(bars) + 4, "rule")
    names = clip_all([bar.label for bar in bars], BAR_NAME)
    for place, (bar, name) in enumerate(zip(bars, names, strict=True)):
        y = 3 + BAR_STEP * place
        canvas.text(left - 8, y + 15, name, "name", "end", note=bar.label if name != bar.label else "")
        long = max(1.0, x(bar.value) - left)
        faint = " bar-baseline" if bar.mark == "baseline" else ""
        canvas.rectangle(left, y + 3, long, BAR_STEP - 9, f"b-{bar.mark}{faint}")
        canvas.text(left + long + 6, y + 15, bar.text, "value")
    return canvas
