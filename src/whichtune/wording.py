"""Counts, lists and numbers as sentences have them. Imports nothing of the package."""

from __future__ import annotations

from collections.abc import Sequence


def plural(n: int, noun: str, many: str | None = None) -> str:
    """`1 row`, `2 rows`, `1,045 examples`, `2 classes`."""
    return f"{n:,} {noun if n == 1 else many or noun + 's'}"


def listing(items: Sequence[str], last: str = "and", most: int | None = None) -> str:
    """`a`, `a and b`, `a, b and c`; of more than `most` items the tail is counted instead of named."""
    if most is not None and len(items) > most:
        return f"{', '.join(items[:most])} {last} {len(items) - most} more"
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {last} {items[-1]}"


def number(value: float, digits: int = 1) -> str:
    """Rounded, without a minus before zero."""
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text
