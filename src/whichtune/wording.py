"""Counts, lists and numbers as sentences have them. Imports nothing of the package."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable, Sequence

LONGEST_NAME = 60
LONGEST_PATH = 200
MOST_NAMES = 10
# Ends of paths that say nothing of what is there.
PLAIN_ENDS = {"model", "models", "checkpoint", "final", "best", "data", "dataset", "train", "snapshots", "main", "csv"}
REVISION = re.compile(r"[0-9a-f]{16,}")


def telling_parts(path: str) -> list[str]:
    """The parts of a path or of a Hub id without ends that say nothing: `all-MiniLM` is the last of
    `/models/all-MiniLM/model`."""
    parts = [part for part in path.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    while len(parts) > 1 and (parts[-1].lower() in PLAIN_ENDS or REVISION.fullmatch(parts[-1])):
        parts.pop()
    return parts or [path]


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


def duration(seconds: float) -> str:
    """`8 seconds`, `3 minutes`, `2.5 hours`."""
    if seconds < 90:
        return plural(max(1, round(seconds)), "second")
    if seconds < 90 * 60:
        return plural(round(seconds / 60), "minute")
    return f"{seconds / 3600:.1f} hours"


def rounded_up(n: int) -> int:
    """Two significant figures, upwards: a forecast is no more exact than that."""
    step: int = 10 ** max(0, len(str(n)) - 2)
    return -(-n // step) * step


def spoken_seconds(seconds: float) -> str:
    """`0.28 s`, `2.8 s`, `61 s`, `2 min 5 s`, `1 h 12 min`: two or three digits that matter."""
    if seconds < 99.5:
        return f"{seconds:.2g} s" if seconds >= 0.01 else "under 0.01 s"
    if seconds < 3570:
        whole = round(seconds)
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"


def shown(name: object, longest: int = LONGEST_NAME) -> str:
    """A name with its control characters, odd blanks and lone surrogates escaped, cut where it is long."""
    text = str(name)
    cut = len(text) > longest
    text = "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text[:longest]
    )
    return f"{text}..." if cut else text


def megabytes(size: int) -> str:
    """Bytes as `3 MB`, `499 MB`, `13.5 GB`."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{max(1, round(size / 1e6)):,} MB"


def shown_path(path: object) -> str:
    return shown(path, LONGEST_PATH)


def listed(names: Iterable[object], most: int = MOST_NAMES) -> str:
    """The names with commas between; of many the first ones and how many more there are."""
    every = list(names)
    text = ", ".join(shown(name) for name in every[:most])
    return f"{text} and {len(every) - most:,} more" if len(every) > most else text


def path_problem(error: Exception) -> str:
    """Why something cannot be at a path, or cannot be read there, without the path and a system's number."""
    if isinstance(error, RuntimeError):
        return "it names the home of a user that is not there"
    if isinstance(error, ValueError):
        return "it holds a character that no path can have"
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return "its name is too long"
    return str(getattr(error, "strerror", None) or error)
