"""A scatter plot in text, for terminals."""

from __future__ import annotations

from whichtune.report.drawing.kinds import Mark, Scatter
from whichtune.report.drawing.scales import FEW, Scale, clip, log_ticks, nice_ticks, padded, padded_log, tick_text

HEIGHT = 11
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SIGNS: dict[Mark, str] = {"recommended": "◆", "best": "▲", "baseline": "□", "run": "●"}


def text_scatter(figure: Scatter, width: int) -> list[str]:
    """Lines of a plot of score against cost: a letter a row of the study, each named below with its figures.

    Where two rows fall on one place, `*` stands there; the list below tells them apart.
    """
    points = sorted(figure.points, key=lambda p: (-p.y, p.x))[: len(LETTERS)]
    left = 7
    xs = [p.x for p in points]
    across = padded_log(xs) if figure.log else (0.0, max(xs) * 1.1 or 1.0)
    low, high = padded([p.y for p in points], 0.08, 0.5 if max(p.y for p in points) > FEW else FEW / 100)
    x = Scale(*across, left, max(left + 20, width - 2), figure.log)
    y = Scale(low, high, HEIGHT - 1, 0)
    columns = round(x.end) + 1
    canvas = [[" "] * left + ["│"] + [" "] * (columns - left - 1) for _ in range(HEIGHT)]
    for tick in (t for t in nice_ticks(low, high, 5) if 0 <= t <= 100):
        for place, sign in enumerate(tick_text(tick).rjust(left - 1)):
            canvas[round(y(tick))][place] = sign
        canvas[round(y(tick))][left] = "┤"
    for letter, point in zip(LETTERS, points, strict=False):
        row, column = round(y(point.y)), round(x(point.x))
        canvas[row][column] = letter if canvas[row][column] in " ┤│" else "*"
    lines = ["".join(row).rstrip() for row in canvas]
    lines += [" " * left + "└" + "─" * (columns - left - 1), _below(x, figure.log, across, columns)]
    lines.append(f"{figure.axis_x}{', logarithmic' if figure.log else ''}".rjust(columns))
    named = [
        f"{letter} {SIGNS[p.mark]} {clip(p.label, 34)}: {p.told}, {p.cost}"
        for letter, p in zip(LETTERS, points, strict=False)
    ]
    return [figure.title, *lines, *named]


def _below(x: Scale, log: bool, across: tuple[float, float], columns: int) -> str:
    """The ticks under the axis, each left out where it would touch the one before."""
    line = [" "] * (columns + 8)
    free = 0
    for tick in log_ticks(*across) if log else nice_ticks(*across, 6):
        text = tick_text(tick)
        start = max(0, round(x(tick)) - len(text) // 2)
        if start >= free:
            line[start : start + len(text)] = text
            free = start + len(text) + 1
    return "".join(line).rstrip()
