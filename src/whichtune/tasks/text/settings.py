"""Settings of the tasks that make a text of a text."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

PLACE = "{document}"


class TextToTextSettings(BaseModel):
    """What the model reads, where it has a loss, and how it writes."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    template: str = Field(
        "{document}\n",
        description="what the model reads before it writes; `{document}` stands for the text and is all that is cut",
    )
    loss_on: Literal["target", "all"] = Field(
        "target", description="tokens with a loss: those of the target and its end-of-text, or `all` of them"
    )
    max_source_tokens: int | None = Field(
        None, ge=1, description="tokens that a text may have; null: what `context_length` leaves beside the target"
    )
    max_target_tokens: int | None = Field(
        None,
        ge=2,
        description="room kept for the target and its end-of-text, whatever the text's length; null: as long as the "
        "longest training target, at most half of the context",
    )
    lower_case: bool = Field(False, description="texts and targets in lower case, references of ROUGE among them")
    remove_punctuation: bool = Field(False, description="leave out ASCII punctuation of texts and targets")
    tied: Literal["untie", "train_both"] = Field(
        "untie",
        description="where head and input embeddings are one matrix and a method trains the head alone: give the head "
        "its own copy, or let both move (then nothing below can be computed once)",
    )
    generation: Literal["greedy", "beam", "sample"] = Field("greedy", description="how texts are written")
    num_beams: int = Field(4, ge=2, description="beams of `generation: beam`")
    temperature: float = Field(1.0, gt=0, description="of `generation: sample`; below 1 nearer to greedy")
    top_p: float = Field(
        1.0, gt=0, le=1, description="`generation: sample` draws from the likeliest words that have this share"
    )
    min_new_tokens: int = Field(0, ge=0, description="tokens before a written text may end")
    max_new_tokens: int | None = Field(
        None, ge=1, description="tokens after which a text is ended; null: `max_target_tokens`"
    )
    no_repeat_ngram: int = Field(0, ge=0, description="no run of so many tokens is written twice; 0: any may be")
    generation_batch_size: int = Field(16, ge=1, description="texts that are written at a time")

    @field_validator("template")
    @classmethod
    def _one_place(cls, value: str) -> str:
        if value.count(PLACE) != 1:
            raise ValueError("must have {document} once, where the text goes")
        return value


class SummarisationSettings(TextToTextSettings):
    """A text is followed by the words that stand before summaries on the web."""

    template: str = Field(
        "{document}\n\nTL;DR:",
        description="what the model reads before it writes; `{document}` stands for the text and is all that is cut",
    )
