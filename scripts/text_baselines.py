"""What simpler means know of a text: a unigram model, a 5-gram model and two compressors.

Figures to hold a language model's bits per byte against. Token ids are below 2**12 so that five of them
fit one 64-bit integer; counting is then sorting.
"""

from __future__ import annotations

import gzip
import lzma

import numpy as np

BITS = 12  # of a token id


def unigram_nats(train: np.ndarray, text: np.ndarray, vocabulary: int) -> float:
    """Total nats of `text` under token frequencies in `train`, one added to each."""
    counts = np.bincount(train, minlength=vocabulary) + 1.0
    return float(-np.log(counts[text] / counts.sum()).sum())


def packed_ngrams(tokens: np.ndarray, order: int) -> np.ndarray:
    """Every run of `order` tokens as one integer, the last token lowest; shape (T - order + 1,)."""
    if order * BITS > 63 or tokens.max() >= 2**BITS:
        raise ValueError(f"runs of {order} tokens below {2**BITS} do not fit 63 bits")
    packed = np.zeros(len(tokens) - order + 1, dtype=np.int64)
    for place in range(order):
        packed = (packed << BITS) | tokens[place : place + len(packed)].astype(np.int64)
    return packed


def look_up(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The value of each wanted key, 0 where it is not among the sorted keys."""
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, values[places], 0)


class KneserNey:
    """Interpolated Kneser-Ney smoothing with one discount an order (Kneser, Ney 1995; Chen, Goodman 1999).

    The highest order uses counts; each lower one the number of different tokens seen before an n-gram.
    """

    def __init__(self, train: np.ndarray, order: int, vocabulary: int) -> None:
        self.order, self.vocabulary = order, vocabulary
        self.levels: dict[int, tuple[np.ndarray, ...]] = {}
        grams, counts = np.unique(packed_ngrams(train, order), return_counts=True)
        for level in range(order, 0, -1):
            ones, twos = int((counts == 1).sum()), int((counts == 2).sum())
            discount = np.array(ones / (ones + 2 * twos) if ones and twos else 0.5)
            contexts, first = np.unique(grams >> BITS, return_index=True)
            totals = np.add.reduceat(counts, first)
            kinds = np.diff(np.append(first, len(grams)))
            self.levels[level] = (grams, counts, contexts, totals, kinds, discount)
            if level > 1:
                shorter = grams & ((1 << (BITS * (level - 1))) - 1)
                grams, counts = np.unique(shorter, return_counts=True)

    def probabilities(self, tokens: np.ndarray) -> np.ndarray:
        """Probability of each token from position `order - 1` on, given those before; shape (N,)."""
        result = np.full(len(tokens) - self.order + 1, 1.0 / self.vocabulary)
        for level in range(1, self.order + 1):
            grams, counts, contexts, totals, kinds, discount = self.levels[level]
            wanted = packed_ngrams(tokens[self.order - level :], level)
            total = look_up(contexts, totals, wanted >> BITS)
            kept = np.maximum(look_up(grams, counts, wanted) - discount, 0.0)
            spread = discount * look_up(contexts, kinds, wanted >> BITS)
            seen = total > 0
            result[seen] = (kept[seen] + spread[seen] * result[seen]) / total[seen]
        return result

    def nats(self, text: np.ndarray, start: int) -> float:
        """Total nats of all tokens of `text`, which is taken to follow copies of the token `start`."""
        padded = np.concatenate([np.full(self.order - 1, start, dtype=text.dtype), text])
        return float(-np.log(self.probabilities(padded)).sum())


def compressed_bits(text: bytes, primer: bytes) -> dict[str, float]:
    """Bits that compressors need for `text`; with a primer, the extra bits after that text."""
    xz = {"preset": 9 | lzma.PRESET_EXTREME}
    return {
        "gzip -9": 8.0 * len(gzip.compress(text, 9, mtime=0)),
        "xz -9e": 8.0 * len(lzma.compress(text, **xz)),
        "xz -9e after the training text": 8.0
        * (len(lzma.compress(primer + text, **xz)) - len(lzma.compress(primer, **xz))),
    }
