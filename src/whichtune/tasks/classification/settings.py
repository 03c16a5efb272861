"""Settings of classification: what its loss is. At their defaults a run's identity has none of them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

EVEN, VALIDATION = 0.5, "validation"


class ClassificationSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    class_weight: Literal["balanced"] | dict[str, float] | None = Field(
        None,
        description="how much a training text counts by its label: `balanced` (texts / (classes x texts of the "
        "class)), or a mapping of labels to weights, 1 for those it leaves out; null: all alike",
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="share of the target that is spread over all classes in training"
    )
    focal_gamma: float = Field(
        0.0,
        ge=0,
        description="focal loss: a training text counts (1 - p)^gamma, p being the probability of its label; 0: all "
        "alike",
    )

    decision_threshold: float | str = Field(
        EVEN,
        description="of two classes, from which probability on one is the answer: 0.5, another for a class by its name "
        "(`spam=0.3`), or the one that is best on the validation split, by the primary metric (`validation`) or by "
        "another (`f1_macro`, `balanced_accuracy`, ...); probabilities stay as they are",
    )

    @field_validator("decision_threshold")
    @classmethod
    def _even_or_named(cls, value: float | str) -> float | str:
        if not isinstance(value, str):
            if value != EVEN:
                raise ValueError("write whose probability is meant, such as spam=0.3")
            return value
        name, equals, number = value.strip().rpartition("=")
        if not equals:
            return EVEN if value.strip() == str(EVEN) else value.strip()
        try:
            least = float(number)
        except ValueError:
            least = -1.0
        if not 0 < least < 1 or not name.strip():
            raise ValueError("must be a class and a probability above 0 and below 1, such as spam=0.3")
        return f"{name.strip()}={least:g}"

    @field_validator("class_weight")
    @classmethod
    def _positive(cls, value: str | dict[str, float] | None) -> str | dict[str, float] | None:
        if isinstance(value, dict) and (not value or min(value.values()) < 0 or max(value.values()) == 0):
            raise ValueError("weights must be 0 or more, and one of them above 0")
        return value

    @model_validator(mode="after")
    def _one_of_two(self) -> ClassificationSettings:
        if self.label_smoothing and self.focal_gamma:
            raise ValueError("label_smoothing and focal_gamma pull in opposite directions: set one of them")
        return self

    @property
    def weighs(self) -> bool:
        return self.class_weight is not None
