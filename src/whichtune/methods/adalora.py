"""LoRA whose ranks move to the layers that need them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from whichtune.methods.base import CHOSEN, Card, register
from whichtune.methods.peft_method import PeftMethod, chosen_layers
from whichtune.study.spaces import Spaces, choice

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from whichtune.models.adaptable import Adaptable
    from whichtune.models.course import Course

LONG = 10**9  # steps that are planned, until training begins and says how many


class AdaLoraSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    initial_rank: int = Field(12, ge=1, description="rank of every update at first")
    target_rank: int = Field(8, ge=1, description="mean rank of all updates in the end")
    lora_alpha: float = Field(32.0, gt=0, description="the update's scale; PEFT divides it by the rank")
    lora_dropout: float = Field(0.0, ge=0, lt=1, description="dropout before the update, in training")
    lora_targets: Literal["all_linear", "attention", "mlp"] | list[str] = Field(
        "all_linear", description="the layers that are adapted, as for `lora`"
    )
    allocation_begins: float = Field(0.1, ge=0, lt=1, description="share of the steps before ranks are taken away")
    allocation_ends: float = Field(0.3, gt=0, lt=1, description="share of the steps, the last ones, with ranks settled")
    allocation_interval: int = Field(10, ge=1, description="steps between two allocations")
    orthogonality: float = Field(0.5, ge=0, description="weight of the penalty that keeps the matrices orthogonal")

    @model_validator(mode="after")
    def _falls(self) -> AdaLoraSettings:
        if self.target_rank > self.initial_rank:
            raise ValueError("target_rank must not be above initial_rank: ranks are taken away")
        if self.allocation_begins + self.allocation_ends >= 1:
            raise ValueError("allocation_begins and allocation_ends leave no steps between them")
        return self


@register
class AdaLora(PeftMethod[AdaLoraSettings]):
    name = "adalora"
    Settings = AdaLoraSettings
    peft_type = "ADALORA"
    own_spaces: ClassVar[Spaces] = {"target_rank": choice(2, 4, 8)}
    card = Card(
        title="AdaLoRA, adaptive LoRA",
        summary="LoRA in the form of a singular value decomposition, whose ranks move to the layers that need them.",
        trains="Two thin matrices and a vector of singular values beside every adapted layer, and the new head.",
        use_when="You want few ranks in all, and do not know which layers need them.",
        cost="LoRA's, with the matrices' products in every step for the penalty, and an importance for every number.",
        learning_rate=1e-2,
        learning_rate_of_texts=5e-4,
        rate_note=CHOSEN + "78.0 % at 4e-3, 80.0 at 1.6e-2, 59 at 2e-4. The paper's for MNLI with DeBERTa is 5e-4. The "
        "curves show the loss of the data, without the penalty.",
        stored="The matrices at their first rank, and the singular values, those taken away at zero.",
        reference="Zhang et al. 2023, AdaLoRA: Adaptive Budget Allocation for Parameter-Efficient Fine-Tuning",
    )

    def fields(self, settings: AdaLoraSettings) -> dict[str, Any]:
        return {
            "init_r": settings.initial_rank,
            "target_r": settings.target_rank,
            "lora_alpha": settings.lora_alpha,
            "lora_dropout": settings.lora_dropout,
            "deltaT": settings.allocation_interval,
            "orth_reg_weight": settings.orthogonality,
            "total_step": LONG,
        }

    def layers(self, backbone: PreTrainedModel, settings: AdaLoraSettings) -> dict[str, Any]:
        return {"target_modules": chosen_layers(backbone, settings.lora_targets, "lora_targets")}

    def course(self, model: Adaptable, settings: AdaLoraSettings) -> Course:
        from whichtune.methods.allocation import Allocation

        assert model.adapter is not None
        return Allocation(model.adapter, settings.allocation_begins, settings.allocation_ends)
