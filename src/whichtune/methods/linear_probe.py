"""A linear head on frozen features, solved instead of trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whichtune.methods.base import Card, Method, NoSettings, register, train_only

if TYPE_CHECKING:
    from whichtune.methods.fitting import Features
    from whichtune.models.adaptable import Adaptable


@register
class LinearProbe(Method[NoSettings]):
    name = "linear_probe"
    closed_form = True
    tasks = ("classification", "regression")
    family = "a head on frozen features"
    card = Card(
        title="Linear probe",
        summary="Solve for the head on frozen features in closed form: no steps, no learning rate.",
        trains="The head, by linear discriminant analysis with Ledoit-Wolf shrinkage; of numbers by ridge "
        "regression, whose penalty is chosen by the validation loss.",
        use_when="You want to know at once how much the frozen model already knows of your labels.",
        cost="One pass over the training texts (of numbers the validation texts, too) and one d x d linear system.",
        learning_rate=None,
        reference="Alain and Bengio 2017, linear classifier probes; Ledoit and Wolf 2004 (shrinkage); Hoerl and "
        "Kennard 1970 (ridge regression)",
    )

    def attach(self, model: Adaptable, settings: NoSettings, seed: int) -> None:
        train_only(model, [model.head])

    def fit(self, model: Adaptable, data: Features, settings: NoSettings, seed: int) -> list[str]:
        from whichtune.methods.fitting import discriminant, ridge

        return ridge(model, data) if data.numbers else discriminant(model, data)
