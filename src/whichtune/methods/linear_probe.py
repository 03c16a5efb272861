"""A linear classifier on frozen features, solved instead of trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whichtune.methods.base import Card, Method, NoSettings, register, train_only

if TYPE_CHECKING:
    from whichtune.models.adaptable import Adaptable


@register
class LinearProbe(Method[NoSettings]):
    name = "linear_probe"
    closed_form = True
    tasks = ("classification",)
    family = "a head on frozen features"
    card = Card(
        title="Linear probe",
        summary="Solve for the head on frozen features in closed form: no steps, no learning rate.",
        trains="The head, by linear discriminant analysis with Ledoit-Wolf shrinkage.",
        use_when="You want to know at once how much the frozen model already knows of your labels.",
        cost="One pass over the training texts and one d x d linear system.",
        learning_rate=None,
        reference="Alain and Bengio 2017, linear classifier probes; Ledoit and Wolf 2004 (shrinkage)",
    )

    def attach(self, model: Adaptable, settings: NoSettings, seed: int) -> None:
        train_only(model, [model.head])
