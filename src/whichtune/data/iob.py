"""Tags that mark spans of words: IOB2, and what is read as it.

A tag is `O`, or a prefix and the type of the entity: `B-PER` at its first word, `I-PER` within. Where there is one type
its name may be left out. An entity also begins at an `I-` that follows `O` or another type, as the CoNLL shared tasks
have it, so that IOB1, which writes `B-` only between two neighbours of one type, is read by the same rule; of IOBES and
BILOU, `S` and `U` begin an entity and `E`, `L` and `M` are within one.
"""

from __future__ import annotations

from collections.abc import Sequence

from whichtune.metrics.tag_names import OUTSIDE, UNNAMED, written

BEGINS, WITHIN = "BSU", "IELM"


def parsed(tag: str) -> tuple[str, str] | None:
    """Prefix and type of a tag; None for what is none."""
    if tag == OUTSIDE:
        return OUTSIDE, ""
    prefix, dash, kind = tag.partition("-")
    if len(prefix) != 1 or prefix not in BEGINS + WITHIN or (dash and not kind) or tag.split() != [tag]:
        return None
    return prefix, kind


def as_iob2(tags: Sequence[tuple[str, str]]) -> list[str]:
    """A sentence's tags, prefix and type each, with `B` at the first word of each entity and `I` at its others."""
    found: list[str] = []
    before: str | None = None  # the type of the entity that the word before stands in
    for prefix, kind in tags:
        if prefix == OUTSIDE:
            before = None
            found.append(OUTSIDE)
            continue
        found.append(written("B" if prefix in BEGINS or before != kind else "I", kind))
        before = kind
    return found


def entities_of(words: Sequence[str], tags: Sequence[str]) -> list[tuple[str, str]]:
    """The entities that tags mark: their words, with blanks between, and their types."""
    return [(" ".join(words[first:last]), kind) for first, last, kind in spans_of(tags)]


def spans_of(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    """The entities that tags mark: the place of their first word, that behind their last, and their types."""
    found: list[tuple[int, int, str]] = []
    for place, tag in enumerate(as_iob2([parsed(tag) or (OUTSIDE, "") for tag in tags])):
        prefix, _, kind = tag.partition("-")
        if prefix == "B":
            found.append((place, place + 1, kind or UNNAMED))
        elif prefix == "I":
            found[-1] = (found[-1][0], place + 1, found[-1][2])
    return found
