"""Classifiers on frozen features that are fitted in one go, with what is free chosen on validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from whichtune.methods.base import Card, Method, NoSettings, register, train_only

if TYPE_CHECKING:
    from whichtune.methods.fitting import Features
    from whichtune.models.adaptable import Adaptable

FAMILY = "a head on frozen features"


class NeighbourSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    neighbours: int | None = Field(
        None, ge=1, description="how many of the nearest training texts vote; `null`: chosen by the validation loss"
    )


@register
class LogisticProbe(Method[NoSettings]):
    name = "logistic_probe"
    closed_form = True
    weighs_texts = True
    reads_validation = True
    family = FAMILY
    tasks = ("classification",)
    card = Card(
        title="Logistic probe",
        summary="Fit the head on frozen features as a regularised logistic regression: no steps, no learning rate.",
        trains="The head, by scikit-learn's LogisticRegression; its strength is chosen by the validation loss.",
        use_when="You want the best that a linear head can do on the frozen model.",
        cost="One pass over training and validation texts and a few convex fits.",
        learning_rate=None,
        reference="Alain and Bengio 2017, linear classifier probes; Kornblith, Shlens and Le 2019, Do Better ImageNet "
        "Models Transfer Better?",
    )

    def attach(self, model: Adaptable, settings: NoSettings, seed: int) -> None:
        train_only(model, [model.head])

    def fit(self, model: Adaptable, data: Features, settings: NoSettings, seed: int) -> list[str]:
        from whichtune.methods.fitting import logistic

        return logistic(model, data)


@register
class NearestNeighbours(Method[NeighbourSettings]):
    name = "knn"
    grows = True
    Settings = NeighbourSettings
    closed_form = True
    reads_validation = True
    family = FAMILY
    tasks = ("classification",)
    card = Card(
        title="k nearest neighbours",
        summary="Let the training texts whose frozen features are nearest vote.",
        trains="Nothing: the features of all training texts are kept, and k is chosen on validation.",
        use_when="Labels come and go: a text is added or taken out without fitting anything.",
        cost="One pass over training and validation texts; every answer compares with all training texts.",
        learning_rate=None,
        stored="The features and labels of all training texts: hidden size x texts numbers.",
        reference="Cover and Hart 1967, Nearest neighbor pattern classification; Caron et al. 2021 (k-NN on frozen "
        "features, cosine similarity)",
    )

    def attach(self, model: Adaptable, settings: NeighbourSettings, seed: int) -> None:
        train_only(model, [model.head])

    def fit(self, model: Adaptable, data: Features, settings: NeighbourSettings, seed: int) -> list[str]:
        from whichtune.methods.fitting import neighbours

        return neighbours(model, data, settings.neighbours)

    def make_room(self, model: Adaptable, shapes: Mapping[str, Sequence[int]]) -> None:
        from torch import nn

        from whichtune.models.neighbours import NeighbourHead

        assert isinstance(model.head, nn.Linear)
        texts = shapes.get("head.keys", (1,))[0]
        model.head = NeighbourHead(texts, model.head.in_features, model.head.out_features)
