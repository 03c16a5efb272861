"""Figures as short as a reader of a terminal needs them, and texts that fit its columns."""

from __future__ import annotations

import re
from collections.abc import Sequence

from whichtune.metrics import METRICS
from whichtune.report.drawing.scales import text_units
from whichtune.report.words import NOTHING
from whichtune.wording import number

MINUTES_FROM = 90  # seconds
_UNIT = re.compile(r"(\d) (%|s|ms|min|h|k|M|G|T|MiB|GiB|points?|seconds|minutes|hours)(?=[\s.,;:)]|$)")


def duration(seconds: float | None) -> str:
    """`0.02 s`, `1.6 s`, `61 s`, `1.5 min`, `12 min`, `2.3 h`."""
    if seconds is None:
        return NOTHING
    if seconds < MINUTES_FROM:
        return f"{_two_digits(seconds)} s" if seconds >= 0.01 else "<0.01 s"
    return f"{_two_digits(seconds / 60)} min" if seconds < 60 * MINUTES_FROM else f"{_two_digits(seconds / 3600)} h"


def milliseconds(value: float | None) -> str:
    """`0.03 ms`, `4.1 ms`, `120 ms`, `1.5 s`."""
    if value is None:
        return NOTHING
    if value >= 1000:
        return f"{_two_digits(value / 1000)} s"
    return f"{_two_digits(value)} ms" if value >= 0.01 else "<0.01 ms"


def count(value: float | None) -> str:
    """`770`, `2.2 k`, `39 k`, `1.8 M`, `1.2 G`."""
    if value is None:
        return NOTHING
    if value < 1000:
        return f"{value:.0f}"
    for unit in ("k", "M", "G"):
        value /= 1000
        if value < 999.5:
            return f"{_two_digits(value)} {unit}"
    return f"{_two_digits(value / 1000)} T"


def memory(value: float | None) -> str:
    """`43 MiB`, `272 MiB`, `1.4 GiB`."""
    if value is None:
        return NOTHING
    mib = value / 2**20
    return f"{max(1, round(mib))} MiB" if mib < 1000 else f"{_two_digits(mib / 1024)} GiB"


def figure(metric: str, value: float | None) -> str:
    """A recorded figure of a metric in percent with one digit, or in nats with three: `97.2`, `0.412`."""
    if value is None:
        return NOTHING
    return number(METRICS[metric].scale * value, digits_of(metric))


def digits_of(metric: str) -> int:
    return 1 if METRICS[metric].unit == "points" else 3


def unit_of(metric: str) -> str:
    return " %" if METRICS[metric].unit == "points" else ""


def _two_digits(value: float) -> str:
    """Two significant digits, and every digit before the point."""
    if value >= 9.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 0.95 else f"{value:.2f}".rstrip("0").rstrip(".")


def cut(text: str, units: int) -> str:
    """A text that is wider than so many columns with an ellipsis in its middle: both ends of a name tell it apart."""
    if text_units(text) <= units:
        return text
    room = max(1, units) - 1
    head, tail = "", ""
    for sign in text:
        if text_units(head + sign) > (room + 1) // 2:
            break
        head += sign
    for sign in reversed(text):
        if text_units(sign + tail) > room - text_units(head):
            break
        tail = sign + tail
    return f"{head}…{tail}"


def padded(text: str, units: int, left: bool) -> str:
    room = " " * max(0, units - text_units(text))
    return text + room if left else room + text


def wrapped(text: str, units: int) -> list[str]:
    """Lines of whole words, a number together with its unit; a word that is wider than a line is cut in its middle."""
    text = " ".join(text.split())
    lines = [""]
    for word in (cut(word, units) for word in _UNIT.sub("\\1\u00a0\\2", text).split(" ")):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if text_units(longer) <= units:
            lines[-1] = longer
        else:
            lines.append(word)
    return [line.replace("\u00a0", " ") for line in lines]


def shortened(text: str, names: Sequence[str], units: int) -> str:
    """A sentence in which names that are wider than so many columns are cut in their middle."""
    for name in sorted(names, key=len, reverse=True):
        if text_units(name) > units:
            text = text.replace(name, cut(name, units))
    return text
