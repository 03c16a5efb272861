"""Sentences that stand both among what to read before the verdict and in a check."""

from __future__ import annotations

from collections.abc import Sequence

from whichtune.evidence import sentences
from whichtune.stats.answers import TestSet
from whichtune.stats.results import Comparison
from whichtune.wording import plural


def margin_warning(comparisons: Sequence[Comparison], n_examples: int, margin: float) -> str | None:
    """That no pair could be shown to be equivalent, whatever its difference; None where some could, or none was tested.

    `margin` is in points.
    """
    halves = [
        (c.interval_90[1] - c.interval_90[0]) / 2
        for c in comparisons
        if c.interval_90 is not None and c.unit == "points"
    ]
    if not halves or min(halves) < margin:
        return None
    return (
        f"Too few data for a margin of {sentences.points(margin)}: on {plural(n_examples, 'test example')} the "
        f"half-width of a difference's 90 % interval is at least {sentences.points(min(halves))}, so no pair could be "
        "shown to be equivalent."
    )


def repeats_warning(test: TestSet) -> str | None:
    """How many test examples stand in train, too; None where none does."""
    repeated = int(test.duplicate_of_train.sum())
    if not repeated:
        return None
    stand = "stands" if repeated == 1 else "stand"
    return f"{repeated:,} of {plural(test.n, 'test example')} also {stand} in train."
