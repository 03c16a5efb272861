"""Full fine-tuning in turns: from the top down, or after the head."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from whichtune.methods.base import CHOSEN, Card, Method, NoSettings, register
from whichtune.models.course import Course

if TYPE_CHECKING:
    from torch import nn

    from whichtune.methods.fitting import Features
    from whichtune.models.adaptable import Adaptable

FAMILY = "the whole model"


class UnfreezingSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    unfreezing_share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="share of the steps over which layers join, evenly: the head alone first, then a block more at a "
        "time, with the first block the embeddings; after it everything trains",
    )


@register
class GradualUnfreezing(Method[UnfreezingSettings]):
    name = "gradual_unfreezing"
    Settings = UnfreezingSettings
    deep = True
    family = FAMILY
    card = Card(
        title="Gradual unfreezing",
        summary="Train the head first, then let the blocks join one by one from the top down, until everything trains.",
        trains="Everything, in turns.",
        use_when="Full fine-tuning forgets: lower blocks move only when those above fit the new labels.",
        cost="At most full fine-tuning's: its backward passes end at the lowest block that trains. Operations are told "
        "as if all trained from the beginning.",
        learning_rate=2e-4,
        learning_rate_of_texts=5e-5,
        rate_note=CHOSEN + "82.5 %, and 72.0 at 1e-3. One epoch a layer in the paper, which asks for many epochs.",
        stored="Every parameter.",
        reference="Howard and Ruder 2018, Universal Language Model Fine-tuning for Text Classification",
    )

    def attach(self, model: Adaptable, settings: UnfreezingSettings, seed: int) -> None:
        model.requires_grad_(True)

    def course(self, model: Adaptable, settings: UnfreezingSettings) -> Course:
        from whichtune.models.depth import parts_from_the_top

        return _Unfreezing(parts_from_the_top(model), settings.unfreezing_share)


class _Unfreezing(Course):
    def __init__(self, parts: Sequence[Sequence[nn.Parameter]], share: float) -> None:
        *above, block, rest = parts
        self.stages = [*above, [*block, *rest]]
        self.share, self.total = share, 1

    def begin(self, total: int) -> None:
        self.total = total

    def frozen(self, number: int) -> list[nn.Parameter]:
        """What does not train yet in step `number`."""
        joined = 1 + int(number * len(self.stages) / (self.share * self.total))
        return [p for stage in self.stages[joined:] for p in stage]

    @contextmanager
    def step(self, number: int) -> Iterator[None]:
        waiting = self.frozen(number)
        for parameter in waiting:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in waiting:
                parameter.requires_grad_(True)


@register
class LpFt(Method[NoSettings]):
    name = "lp_ft"
    deep = True
    fits_first = True
    reads_validation = True
    family = FAMILY
    tasks = ("classification",)
    card = Card(
        title="LP-FT, linear probing then fine-tuning",
        summary="Fit the head on frozen features first, to its end, then train every parameter from there.",
        trains="Everything; the head begins as a logistic regression whose strength is chosen on validation.",
        use_when="Texts to come may differ from those you have: a new head's first steps then harm less of the model.",
        cost="Full fine-tuning's, and a pass over the training and validation texts before it.",
        learning_rate=5e-5,
        rate_note="Not measured here: that of full; a smaller one keeps more of the features.",
        stored="Every parameter.",
        reference="Kumar et al. 2022, Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution",
    )

    def attach(self, model: Adaptable, settings: NoSettings, seed: int) -> None:
        model.requires_grad_(True)

    def fit(self, model: Adaptable, data: Features, settings: NoSettings, seed: int) -> list[str]:
        from whichtune.methods.fitting import logistic

        return logistic(model, data)
