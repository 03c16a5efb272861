"""What soft prompts and prefixes have in common: settings, their checks, and the head that trains beside them."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from whichtune.methods.base import Method, train_only
from whichtune.study.spaces import Spaces, choice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from whichtune.models.adaptable import Adaptable
    from whichtune.models.prompts import Prompt


class VirtualTokensSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    virtual_tokens: int = Field(
        20,
        ge=1,
        description="how many virtual tokens stand before each text; they take as many of the model's positions",
    )
    prompt_initialisation: Literal["vocabulary", "random", "text"] = Field(
        "vocabulary",
        description="virtual tokens begin as tokens drawn from the `vocabulary`, as those of `prompt_text`, or as "
        "`random` numbers (standard normal)",
    )
    prompt_text: str | None = Field(
        None, description="the text whose tokens they begin as, repeated or cut to the number of virtual tokens"
    )

    @model_validator(mode="after")
    def _text_where_it_is_used(self) -> VirtualTokensSettings:
        if self.prompt_initialisation == "text" and not (self.prompt_text or "").strip():
            raise ValueError("prompt_initialisation 'text' needs prompt_text: give the text to begin from")
        if self.prompt_initialisation != "text" and self.prompt_text is not None:
            raise ValueError(f"prompt_text is not used with prompt_initialisation '{self.prompt_initialisation}'")
        return self


SettingsT = TypeVar("SettingsT", bound=VirtualTokensSettings)


class VirtualTokensMethod(Method[SettingsT], Generic[SettingsT]):
    """A prompt before every text trains, and the head; the model itself stays as it is."""

    Settings = VirtualTokensSettings
    deep = True
    inserts = True
    own_spaces: ClassVar[Spaces] = {"virtual_tokens": choice(5, 10, 20)}  # none needs more room than the default

    def reserved_tokens(self, settings: SettingsT) -> int:
        return settings.virtual_tokens

    def keeps_weights(self, settings: SettingsT) -> bool:
        return True

    def attach(self, model: Adaptable, settings: SettingsT, seed: int) -> None:
        from whichtune.seeding import ADAPTER, seed_global

        seed_global(seed, ADAPTER)  # PEFT draws from the global generator
        prompt = self.new_prompt(model, settings, seed, _tokens_of_text(model, settings))
        model.prompt = prompt
        train_only(model, [prompt, model.head])

    @abstractmethod
    def new_prompt(self, model: Adaptable, settings: SettingsT, seed: int, text: Sequence[int] | None) -> Prompt:
        """The virtual tokens with their first values; `text` holds the ids of the text to begin from."""


def _tokens_of_text(model: Adaptable, settings: VirtualTokensSettings) -> list[int] | None:
    if settings.prompt_text is None or model.tokenizer is None:
        return None
    ids: list[int] = model.tokenizer(settings.prompt_text, add_special_tokens=False)["input_ids"]
    return ids
