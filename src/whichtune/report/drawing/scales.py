"""Axes: where values lie, and where ticks stand. Lengths are pixels."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Anchor = Literal["start", "middle", "end"]


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


FEW = 2.0  # scores up to here are nats or costs, or percentages next to nothing


def score_range(values: Sequence[float], share: float) -> tuple[float, float]:
    """The range of scores in percent with some room on both sides, little of it beyond 0 and 100."""
    low, high = padded(values, share, 0.4 if max(values) > FEW else FEW / 100)
    return (max(low, -3.0) if min(values) >= 0 else low), (min(high, 103.0) if max(values) <= 100 else high)


def score_ticks(scale: Scale, most: int = 6) -> list[float]:
    """Ticks of an axis of scores; none beyond 0 and 100 where only the room for marks is."""
    low, high = (0.0 if scale.low >= -3 else scale.low), (100.0 if scale.high <= 103 else scale.high)
    return [tick for tick in nice_ticks(scale.low, scale.high, most) if low <= tick <= high]


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
