"""Texts of several fields: a premise and a hypothesis, two questions, a title and a body.

Everywhere else a text is one string, and so is one of several fields: its cells with FIELD_END between them, a sign
that was made for this (U+001F, the unit separator) and that cells are refused for. Where a text is read as tokens
(`data.field_encoding`), counted (TF-IDF) or shown, it is taken apart again.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence

FIELD_END = "\x1f"
SHOWN_BETWEEN = " | "


def column_names(written: str | None) -> tuple[str, ...]:
    """Names of columns, with commas between them; one that has a comma stands in double quotes."""
    if not written or "," not in written:
        return (written,) if written else ()
    return tuple(name.strip() for name in next(csv.reader([written], skipinitialspace=True)))


def fields_of(text: str) -> list[str]:
    """The fields of a text."""
    return text.split(FIELD_END)


def readable(text: str) -> str:
    """A text as a reader sees it."""
    return text.removeprefix(FIELD_END).replace(FIELD_END, SHOWN_BETWEEN)


def columns_of(texts: Sequence[str], names: Sequence[str]) -> dict[str, list[str]]:
    """The columns of a table that shows these texts: `text`, or each field under its name."""
    if len(names) < 2:
        return {"text": list(texts)}
    return {name: [fields_of(text)[place] for text in texts] for place, name in enumerate(names)}
