"""Metrics of written texts against references beside ROUGE: exact match, token F1, chrF and BLEU.

Exact match and token F1 are those of SQuAD (Rajpurkar and others 2016): texts in lower case, without ASCII punctuation
and the articles a, an and the, split at white space. chrF (Popovic 2015) and BLEU (Papineni and others 2002) are
`sacrebleu`'s (Post 2018) with its own defaults: character n-grams up to 6 and beta 2; tokens by `13a`, up to 4 of them,
exponential smoothing.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

ORDERS = 4  # of BLEU
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def tokens_of(text: str) -> list[str]:
    """The words that SQuAD compares."""
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def exact_match(written: Sequence[str], references: Sequence[str]) -> FloatArray:
    """1 where a text has the same words in the same order as its reference, else 0: `(n,)`."""
    pairs = zip(written, references, strict=True)
    return np.array([float(tokens_of(one) == tokens_of(other)) for one, other in pairs], dtype=np.float64)


def token_f1(written: Sequence[str], references: Sequence[str]) -> FloatArray:
    """F1 of the words that a text shares with its reference, order aside: `(n,)`; 1 where neither has any."""
    pairs = zip(written, references, strict=True)
    return np.array([_f1(tokens_of(one), tokens_of(other)) for one, other in pairs], dtype=np.float64)


def _f1(one: list[str], other: list[str]) -> float:
    if not one or not other:
        return float(one == other)
    return 2 * (Counter(one) & Counter(other)).total() / (len(one) + len(other))


def chrf(written: Sequence[str], references: Sequence[str]) -> FloatArray:
    """chrF of each text as a share of 1: `(n,)`. Their mean is not the chrF of the whole corpus."""
    scorer = _scorers()[0]
    pairs = zip(written, references, strict=True)
    return np.array([scorer.sentence_score(one, [other]).score / 100 for one, other in pairs], dtype=np.float64)


def bleu_parts(written: Sequence[str], references: Sequence[str]) -> FloatArray:
    """What each text adds to the corpus' counts, `(n, 10)`: n-grams that its reference has, for n of 1 to 4; n-grams;
    its words, and its reference's."""
    scorer = _scorers()[1]
    found = [scorer.sentence_score(one, [other]) for one, other in zip(written, references, strict=True)]
    rows = [[*one.counts, *one.totals, one.sys_len, one.ref_len] for one in found]
    return np.array(rows, dtype=np.float64).reshape(-1, 2 * ORDERS + 2)


def bleu_of(totals: FloatArray) -> FloatArray:
    """BLEU of a corpus as a share of 1, from the sums `(..., 10)` of its texts' counts; 0 where no text has so many
    words, or none of them is right."""
    totals = np.asarray(totals, dtype=np.float64)
    right, all_in = totals[..., :ORDERS], totals[..., ORDERS : 2 * ORDERS]
    wrote, wanted = totals[..., -2], totals[..., -1]
    missed = np.cumsum(right <= 0, axis=-1)  # an order without a hit counts half as much as the one before it
    hits = np.where(right > 0, right, 0.5**missed)
    able = (all_in > 0).all(axis=-1) & (right.max(axis=-1) > 0)
    shares = np.where(able[..., None], hits, 1.0) / np.where(able[..., None], all_in, 1.0)
    short = np.minimum(0.0, 1 - wanted / np.where(wrote > 0, wrote, 1.0))
    found: FloatArray = np.where(able, np.exp(np.log(shares).mean(axis=-1) + short), 0.0)
    return found


@lru_cache(maxsize=1)
def _scorers() -> tuple[Any, Any]:
    from sacrebleu.metrics import BLEU, CHRF

    return CHRF(), BLEU(effective_order=True)  # the order is of no account: only counts are taken
