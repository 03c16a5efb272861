"""Train the new head on frozen features: feature extraction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whichtune.methods.base import Card, Method, NoSettings, register, train_only

if TYPE_CHECKING:
    from whichtune.models.adaptable import Adaptable


@register
class HeadOnly(Method[NoSettings]):
    name = "head_only"
    head_alone = True
    family = "a head on frozen features"
    card = Card(
        title="Head only",
        summary="Train the linear head by gradient steps; the model stays as it is.",
        trains="The head: hidden size x classes weights and a bias for each class.",
        use_when="You want the cheapest trained classifier, or one frozen model to serve many tasks.",
        cost="Nothing below the head needs gradients; the model's features are computed once and reused.",
        learning_rate=2e-2,
        learning_rate_of_texts=5e-4,
        rate_note="A new linear layer on fixed features has no bad minima and nothing to forget, so that it bears a "
        "rate some forty times LoRA's; at smaller ones a few epochs end far from where logistic regression is.",
        reference="Donahue et al. 2014, DeCAF (features from a frozen network)",
    )

    def attach(self, model: Adaptable, settings: NoSettings, seed: int) -> None:
        train_only(model, [model.head])
