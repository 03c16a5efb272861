"""Which rows get another seed, and when it is enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from whichtune.stats.choice import Choice
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


def next_round(choice: Choice, trials: Trials, metric: str, most: int, left: float | None = None) -> Round:
    """The next round of a study whose rows are placed as in `choice`, where a row may have `most` seeds and runs may
    take `left` more seconds (None: as many as they like)."""
    if choice.placed[choice.recommended].expected_regret <= choice.target:
        return Round((), "target")
    if choice.texts_limit > choice.target:
        return Round((), "texts")
    labels = list(choice.placed)
    drawing = {label for label, seen in zip(labels, trials.seen(metric, labels), strict=True) if seen.draws}
    rows = [
        label
        for label, placed in choice.placed.items()
        if placed.p_target >= LEAST_CHANCE and label in drawing and len(trials.rows[label].seeds) < most
    ]
    if not rows:
        return Round((), "seeds")
    if left is not None and sum(trials.rows[label].median_seconds() or 0.0 for label in rows) > left:
        return Round((), "budget")
    return Round(rows)
