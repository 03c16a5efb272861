"""The model as it is: what all tuning is measured against."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whichtune.methods.base import Card, Method, NoSettings, register

if TYPE_CHECKING:
    from whichtune.models.adaptable import Adaptable


@register
class Untuned(Method[NoSettings]):
    name = "untuned"
    trains = False
    tasks = ("text_to_text", "summarisation")
    family = "the whole model"
    card = Card(
        title="The model as it is",
        summary="The pretrained model, not trained at all.",
        trains="Nothing.",
        use_when="You want to know what tuning adds: it stands in every table of written texts.",
        cost="None but that of writing.",
        learning_rate=None,
        reference="Radford et al. 2019, GPT-2 (summaries from a prompt, without training)",
    )

    def keeps_weights(self, settings: NoSettings) -> bool:
        return True

    def attach(self, model: Adaptable, settings: NoSettings, seed: int) -> None:
        model.requires_grad_(False)
