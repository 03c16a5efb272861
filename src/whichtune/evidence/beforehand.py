"""What a study cannot show, known before its first run."""

from __future__ import annotations

import numpy as np

from whichtune.evidence.sentences import points
from whichtune.metrics import METRICS
from whichtune.stats import paired
from whichtune.stats.comparing import ALPHA
from whichtune.stats.crossed import Reference
from whichtune.stats.noise import FLOOR_SD
from whichtune.stats.trials import POINT
from whichtune.wording import plural


def margin_beforehand(metric: str, margin: float, seeds: int, texts: int, rows: int) -> str | None:
    """That two rows could not be shown to be equivalent to within `margin` points, were they the same on every text;
    None where they could.

    `rows` are those that depend on their seed. What is assumed is the best case: no noise but the least that the tests
    take for granted.
    """
    if METRICS[metric].unit != "points" or texts < 2 or rows < 2:
        return None
    if _best_p(margin * POINT, seeds, texts, rows) <= ALPHA:
        return None
    least = next(m for m in np.arange(1, 1001) / 10 if m == 100 or _best_p(m * POINT, seeds, texts, rows) <= ALPHA)
    return (
        f"With {plural(texts, 'test text')} and {plural(seeds, 'seed')} no two rows can be shown to be equivalent to "
        f"within {points(margin)}, were they the same on every text; {points(float(least))} could be."
    )


def _best_p(margin: float, seeds: int, texts: int, rows: int) -> float:
    """The smallest p of equivalence that there can be."""
    if seeds == 1:
        return paired.tango_p_above(0, 0, texts, -margin)
    reference = Reference(
        seed=np.asarray(2 * FLOOR_SD**2 / seeds),
        example=np.asarray(margin * (1 - margin) / texts),
        seed_df=np.asarray(float(rows * (seeds - 1))),
        example_df=texts - 1,
    )
    return float(reference.sf(margin))
