"""The model as it is: what all tuning is measured against."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from whichtune.methods.base import Card, Method, register

if TYPE_CHECKING:
    from whichtune.models.heads import Classifier


@register
class Untuned(Method):
    name = "untuned"
    trains = False
    tasks = ("text_to_text", "summarisation")
    card = Card(
        summary="The pretrained model, not trained at all.",
        trains="Nothing.",
        use_when="You want to know what tuning adds: it stands in every table of written texts.",
        cost="None but that of writing.",
        learning_rate=None,
        reference="Radford et al. 2019, GPT-2 (summaries from a prompt, without training)",
    )

    def attach(self, classifier: Classifier, settings: Any, seed: int) -> None:
        classifier.requires_grad_(False)
