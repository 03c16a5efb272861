"""How names that come from data stand in a sentence: on one line, and not longer than can be read."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from whichtune.wording import LONGEST_NAME, MOST_NAMES, listed, shown, shown_path

__all__ = ["LONGEST_NAME", "listed", "nearest", "quoted", "shown", "shown_path"]

MOST_COMPARED = 1000  # names that are searched for a near one


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
