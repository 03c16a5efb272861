"""Prompt tuning: trained vectors before the token embeddings, by PEFT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from whichtune.methods.base import Card, register
from whichtune.methods.virtual_tokens import VirtualTokensMethod, VirtualTokensSettings

if TYPE_CHECKING:
    from whichtune.models.adaptable import Adaptable
    from whichtune.models.prompts import SoftPrompt


@register
class SoftPromptTuning(VirtualTokensMethod[VirtualTokensSettings]):
    name = "soft_prompt"
    family = "virtual tokens"
    card = Card(
        title="Prompt tuning",
        summary="Put a few trained vectors before every text; the model stays as it is.",
        trains="Virtual tokens x embedding size numbers, and the head.",
        use_when="You want the smallest file for each task, and one frozen model to serve many tasks in one batch.",
        cost="A full forward and backward pass over texts that are longer by the virtual tokens; next to no optimiser "
        "memory. It learns slowly: give it a high rate and many epochs.",
        learning_rate=1e-2,
        reference="Lester, Al-Rfou and Constant 2021, The Power of Scale for Parameter-Efficient Prompt Tuning",
    )

    def new_prompt(
        self, model: Adaptable, settings: VirtualTokensSettings, seed: int, text: Sequence[int] | None
    ) -> SoftPrompt:
        from whichtune.models.prompts import new_soft_prompt
        from whichtune.seeding import ADAPTER, generator

        draw = generator(seed, ADAPTER)
        return new_soft_prompt(model.backbone, settings.virtual_tokens, settings.prompt_initialisation, draw, text)
