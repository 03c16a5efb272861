"""Which row to recommend: the cheapest that is shown to be no worse than the best on validation.

The best is chosen on validation only. Test figures then decide one thing about each cheaper row:
whether its one-sided 95 % bound lies above minus the margin, Holm-corrected over the cheaper rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from whichtune.stats.correction import holm

Standing = Literal["best", "shown no worse", "shown worse", "undecided", "not tested", "not cheaper", "no cost"]


@dataclass(frozen=True)
class Candidate:
    """A row of the study: its mean validation figure (larger is better) and its median cost."""

    label: str
    validation: float
    cost: float | None


@dataclass(frozen=True)
class Judged:
    """A candidate and what was found: raw and Holm-adjusted p of "worse than the best by the margin"."""

    label: str
    validation: float
    cost: float | None
    standing: Standing
    p: float | None = None
    p_adjusted: float | None = None


@dataclass(frozen=True)
class Selection:
    best: str
    recommended: str
    candidates: tuple[Judged, ...]


def best_on_validation(candidates: Sequence[Candidate]) -> Candidate:
    """The largest validation figure; a tie goes to the cheaper row, then to the first name.

    Raises ValueError where there is none.
    """
    if not candidates:
        raise ValueError("there is no row with a validation figure")
    infinite = float("inf")
    return min(candidates, key=lambda c: (-c.validation, infinite if c.cost is None else c.cost, c.label))


def select(candidates: Sequence[Candidate], p_not_worse: Mapping[str, float | None], alpha: float = 0.05) -> Selection:
    """Apply the rule. `p_not_worse[label]`: one-sided p against the best, None where nothing was tested.

    A cheaper row is "shown worse" where the same test, turned round, shows that it loses the margin or more
    (Holm over the cheaper rows, too); it is then not among the undecided. This decides no recommendation.
    """
    best = best_on_validation(candidates)
    cheaper = [
        c
        for c in candidates
        if c.label != best.label and c.cost is not None and best.cost is not None and c.cost < best.cost
    ]
    tested = [(c.label, p) for c in cheaper if (p := p_not_worse.get(c.label)) is not None]
    adjusted = dict(zip([name for name, _ in tested], holm([p for _, p in tested]), strict=True))
    turned = dict(zip([name for name, _ in tested], holm([1 - p for _, p in tested]), strict=True))
    judged = []
    for candidate in candidates:
        standing = _standing(candidate, best, candidate in cheaper, adjusted.get(candidate.label), alpha)
        if standing == "undecided" and turned[candidate.label] <= alpha:
            standing = "shown worse"
        p = p_not_worse.get(candidate.label) if candidate in cheaper else None
        judged.append(
            Judged(
                candidate.label,
                candidate.validation,
                candidate.cost,
                standing,
                p,
                adjusted.get(candidate.label),
            )
        )
    shown = [j for j in judged if j.standing == "shown no worse" and j.cost is not None]
    recommended = min(shown, key=lambda j: (j.cost or 0.0, j.label)).label if shown else best.label
    return Selection(best.label, recommended, tuple(judged))


def _standing(candidate: Candidate, best: Candidate, cheaper: bool, adjusted: float | None, alpha: float) -> Standing:
    if candidate.label == best.label:
        return "best"
    if candidate.cost is None or best.cost is None:
        return "no cost"
    if not cheaper:
        return "not cheaper"
    if adjusted is None:
        return "not tested"
    return "shown no worse" if adjusted <= alpha else "undecided"
