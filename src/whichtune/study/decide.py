"""Seeds where they are needed: how far a study goes on until it is sure enough which row to use."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, field_validator

from whichtune.study.frozen import Frozen
from whichtune.study.numbers import MOST_SEEDS
from whichtune.study.spaces import parse_budget


class Decide(Frozen):
    """Add a seed to the rows that may be the best until the expected regret of the row to use is small."""

    max_seeds: int = Field(10, ge=2, le=MOST_SEEDS, description="most seeds of a row")
    budget: str | None = Field(
        None, description="time that all runs of the study may take, such as `20min` or `1.5h`; null: no limit"
    )
    target: float | None = Field(
        None, gt=0, description="points of expected regret at which it stops; null: a quarter of the margin"
    )

    @field_validator("budget")
    @classmethod
    def _is_time(cls, value: str | None) -> str | None:
        if value is not None:
            parse_seconds(value)
        return value

    @property
    def seconds(self) -> float | None:
        """The budget in seconds."""
        return None if self.budget is None else parse_seconds(self.budget)


def parse_seconds(text: str) -> float:
    """`90s`, `20min`, `1.5h`. Raises ValueError for anything else."""
    try:
        budget = parse_budget(text)
    except ValueError:
        budget = None
    if budget is None or budget.unit != "seconds":
        raise ValueError("write a time such as 90s, 20min or 1.5h")
    return budget.amount


def _read(value: object) -> object:
    if isinstance(value, bool):
        return {} if value else None
    if value is not None and not isinstance(value, (dict, Decide)):
        raise ValueError("write true, or a mapping with max_seeds, budget or target")
    return value


# As a study holds it: a mapping, true for the defaults, or nothing.
WrittenDecide = Annotated[Decide | None, BeforeValidator(_read)]
