"""Figures and settings as people read them in tables; what is not there is a dash."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from whichtune.metrics import METRICS
from whichtune.wording import listing

NOTHING = "–"
Show = Callable[[float | None], str]


def percent(value: float | None, digits: int = 2) -> str:
    """0.9733 as 97.33."""
    return NOTHING if value is None else f"{100 * value:.{digits}f}"


def whole(value: float | None) -> str:
    """1234567 as 1,234,567."""
    return NOTHING if value is None else f"{value:,.0f}"


def seconds(value: float | None) -> str:
    """Three significant digits, never in scientific notation."""
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}" if value >= 0.001 else "<0.001"


def money(value: float | None) -> str:
    """Two decimals, and of small sums three significant digits."""
    if value is None:
        return NOTHING
    return f"{value:,.2f}" if value >= 10 or value == 0 else f"{value:.3g}" if value >= 0.0001 else "<0.0001"


def mebibytes(value: float | None) -> str:
    return NOTHING if value is None else f"{value / 2**20:,.0f}"


def mebibytes_fine(value: float | None) -> str:
    """As `mebibytes`, with what a small file needs to be told from none."""
    if value is None or value >= 2**24:
        return mebibytes(value)
    return f"{value / 2**20:.2g}" if value >= 2**20 / 100 else "<0.01"


def giga_operations(value: float | None) -> str:
    """Operations in thousands of millions; 0 where a run found all it needed in the cache."""
    if value is None or value == 0:
        return NOTHING if value is None else "0"
    return f"{value / 1e9:,.0f}" if value >= 1e10 else f"{value / 1e9:.2g}"


def number(value: float | None, digits: int = 2) -> str:
    """1234.5 as 1234.50."""
    return NOTHING if value is None else f"{value:.{digits}f}"


def grouped(value: float | None) -> str:
    """1234.5 as 1,234.50."""
    return NOTHING if value is None else f"{value:,.2f}"


def loss(value: float | None) -> str:
    return number(value, 3)


def seed(value: int | None) -> str:
    return NOTHING if value is None else str(value)


def few(names: Sequence[str], most: int = 6) -> str:
    """A list of names in a sentence, its tail counted instead of named."""
    return listing(names, most=most)


def span(ends: tuple[float, float] | None, digits: int = 2) -> str:
    """`1.20 to 3.40`."""
    return NOTHING if ends is None else f"{ends[0]:.{digits}f} to {ends[1]:.{digits}f}"


def signed(value: float) -> str:
    """`+1.20`, `−0.33`, `0.00`."""
    text = f"{abs(value):.2f}"
    return text if float(text) == 0 else f"{'+' if value > 0 else '−'}{text}"


def probability(p: float | None) -> str:
    """`0.034`, `< 0.001`, or a dash."""
    return NOTHING if p is None else "< 0.001" if p < 0.001 else "> 0.99" if p > 0.99 else f"{p:.2g}"


def setting(value: object) -> str:
    """A setting as a study file has it."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ", ".join(setting(item) for item in value)
    return str(value)


def scale_of(metric: str) -> tuple[float, int, str]:
    """Factor, digits and unit of a metric's figures."""
    found = METRICS[metric]
    return found.scale, found.digits, " (%)" if found.unit == "points" else ""
