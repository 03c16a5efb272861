"""Train every parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from whichtune.methods.base import Card, Method, register
from whichtune.models.course import Course, Group

if TYPE_CHECKING:
    from torch import nn

    from whichtune.models.adaptable import Adaptable


class FullSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    layer_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="by what the rate falls from one block to the one below: the head has the learning rate, the last "
        "block that times this, and so on down to the embeddings (0.65 to 0.95 are usual)",
    )


@register
class Full(Method[FullSettings]):
    name = "full"
    deep = True
    family = "the whole model"
    Settings: ClassVar[type[BaseModel]] = FullSettings
    card = Card(
        title="Full fine-tuning",
        summary="Train every parameter of the model and the head.",
        trains="Everything: embeddings, blocks, norms and the head.",
        use_when="Quality comes first and memory for gradients and optimiser state is there.",
        cost="Four times the weights' memory (weights, gradients, two moments) and a backward pass through all blocks.",
        learning_rate=5e-5,
        rate_note="On 200 validation texts of IMDB MiniLM, a small model, was 3 points ahead at 2.8e-4 (and 2.5 at "
        "1e-4); the rate stays where larger ones are safe (2e-5 to 5e-5 in the papers). With the embedded model a "
        "searched row was 3 to 5 points ahead at nearly its rate, with less warm-up and decay: search these, too, "
        "where it matters.",
        stored="Every parameter.",
        reference="Devlin et al. 2019, BERT (fine-tuning all parameters); Clark et al. 2020, ELECTRA (layer_decay)",
    )

    def attach(self, model: Adaptable, settings: FullSettings, seed: int) -> None:
        model.requires_grad_(True)

    def course(self, model: Adaptable, settings: FullSettings) -> Course:
        return Course() if settings.layer_decay == 1 else _LayerDecay(model, settings.layer_decay)


class _LayerDecay(Course):
    def __init__(self, model: Adaptable, decay: float) -> None:
        self.model, self.decay = model, decay

    def groups(self, model: nn.Module) -> list[Group]:
        from whichtune.models.depth import parts_from_the_top

        parts = parts_from_the_top(self.model)
        return [Group(part, self.decay**number) for number, part in enumerate(parts) if part]
