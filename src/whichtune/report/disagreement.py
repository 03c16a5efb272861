"""The test texts on which the rows of a study disagree most, and those that every row gets wrong: what a reader without
JavaScript is shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from whichtune.report.answered import Answered, FloatArray, RowAnswers
from whichtune.report.packed import cut
from whichtune.report.words import few

MOST_EXAMPLES = 12
MOST_WRONG = 8
MOST_NAMES = 8
LONGEST_TEXT = 600


@dataclass(frozen=True)
class Answer:
    """An answer to an example, and the rows that gave it."""

    answer: str
    right: bool
    rows: str


@dataclass(frozen=True)
class Example:
    """A test example with everyone's answers."""

    id: str
    text: str
    truth: str
    answers: list[Answer]


@dataclass(frozen=True)
class Disagreements:
    """The examples on which `rows` rows are most divided, and those that all get wrong (`wrong_count`, some shown)."""

    rows: int
    unanimous: int
    n: int
    most: list[Example]
    wrong: list[Example]
    wrong_count: int


def disagreements(answered: Answered, texts: Mapping[str, str]) -> Disagreements:
    """Examples by the entropy of their predicted class, every row weighing the same and every seed within it; those
    that all get wrong the most confident first."""
    entropy = _entropy(answered)
    order = [int(e) for e in np.argsort(-entropy, kind="stable") if entropy[e] > 0][:MOST_EXAMPLES]
    wrong = np.flatnonzero(answered.always_wrong)
    wrong = wrong[np.argsort(-mean_confidence(answered)[wrong], kind="stable")]

    def example(e: int) -> Example:
        text = cut(texts.get(answered.ids[e], ""), LONGEST_TEXT)
        return Example(answered.ids[e], text, answered.names[int(answered.truth[e])], _said(answered, e))

    return Disagreements(
        rows=len(answered.voices),
        unanimous=int((~answered.divided).sum()),
        n=answered.n,
        most=[example(e) for e in order],
        wrong=[example(int(e)) for e in wrong[:MOST_WRONG]],
        wrong_count=len(wrong),
    )


def mean_confidence(answered: Answered) -> FloatArray:
    """How sure the rows that have a say are of their answers `(E,)`: the mean over all runs that give a probability."""
    shares = np.stack([run.confidence for row in answered.voices for run in row.runs])
    known = np.isfinite(shares)
    return np.asarray(np.where(known, shares, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1), dtype=np.float32)


def _entropy(answered: Answered) -> FloatArray:
    """Entropy of the answers `(E,)`, in bits."""
    size = len(answered.names)
    votes = np.zeros((answered.n, size))
    every = np.arange(answered.n)
    for row in answered.voices:
        for run in row.runs:
            votes[every, run.classes] += 1 / (len(row.runs) * len(answered.voices))
    with np.errstate(divide="ignore", invalid="ignore"):
        bits = -np.where(votes > 0, votes * np.log2(votes), 0.0).sum(axis=1)
    return np.asarray(np.where(answered.divided, bits, 0.0), dtype=np.float32)


def _said(answered: Answered, e: int) -> list[Answer]:
    """Who answered what: a line a class, the true class first, then by how many rows gave it."""
    truth, said = int(answered.truth[e]), _by_class(answered.voices, e)
    order = sorted(said, key=lambda c: (c != truth, -len(said[c]), c))
    return [Answer(answered.names[c], c == truth, few(said[c], MOST_NAMES)) for c in order]


def _by_class(rows: list[RowAnswers], e: int) -> dict[int, list[str]]:
    said: dict[int, list[str]] = {}
    for row in rows:
        seeds = len(row.runs)
        for c, n in Counter(int(answer) for answer in row.classes[:, e]).items():
            said.setdefault(c, []).append(row.label if n == seeds else f"{row.label} ({n} of {seeds} seeds)")
    return said
