"""Many comparisons: Holm's step-down correction over everything a study declares.

A pair can make two claims: "they differ" and "they are equivalent to within the margin". Both stand in
one family. At most one of the two can be false for a pair (it cannot be exactly equal *and* farther apart
than the margin), so the multiplier of a step is the number of pairs with a claim left rather than
the number of claims left. This is Shaffer's (1986) step-down, which uses such logic and is
never less powerful than Holm's; with difference claims alone the two are the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm-adjusted p values in the order given (Holm 1979)."""
    from statsmodels.stats.multitest import multipletests

    if not len(p_values):
        return []
    return [float(p) for p in multipletests(np.asarray(p_values, dtype=float), method="holm")[1]]


def holm_with_equivalence(
    p_difference: Sequence[float | None], p_equivalence: Sequence[float | None], others: int = 0
) -> tuple[list[float | None], list[float | None]]:
    """Adjusted p values of the difference and equivalence claims of the same pairs.

    None stands for "no such test", which then takes no part. `others` counts pairs that could have been
    chosen after seeing the data and were not: they stay in the family for ever.
    """
    claims = [
        (p, pair, kind)
        for kind, family in enumerate((p_difference, p_equivalence))
        for pair, p in enumerate(family)
        if p is not None
    ]
    claims.sort(key=lambda claim: claim[0])
    adjusted: tuple[list[float | None], list[float | None]] = (
        [None] * len(p_difference),
        [None] * len(p_equivalence),
    )
    running = 0.0
    for step, (p, pair, kind) in enumerate(claims):
        multiplier = len({later for _, later, _ in claims[step:]}) + others
        running = max(running, min(1.0, multiplier * p))
        adjusted[kind][pair] = running
    return adjusted


def unpaired_p(right_a: int, right_b: int, n_a: int, n_b: int) -> float:
    """Fisher's exact test of two counts, for when only totals are known and the pairing is lost."""
    from scipy.stats import fisher_exact

    return float(fisher_exact([[right_a, n_a - right_a], [right_b, n_b - right_b]])[1])
