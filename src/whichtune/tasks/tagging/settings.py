"""Settings of tagging: at which of its tokens a word is read."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class TaggingSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    tag_token: Literal["first", "last"] = Field(
        "first",
        description="the token of a word at which its tag is learnt and told, where it has several; in a decoder the "
        "last alone has seen the whole word",
    )
