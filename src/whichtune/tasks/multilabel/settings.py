"""Settings of texts with several labels: from which probability on a label is chosen."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


class MultilabelSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    label_thresholds: Literal["validation"] | float = Field(
        "validation",
        description="the probability from which on a label is chosen: of each label the one with the best F1 on the "
        "validation split, or one number for all, such as 0.5",
    )

    @field_validator("label_thresholds")
    @classmethod
    def _probability(cls, value: str | float) -> str | float:
        if isinstance(value, float) and not 0 < value < 1:
            raise ValueError("must be above 0 and below 1, or 'validation'")
        return value
