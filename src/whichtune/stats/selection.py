"""The row that is best on validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Candidate:
    """A row of the study: its mean validation figure (larger is better) and its median cost."""

    label: str
    validation: float
    cost: float | None


def best_on_validation(candidates: Sequence[Candidate]) -> Candidate:
    """The largest validation figure; a tie goes to the cheaper row, then to the first name.

    Raises ValueError where there is none.
    """
    if not candidates:
        raise ValueError("there is no row with a validation figure")
    infinite = float("inf")
    return min(candidates, key=lambda c: (-c.validation, infinite if c.cost is None else c.cost, c.label))
