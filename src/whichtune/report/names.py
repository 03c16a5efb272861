"""Names as people read them: the end of a path instead of all of it, and lines that break between words alone."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

from whichtune.wording import telling_parts

LONGEST = 40
BREAKS = re.compile(r"(?<=[_/,.:=-])(?=\w)")
LONG_WORD = re.compile(r"[^\s_/,.:=-]{25,}")


def short_model(model: str) -> str:
    """`all-MiniLM-L6-v2` of `/models/all-MiniLM-L6-v2/model`; a Hub id without its owner."""
    return _end(model)


def short_data(source: str) -> str:
    """`reviews` of `/data/reviews.csv`; a named set's name of `sms_spam=FILE`."""
    name, equals, _ = source.partition("=")
    return _cut(name) if equals and "/" not in name else _end(source, files=True)


def _end(path: str, files: bool = False) -> str:
    last = telling_parts(path)[-1]
    if files and (stem := re.sub(r"(\.(csv|tsv|jsonl?|parquet|txt|xlsx))?(\.gz)?$", "", last)):
        last = stem
    return _cut(last)


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def breakable(name: str) -> Markup:
    """A name that may go on in a new line after `_`, `-`, `/` and the like, and inside a word only where it is
    longer than any line."""
    pieces = [
        Markup('<span class="long">{}</span>').format(piece) if LONG_WORD.search(piece) else escape(piece)
        for piece in BREAKS.split(name)
    ]
    return Markup("<wbr>").join(pieces)
