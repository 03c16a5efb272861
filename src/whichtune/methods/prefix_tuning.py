"""Prefix tuning: trained keys and values before those of every block, by PEFT."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from whichtune.methods.base import Card, register
from whichtune.methods.virtual_tokens import VirtualTokensMethod, VirtualTokensSettings

if TYPE_CHECKING:
    from whichtune.models.adaptable import Adaptable
    from whichtune.models.loading import ModelInfo
    from whichtune.models.prompts import Prefix
    from whichtune.study.spec import Settings as RunSettings


class PrefixTuningSettings(VirtualTokensSettings):
    prefix_projection: bool = Field(
        False,
        description="make the prefix from small vectors by a network of two layers, which trains instead of it; it "
        "begins as `random`",
    )
    prefix_projection_size: int | None = Field(
        None, ge=1, description="hidden size of that network; `null`: as wide as a block's keys"
    )

    @model_validator(mode="after")
    def _projection_begins_random(self) -> PrefixTuningSettings:
        if self.prefix_projection and self.prompt_initialisation == "text":
            raise ValueError("prefix_projection begins from random numbers, not from prompt_text: choose one of them")
        if self.prefix_projection_size is not None and not self.prefix_projection:
            raise ValueError("prefix_projection_size is for prefix_projection: turn that on, too")
        return self


@register
class PrefixTuning(VirtualTokensMethod[PrefixTuningSettings]):
    name = "prefix_tuning"
    Settings = PrefixTuningSettings
    family = "virtual tokens"
    card = Card(
        title="Prefix tuning",
        summary="Give every block a few trained keys and values to attend to before those of the text; for decoders.",
        trains="Virtual tokens x blocks x twice the size of a block's keys, and the head.",
        use_when="A soft prompt is too weak, for it acts in every block and learns faster, and files are still small.",
        cost="A full forward and backward pass over texts whose attention is longer by the virtual tokens.",
        learning_rate=5e-3,
        reference="Li and Liang 2021, Prefix-Tuning: Optimizing Continuous Prompts for Generation",
    )

    def new_prompt(
        self, model: Adaptable, settings: PrefixTuningSettings, seed: int, text: Sequence[int] | None
    ) -> Prefix:
        from whichtune.models.prompts import new_prefix
        from whichtune.seeding import ADAPTER, generator

        return new_prefix(
            model.backbone,
            settings.virtual_tokens,
            settings.prompt_initialisation,
            generator(seed, ADAPTER),
            text,
            settings.prefix_projection,
            settings.prefix_projection_size,
        )

    def conflict(self, own: PrefixTuningSettings, shared: RunSettings, info: ModelInfo | None) -> str | None:
        if info is not None and info.kind == "encoder":
            return (
                f"prefix_tuning is for decoders: {info.model_type} keeps no keys and values of past tokens; "
                "use soft_prompt"
            )
        if shared.gradient_checkpointing:
            return "gradient_checkpointing runs blocks again without the prefix: turn it off for prefix_tuning"
        return None

    @contextmanager
    def merged(self, model: Adaptable) -> Iterator[bool]:
        """With a projection, its network has run once; what it made stands in its place."""
        from whichtune.models.prompts import Prefix

        prefix = model.prompt
        assert isinstance(prefix, Prefix)
        if not prefix.encoder.prefix_projection:
            yield False
            return
        prefix.fixed = prefix.keys_and_values().detach()
        try:
            yield True
        finally:
            prefix.fixed = None
