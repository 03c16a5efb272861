"""Classes by their labels: numbers that are equal, names that look alike, and the order of the classes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from decimal import Decimal

from whichtune.data.shown import quoted

NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")  # 01 is a code, and stays text
INTEGER = re.compile(r"-?\d+")
INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"))
MOST_TOLD = 3


def class_order(names: Iterable[str]) -> list[str]:
    """Whole numbers by size, other names by letter; equal numbers (7, 07) by letter, so that no order is by chance."""
    every = sorted(names)
    if all(INTEGER.fullmatch(name) for name in every):
        return sorted(every, key=Decimal)
    return every


def equal_numbers(names: Iterable[str]) -> dict[str, str]:
    """Each label that is written in several ways as a number, with the shortest of them: 1.0 and 1 are the class 1."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name in sorted(set(names)):
        if NUMBER.fullmatch(name):
            groups.setdefault(_value(name), []).append(name)
    return {
        name: min(group, key=lambda each: (len(each), each))
        for group in groups.values()
        if len(group) > 1
        for name in group
    }


def _value(number: str) -> tuple[str, str]:
    """Digits before and behind the point, without those that say nothing."""
    whole, _, rest = number.partition(".")
    rest = rest.rstrip("0")
    return (whole.removeprefix("-") if whole == "-0" and not rest else whole), rest


def plain_form(name: str) -> str:
    """A label without what the eye does not see: outer blanks, case, and how its letters are composed."""
    return unicodedata.normalize("NFC", name.translate(INVISIBLE)).strip().casefold()


def alike(names: Iterable[str]) -> list[list[str]]:
    """Groups of labels that differ only by outer blanks, case or invisible signs."""
    groups: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        groups.setdefault(plain_form(name), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def merged_note(merged: dict[str, str], place: str) -> str | None:
    """That labels which are equal numbers are one class."""
    if not merged:
        return None
    kept = list(dict.fromkeys(merged.values()))
    groups = [quoted([name for name in merged if merged[name] == each]) for each in kept[:MOST_TOLD]]
    more = f" (and {len(kept) - MOST_TOLD:,} more)" if len(kept) > MOST_TOLD else ""
    return f"The labels {'; '.join(groups)}{more} of {place} are equal numbers: each is one class."


def alike_note(names: Iterable[str], place: str) -> str | None:
    """Which labels look alike and are different classes, and what would merge them."""
    groups = alike(names)
    if not groups:
        return None
    told = "; ".join(quoted(group) for group in groups[:MOST_TOLD])
    more = f" (and {len(groups) - MOST_TOLD:,} more)" if len(groups) > MOST_TOLD else ""
    return (
        f"The labels {told}{more} of {place} differ only by blanks, case or invisible signs and are different classes: "
        "write them alike in the data to make one class of them."
    )
