"""What a check found, as it stands in summary.json."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Status = Literal["passed", "warned", "not_applicable"]


class Check(BaseModel):
    """One question that is asked of every study, and its answer."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    code: str = Field(description="short and stable: what scripts look for")
    title: str = Field(description="the code in words")
    status: Status
    sentence: str = Field(description="what was found, with its figures; or why the question does not arise")
    rows: list[str] = Field([], description="labels of the rows that it is about")
    classes: list[str] = Field([], description="names of the classes that it is about")
    examples: list[str] = Field([], description="ids of the test texts that it is about, the first 20 of them")
    anchor: str = Field(description="where the check is documented: a page of docs/ and a place on it")


def warned_beside(checks: list[Check], told: list[str]) -> list[Check]:
    """The warned checks whose sentence is not among those that are told already."""
    return [check for check in checks if check.status == "warned" and check.sentence not in told]
