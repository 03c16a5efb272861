"""Axes: where values lie, where ticks stand, where labels fit. Lengths are pixels."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Anchor = Literal["start", "middle", "end"]
Box = tuple[float, float, float, float]  # left, top, right, bottom
Spot = tuple[float, float, Anchor]  # of a label's baseline


@dataclass(frozen=True)
class Scale:
    """Maps values from `low..high` to pixels `start..end`."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high = (math.log10(self.low), math.log10(self.high)) if self.log else (self.low, self.high)
        at = math.log10(value) if self.log else value
        return self.start + (at - low) / ((high - low) or 1) * (self.end - self.start)


def nice_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten within the range, at most so many."""
    if high <= low:
        return [low]
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    ticks: list[float] = []
    for step in (m * power for m in (1, 2, 5, 10, 20)):  # the finest that are few enough
        first = math.ceil(low / step - 1e-9)
        ticks = [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]
        if len(ticks) <= most:
            break
    return ticks


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten within the range; with their halves and fifths where there are few."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    tens = [10.0**d for d in decades if low <= 10.0**d <= high]
    if len(tens) >= 3:
        step = math.ceil(len(tens) / 6)
        return tens[::step]
    return [m * 10.0**d for d in decades for m in (1, 2, 5) if low <= m * 10.0**d <= high] or [low, high]


def tick_text(value: float) -> str:
    """`0.5`, `20`, `5k`, `1.2M`: short enough for an axis."""
    for size, sign in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size and not (sign == "k" and abs(value) < 1e4):
            return f"{value / size:.3g}{sign}"
    return f"{value:.4g}" if abs(value) >= 1e-4 or value == 0 else f"{value:.0e}"


def padded(values: Iterable[float], share: float = 0.06, least: float = 0.0) -> tuple[float, float]:
    """The range of values with some room on both sides."""
    found = list(values)
    low, high = min(found), max(found)
    room = max((high - low) * share, least, abs(high) * 1e-6, 1e-9)
    return low - room, high + room


def padded_log(values: Iterable[float], share: float = 0.08) -> tuple[float, float]:
    low, high = padded([math.log10(value) for value in values], share, 0.05)
    return 10.0**low, 10.0**high


def text_units(text: str) -> int:
    """Columns of a text in a fixed-width font: Chinese signs and emoji take two, marks none."""
    return sum(
        0 if unicodedata.combining(c) or c in "\u200d\ufe0f" else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def clip(text: str, units: int) -> str:
    """The text, its tail cut for an ellipsis where it is wider than so many columns."""
    if text_units(text) <= units:
        return text
    kept, used = "", 0
    for sign in text:
        used += text_units(sign)
        if used > units - 1:
            break
        kept += sign
    return kept.rstrip() + "…"


def place_labels(
    points: Sequence[tuple[float, float, str]],
    frame: Box,
    size: float = 12,
    radius: float = 7,
    lines: Sequence[Box] = (),
) -> list[Spot | None]:
    """Where each point's label goes, or None where it fits nowhere.

    Greedy, in the order given, so that what matters most comes first. Labels overlap neither one another
    nor any point, and keep off `lines` where they can.
    """
    taken = [_around(x, y, radius) for x, y, _ in points]
    placed: list[Spot | None] = []
    for x, y, text in points:
        others = [box for box in taken if box != _around(x, y, radius)]
        fitting = [
            (spot, box)
            for spot, box in _spots(x, y, text_units(text) * size * 0.58, size, radius)
            if _inside(box, frame) and not any(_overlap(box, other) for other in others)
        ]
        clear = [(spot, box) for spot, box in fitting if not any(_overlap(box, line) for line in lines)]
        best = next(iter(clear + fitting), None)
        placed.append(None if best is None else best[0])
        if best is not None:
            taken.append(best[1])
    return placed


def _spots(x: float, y: float, width: float, size: float, radius: float) -> list[tuple[Spot, Box]]:
    """Where a label of this width may go, with what it would cover, from the best place to the worst."""
    gap = radius + 3
    near, above, below = gap * 0.7, y - gap * 0.8, y + (gap + size) * 0.8
    spots: list[Spot] = [
        (x + gap, y + size * 0.35, "start"),
        (x - gap, y + size * 0.35, "end"),
        (x, y - gap, "middle"),
        (x, y + gap + size * 0.8, "middle"),
        (x + near, above, "start"),
        (x + near, below, "start"),
        (x - near, above, "end"),
        (x - near, below, "end"),
    ]
    before = {"start": 0.0, "middle": width / 2, "end": width}
    lefts = [at - before[anchor] for at, _, anchor in spots]
    return [
        (spot, (left, spot[1] - size * 0.85, left + width, spot[1] + size * 0.25))
        for spot, left in zip(spots, lefts, strict=True)
    ]


def _around(x: float, y: float, radius: float) -> Box:
    return x - radius, y - radius, x + radius, y + radius


def _inside(box: Box, frame: Box) -> bool:
    return box[0] >= frame[0] and box[1] >= frame[1] and box[2] <= frame[2] and box[3] <= frame[3]


def box_of(a: tuple[float, float], b: tuple[float, float]) -> Box:
    """What a line from one point to another covers."""
    return min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]), max(a[1], b[1])


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
