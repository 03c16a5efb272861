"""P-tuning: virtual tokens that a small trained network makes, by PEFT."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from whichtune.methods.base import CHOSEN, Card, Method, register, train_only
from whichtune.study.spaces import Spaces, choice

if TYPE_CHECKING:
    from whichtune.models.adaptable import Adaptable


class PTuningSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    virtual_tokens: int = Field(
        20,
        ge=1,
        description="how many virtual tokens stand before each text; they take as many of the model's positions",
    )
    prompt_encoder: Literal["mlp", "lstm"] = Field("mlp", description="the network that makes them")
    prompt_encoder_size: int | None = Field(
        None, ge=1, description="hidden size of that network; `null`: as wide as the embeddings"
    )


@register
class PTuning(Method[PTuningSettings]):
    name = "p_tuning"
    Settings = PTuningSettings
    deep = True
    inserts = True
    family = "virtual tokens"
    own_spaces: ClassVar[Spaces] = {"virtual_tokens": choice(5, 10, 20)}
    card = Card(
        title="P-tuning",
        summary="Put a few virtual tokens, made by a small trained network, before every text; all else stays.",
        trains="The network and its inputs, and the head.",
        use_when="A soft prompt learns too slowly: the network learns faster; only its output is needed afterwards.",
        cost="A full forward and backward pass over texts that are longer by the virtual tokens.",
        learning_rate=1.6e-2,
        learning_rate_of_texts=1e-3,
        rate_note=CHOSEN + "80.0 %, and 71.0 at 1e-3, that of PEFT's own example.",
        stored="The network with its inputs, which makes the same virtual tokens again.",
        reference="Liu et al. 2021, GPT Understands, Too",
    )

    def reserved_tokens(self, settings: PTuningSettings) -> int:
        return settings.virtual_tokens

    def keeps_weights(self, settings: PTuningSettings) -> bool:
        return True

    def attach(self, model: Adaptable, settings: PTuningSettings, seed: int) -> None:
        from whichtune.models.prompts import new_network_prompt
        from whichtune.seeding import ADAPTER, seed_global

        seed_global(seed, ADAPTER)  # PEFT draws from the global generator
        model.prompt = new_network_prompt(
            model.backbone, settings.virtual_tokens, settings.prompt_encoder, settings.prompt_encoder_size
        )
        train_only(model, [model.prompt, model.head])

    def can_merge(self, model: Adaptable) -> bool:
        return True

    @contextmanager
    def merged(self, model: Adaptable) -> Iterator[bool]:
        """The network has run once; what it made stands in its place."""
        from whichtune.models.prompts import SoftPrompt

        prompt = model.prompt
        assert isinstance(prompt, SoftPrompt)
        prompt.fixed = prompt.vectors().detach()
        try:
            yield True
        finally:
            prompt.fixed = None
