"""The data of the page's examples: small enough for one page, and the same page from the same study.

A page carries them as base64 of deflated bytes, which its script inflates: four bytes that say how long a JSON text is,
the JSON, then one byte a number.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_TEXTS = 2000
MOST_SIGNS = 1_400_000  # of base64, so that a page stays below 3 MB with all else that is on it
# How many texts, and how long each, until a page can carry them: texts are cut before any is left out.
LADDER = [
    *((MOST_TEXTS, signs) for signs in (2000, 1200, 700, 400)),
    *((texts, 300) for texts in (MOST_TEXTS, 1500, 1000, 700, 500, 300, 200, 100, 50, 20)),
]
SEED = 0


@dataclass(frozen=True)
class Packed:
    """What a page carries: its data, which texts they are (places in the test split), and where texts are cut."""

    data: str
    places: NDArray[np.int64]
    longest: int


def pack(meta: Mapping[str, object], numbers: NDArray[np.uint8] | None = None) -> str:
    """JSON and bytes as base64 of deflated bytes."""
    text = json.dumps(meta, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    raw = len(text).to_bytes(4, "little") + text + (b"" if numbers is None else numbers.tobytes())
    return base64.b64encode(zlib.compress(raw, 6)).decode()


def fitted(
    choose: Callable[[int], NDArray[np.int64]], build: Callable[[NDArray[np.int64], int], str], most: int = MOST_SIGNS
) -> Packed:
    """The first of LADDER that a page can carry; the last where none can be.

    `choose` gives the places of at most so many texts, `build` the data of these, each text cut to so many characters.
    """
    for texts, longest in LADDER:
        places = choose(texts)
        data = build(places, longest)
        if len(data) <= most:
            break
    return Packed(data, places, longest)


def drawn(groups: Sequence[NDArray[np.int64]], strata: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most so many places, in their order: of each group in turn what fits, but the last keeps a quarter for itself.

    Of a group that does not fit whole, texts are drawn from each stratum by its share, with a fixed seed. `strata (E,)`
    are those of all places.
    """
    left = most
    found = []
    for number, group in enumerate(groups):
        later = sum(len(other) for other in groups[number + 1 :])
        room = left - min(later, most // 4) if number < len(groups) - 1 else left
        chosen = _by_share(group, strata, max(0, room))
        found.append(chosen)
        left -= len(chosen)
    return np.sort(np.concatenate(found)) if found else np.zeros(0, dtype=np.int64)


def _by_share(pool: NDArray[np.int64], strata: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """`count` of a pool, each stratum by its share (largest remainders), drawn with a fixed seed."""
    if len(pool) <= count:
        return pool
    random = np.random.default_rng(SEED)
    kinds, sizes = np.unique(strata[pool], return_counts=True)
    exact = sizes * count / len(pool)
    wanted = np.floor(exact).astype(np.int64)
    for place in np.argsort(wanted - exact, kind="stable")[: count - int(wanted.sum())]:
        wanted[place] += 1
    parts = [random.permutation(pool[strata[pool] == kind])[:many] for kind, many in zip(kinds, wanted, strict=True)]
    return np.concatenate(parts)


def cut(text: str, longest: int) -> str:
    """A text's beginning, marked where there is more."""
    return text if len(text) <= longest else text[:longest] + "…"


def in_percent(shares: NDArray[np.float32], step: int = 1) -> NDArray[np.uint8]:
    """Probabilities as percents, to the nearest multiple of `step`; 255 where there is none."""
    known = np.isfinite(shares)
    return np.where(known, step * np.round(100 / step * np.where(known, shares, 0)), 255).astype(np.uint8)


def step_of(runs: int) -> int:
    """To how many percent a page tells probabilities of so many runs: coarser ones take less."""
    return 1 if runs <= 150 else 2 if runs <= 300 else 5
