"""How names that come from data stand in a sentence: on one line, and not longer than can be read."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

LONGEST_NAME = 60
LONGEST_PATH = 200
MOST_NAMES = 10
MOST_COMPARED = 1000  # names that are searched for a near one


def shown(name: object, longest: int = LONGEST_NAME) -> str:
    """A name with its control characters, odd blanks and lone surrogates escaped, cut where it is long."""
    text = str(name)
    cut = len(text) > longest
    text = "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text[:longest]
    )
    return f"{text}..." if cut else text


def shown_path(path: object) -> str:
    return shown(path, LONGEST_PATH)


def listed(names: Iterable[object], most: int = MOST_NAMES) -> str:
    """The names with commas between; of many the first ones and how many more there are."""
    every = list(names)
    text = ", ".join(shown(name) for name in every[:most])
    return f"{text} and {len(every) - most:,} more" if len(every) > most else text


def quoted(names: Iterable[object], most: int = MOST_NAMES) -> str:
    """`'a'`, `'a' and 'b'`, or `'a', 'b' and 7 more`."""
    every = [f"'{shown(name)}'" for name in names]
    if len(every) > most:
        return f"{', '.join(every[:most])} and {len(every) - most:,} more"
    return " and ".join([", ".join(every[:-1]), every[-1]]) if len(every) > 1 else "".join(every)


def nearest(name: str, known: Sequence[str]) -> str:
    """A question with the nearest column, or the columns there are."""
    near = difflib.get_close_matches(name[:LONGEST_NAME], known[:MOST_COMPARED], n=1, cutoff=0.6)
    return f"did you mean '{shown(near[0])}'?" if near else f"its columns are {listed(known)}."
