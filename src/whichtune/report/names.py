"""Names as people read them: the end of a path instead of all of it, and lines that break between words alone."""

from __future__ import annotations

import re
from pathlib import PurePath

from markupsafe import Markup, escape

# Ends of paths that say nothing of what is in them.
PLAIN = {"model", "models", "checkpoint", "final", "best", "data", "dataset", "train", "snapshots", "main", "csv"}
REVISION = re.compile(r"[0-9a-f]{16,}")
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
    parts = [part for part in PurePath(path.replace("\\", "/")).parts if part not in ("/", ".", "..")]
    while len(parts) > 1 and (parts[-1].lower() in PLAIN or REVISION.fullmatch(parts[-1])):
        parts.pop()
    if not parts:
        return path
    last = parts[-1]
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
