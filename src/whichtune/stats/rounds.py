"""Which rows get another seed, and when it is enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from whichtune.stats.choice import Weighed
from whichtune.stats.trials import Trials

# A row with a smaller chance to be good enough is not worth another seed.
LEAST_CHANCE = 0.05
Reason = Literal["target", "texts", "seeds", "budget"]


@dataclass(frozen=True)
class Round:
    """The rows that get another seed; none where it is enough, and `reason` says why: the expected regret is at the
    `target`, the test `texts` are the limit, no row may have more `seeds`, or the `budget` is spent."""

    rows: Sequence[str]
    reason: Reason | None = None


def next_round(weighed: Weighed, trials: Trials, metric: str, most: int, left: float | None = None) -> Round:
    """The next round of a study whose rows are `weighed`, where a row may have `most` seeds and runs may take `left`
    more seconds (None: as many as they like)."""
    if weighed.expected[weighed.place] <= weighed.target:
        return Round((), "target")
    if weighed.texts_limit > weighed.target:
        return Round((), "texts")
    seen = trials.seen(metric, weighed.labels)
    rows = [
        label
        for label, row, chance in zip(weighed.labels, seen, weighed.p_target, strict=True)
        if chance >= LEAST_CHANCE and row.draws and len(row.seeds) < most
    ]
    if not rows:
        return Round((), "seeds")
    if left is not None and sum(trials.rows[label].median_seconds() or 0.0 for label in rows) > left:
        return Round((), "budget")
    return Round(rows)
