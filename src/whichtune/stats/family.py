"""Claims that are corrected together, and by which correction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from whichtune.stats.correction import MOST_CLOSED, closed_pairs, dunnett, holm, sidak
from whichtune.stats.pairs import PairTest
from whichtune.stats.trials import Trials

Question = tuple[frozenset[str], str]  # two rows, whichever way round, and a metric


@dataclass(frozen=True)
class Adjusted:
    """Adjusted p of a difference and of equivalence, how many pairs were counted, and the correction's name."""

    p: float | None
    p_equivalence: float | None
    family: int
    correction: str


def question(a: str, b: str, metric: str) -> Question:
    """What a pair asks."""
    return frozenset((a, b)), metric


def correct(
    trials: Trials,
    asked: Sequence[tuple[str, str, str]],
    beside: Sequence[tuple[str, str, str]] = (),
    others: int = 0,
    against: str | None = None,
) -> dict[Question, Adjusted]:
    """Adjusted p of all claims of a family: pairs `(a, b, metric)`.

    `beside` are pairs that count though nobody asks for them, since they could have been picked instead, and `others`
    a number of such pairs that are not tested. `against` is the row that all are compared with, where `others` are too.
    A pair that cannot be tested takes no part.
    """
    tests: dict[Question, PairTest] = {}
    for place, (a, b, metric) in enumerate([*asked, *beside]):
        found = trials.tested(a, b, metric, brief=place >= len(asked))
        if found is not None and found.p is not None:
            tests.setdefault(question(a, b, metric), found)
    p = [float(test.p) for test in tests.values() if test.p is not None]
    adjusted, name = _differences(trials, list(tests), p, others, against)
    claims = {key: test.p_equivalence for key, test in tests.items() if test.p_equivalence is not None}
    equivalent = dict(zip(claims, holm(list(claims.values()), others), strict=True))
    return {
        key: Adjusted(value, equivalent.get(key), len(tests) + others, name)
        for key, value in zip(tests, adjusted, strict=True)
    }


def _differences(
    trials: Trials, keys: Sequence[Question], p: Sequence[float], others: int, against: str | None
) -> tuple[list[float], str]:
    """Which correction it is follows from the pairs alone."""
    if len(p) + others <= 1:
        return list(p), "none"
    if len({metric for _, metric in keys}) > 1:
        return holm(p, others), "Holm"
    shared = {against} if against is not None else frozenset.intersection(*(rows for rows, _ in keys))
    if (len(keys) > 1 and len(shared) == 1) or against is not None:
        (row,) = shared
        if trials.rows[str(row)].deterministic:
            return sidak(p, others), "Sidak in steps"
        return dunnett(p, others), "Dunnett in steps"
    labels = sorted({label for rows, _ in keys for label in rows})
    if others or len(labels) > MOST_CLOSED:
        return holm(p, others), "Holm"
    places = [tuple(sorted(labels.index(label) for label in rows)) for rows, _ in keys]
    return [float(x) for x in closed_pairs(p, [(a, b) for a, b in places])], "closed test over sets of equal rows"
