"""Metrics of tagged words, sentence by sentence: the metric plus the sentence's influence on it.

An entity is right where its words and its type are exactly those of a true one (Tjong Kim Sang and De Meulder 2003).
It begins at `B`, and at an `I` that follows `O` or another type; it ends before the next that begins, at `O`, and with
its sentence. All metrics are ratios of sums over sentences, or means of such, so that each is linearised as those of
sets of labels are (`metrics.labels`): the mean over sentences is the metric itself, and the spread is its test-set
noise.

Tags are numbers (`metrics.tag_names`). Metrics are given counts of entities (E, K, 3) of each sentence and type,
rightly found, found and true, and of words (E, 2), rightly tagged and all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from whichtune.metrics.labels import ratios

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Tags = Sequence[Sequence[int] | IntArray]
RIGHT, FOUND, TRUE = range(3)


def counted(predictions: Tags, targets: Tags, types: int | None = None) -> tuple[IntArray, IntArray]:
    """Counts of entities (E, K, 3) and words (E, 2) of sentences' tags. Without `types` K is as large as tags need.

    Raises ValueError where a sentence has another number of predicted tags than of true ones, or none.
    """
    lengths = np.array([len(each) for each in targets], dtype=np.int64)
    if not len(lengths) or [len(each) for each in predictions] != lengths.tolist() or not lengths.all():
        raise ValueError("each word needs a predicted tag and a true one")
    told, true = (np.concatenate([np.asarray(each, np.int64) for each in tags]) for tags in (predictions, targets))
    sentence = np.repeat(np.arange(len(lengths)), lengths)
    shape = (len(lengths), max(int(max(told.max(), true.max()) + 1) // 2, types or 0))
    (begin, end, kind), (begin_true, end_true, kind_true) = _spans(told, sentence), _spans(true, sentence)
    same, at, at_true = np.intersect1d(begin, begin_true, assume_unique=True, return_indices=True)
    right = (end[at] == end_true[at_true]) & (kind[at] == kind_true[at_true])
    counts = [  # RIGHT, FOUND, TRUE
        _tallied(sentence[same[right]], kind[at][right], shape),
        _tallied(sentence[begin], kind, shape),
        _tallied(sentence[begin_true], kind_true, shape),
    ]
    words = np.stack([np.bincount(sentence, weights=told == true, minlength=len(lengths)).astype(np.int64), lengths], 1)
    return np.stack(counts, axis=-1), words


def _tallied(sentence: IntArray, kind: IntArray, shape: tuple[int, int]) -> IntArray:
    """How often each type occurs in each sentence, of that shape (E, K)."""
    found: IntArray = np.bincount(sentence * shape[1] + kind, minlength=shape[0] * shape[1]).reshape(shape)
    return found


def _spans(tags: IntArray, sentence: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """First and last words and types of the entities in the tags (W,) of sentences one after the other, whose numbers
    are (W,)."""
    inside, kind = tags > 0, (tags - 1) // 2
    goes_on = np.zeros(len(tags), dtype=bool)  # the word before is of the same sentence, and of an entity of that type
    goes_on[1:] = inside[:-1] & (kind[1:] == kind[:-1]) & (sentence[1:] == sentence[:-1])
    begins = inside & ((tags % 2 == 1) | ~goes_on)
    ends = inside & np.append(begins[1:] | ~inside[1:] | (sentence[1:] != sentence[:-1]), True)
    begin = np.flatnonzero(begins)
    return begin, np.flatnonzero(ends), kind[begin]


def f1(counts: IntArray, words: IntArray) -> FloatArray:
    """F1 of all entities together; 0 where there is none, found or true."""
    return ratios(2.0 * _all(counts, RIGHT), _all(counts, FOUND) + _all(counts, TRUE))


def precision(counts: IntArray, words: IntArray) -> FloatArray:
    """The share of the found entities that are right; 0 where none is found."""
    return ratios(_all(counts, RIGHT), _all(counts, FOUND))


def recall(counts: IntArray, words: IntArray) -> FloatArray:
    """The share of the true entities that are found; 0 where there is none."""
    return ratios(_all(counts, RIGHT), _all(counts, TRUE))


def f1_macro(counts: IntArray, words: IntArray) -> FloatArray:
    """The mean F1 of the types that occur, found or true."""
    each = counts.astype(np.float64)
    return ratios(2.0 * each[:, :, RIGHT], each[:, :, FOUND] + each[:, :, TRUE])


def accuracy(counts: IntArray, words: IntArray) -> FloatArray:
    """The share of the words with the right tag, `O` included."""
    each = words.astype(np.float64)
    return ratios(each[:, :1], each[:, 1:])


def _all(counts: IntArray, what: int) -> FloatArray:
    found: FloatArray = counts[:, :, what].sum(axis=1, keepdims=True).astype(np.float64)
    return found
