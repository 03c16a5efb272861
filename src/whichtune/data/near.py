"""Texts that nearly repeat one of train: found by MinHash, and counted only where their pieces are mostly the same."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping, Sequence

PIECE = 5  # characters
ALIKE = 0.8  # of the pieces that either text has, the share that both have
SOUGHT = 0.7  # what MinHash looks for, lower, since it is unsure by a few hundredths
HASHES = 128
LONGEST = 20_000  # characters of a text that are looked at
MOST_TEXTS = 20_000  # of all splits; more would take a minute
BLANKS = re.compile(r"\s+")


def near_repeats(train: Mapping[str, str], texts: Sequence[str]) -> list[str | None]:
    """For each text the id of a training text that it nearly repeats, None where there is none.

    `train` has texts by their ids. Two texts nearly repeat each other where four fifths of the pieces of five
    characters that either has, case and blanks apart, are in both (Jaccard 0.8), and they are not the same letter by
    letter.
    Candidates come from MinHash with locality-sensitive hashing (Broder 1997), by datasketch.
    """
    from datasketch import MinHash, MinHashLSH

    verbatim = set(train.values())
    distinct: dict[str, str] = {}
    for name, text in train.items():
        distinct.setdefault(text, name)
    index = MinHashLSH(threshold=SOUGHT, num_perm=HASHES)
    cut = {name: pieces(text) for text, name in distinct.items()}
    for name, sketch in zip(cut, _sketches(MinHash, cut.values()), strict=True):
        index.insert(name, sketch)
    found: list[str | None] = []
    sets = [pieces(text) for text in texts]
    for text, own, sketch in zip(texts, sets, _sketches(MinHash, sets), strict=True):
        near = [] if text in verbatim else [(jaccard(own, cut[name]), name) for name in index.query(sketch)]
        best = max(near, default=(0.0, ""))
        found.append(best[1] if best[0] >= ALIKE else None)
    return found


def _sketches(kind: type, sets: Iterable[set[bytes]]) -> Iterable[object]:
    made: Iterable[object] = kind.generator(sets, num_perm=HASHES, seed=1, hashfunc=zlib.crc32)  # type: ignore[attr-defined]
    return made


def pieces(text: str) -> set[bytes]:
    """The pieces of five characters of a text; a shorter one is a piece."""
    plain = BLANKS.sub(" ", text[:LONGEST]).strip().casefold()
    return {plain[at : at + PIECE].encode() for at in range(max(1, len(plain) - PIECE + 1))}


def jaccard(a: set[bytes], b: set[bytes]) -> float:
    """The share of what either has that both have."""
    return len(a & b) / len(a | b)
