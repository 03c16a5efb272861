"""What parts of a study have in common: they do not change, and know no other keys than their own."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, FailFast, ValidationInfo, field_validator

from whichtune.study.numbers import check_number

Item = TypeVar("Item")
# A list in a stored file, read up to the first thing that is wrong in it: somebody's file may have millions.
Listed = Annotated[list[Item], FailFast()]


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _sensible_number(cls, value: object, info: ValidationInfo) -> object:
        return check_number(cls.model_fields[info.field_name or ""].annotation, value)
