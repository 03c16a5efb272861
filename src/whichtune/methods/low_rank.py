"""LoRA's kin: the same thin matrices with another scale, another beginning, another rate, or a direction apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from whichtune.methods.base import CHOSEN, Card, register
from whichtune.methods.peft_method import PeftMethod, chosen_layers
from whichtune.models.course import Course, Group
from whichtune.study.spaces import Spaces, choice

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

    from whichtune.models.adaptable import Adaptable

TRAINS = "Two thin matrices beside every adapted layer, and a classifier's new head."
COST = "That of LoRA: a full forward and backward pass, gradients and optimiser state for about 1 % of the weights."


class LowRankSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    lora_rank: int = Field(16, ge=1, description="rank of the update")
    lora_alpha: float = Field(32.0, gt=0, description="numerator of the update's scale")
    lora_dropout: float = Field(0.0, ge=0, lt=1, description="dropout before the update, in training")
    lora_targets: Literal["all_linear", "attention", "mlp"] | list[str] = Field(
        "all_linear", description="the layers that are adapted, as for `lora`"
    )

    @field_validator("lora_targets")
    @classmethod
    def _some_layer(cls, value: str | list[str]) -> str | list[str]:
        if not value:
            raise ValueError("must name a layer or more")
        return value


class LoraPlusSettings(LowRankSettings):
    lora_rate_ratio: float = Field(
        16.0, ge=1, description="the rate of the matrices that begin at zero (B), as a multiple of the others'"
    )


class LowRank(PeftMethod[LowRankSettings]):
    Settings = LowRankSettings
    peft_type = "LORA"
    own_spaces: ClassVar[Spaces] = {"lora_rank": choice(4, 8, 16, 32)}
    kind: ClassVar[dict[str, Any]] = {}  # what sets it apart, as PEFT's configuration has it

    def stand_in(self, settings: LowRankSettings, fields: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Without values there is nothing to decompose: matrices of the same shapes."""
        return self.peft_type, {name: value for name, value in fields.items() if name != "init_lora_weights"}

    def fields(self, settings: LowRankSettings) -> dict[str, Any]:
        return {
            "r": settings.lora_rank,
            "lora_alpha": settings.lora_alpha,
            "lora_dropout": settings.lora_dropout,
            **self.kind,
        }

    def layers(self, backbone: PreTrainedModel, settings: LowRankSettings) -> dict[str, Any]:
        return {"target_modules": chosen_layers(backbone, settings.lora_targets, "lora_targets")}


@register
class Dora(LowRank):
    name = "dora"
    kind: ClassVar[dict[str, Any]] = {"use_dora": True}
    card = Card(
        title="DoRA, weight-decomposed low-rank adaptation",
        summary="LoRA for the direction of each weight, and a trained length of each of its rows.",
        trains="Two thin matrices and a vector of lengths beside every adapted layer, and a classifier's new head.",
        use_when="LoRA at a small rank falls short of full fine-tuning.",
        cost="LoRA's memory, and more time: every step forms the adapted weights to measure their lengths.",
        learning_rate=1e-3,
        learning_rate_of_texts=2e-4,
        rate_note=CHOSEN
        + "81.0 %, and 68.0 at 1e-4; at 3e-3 it fell to chance on SMS. The paper's for LLaMA-7B is 2e-4.",
        reference="Liu et al. 2024, DoRA: Weight-Decomposed Low-Rank Adaptation",
    )


@register
class RsLora(LowRank):
    name = "rslora"
    kind: ClassVar[dict[str, Any]] = {"use_rslora": True}
    card = Card(
        title="rsLoRA, rank-stabilised LoRA",
        summary="LoRA whose update is scaled by alpha over the root of the rank, so that high ranks learn, too.",
        trains=TRAINS,
        use_when="You compare ranks, or want one above 32.",
        cost=COST,
        learning_rate=2e-4,
        rate_note="LoRA's for GPT-2 (Hu et al. 2022); the scale is the root of the rank times larger. On 200 "
        "validation texts of IMDB with MiniLM 79.5 %, the best of ten draws 82.0 at 1.4e-3, and 77.5 to 79 at "
        "other rates from 1e-4 to 1e-3: that lead is luck for the most part.",
        reference="Kalajdzievski 2023, A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA",
    )


@register
class LoraPlus(LowRank):
    name = "lora_plus"
    Settings = LoraPlusSettings
    own_spaces: ClassVar[Spaces] = {**LowRank.own_spaces, "lora_rate_ratio": choice(2, 4, 8, 16)}
    card = Card(
        title="LoRA+",
        summary="LoRA with two rates: the matrices that begin at zero learn faster than the others.",
        trains=TRAINS,
        use_when="LoRA learns too slowly in wide models.",
        cost=COST,
        learning_rate=1e-4,
        rate_note=CHOSEN
        + "79.0 %, 80.5 at 3e-4, chance at 1e-3. With the paper's ratio of 16 the faster matrices train at "
        "1.6e-3. The head trains at the lower of the two.",
        reference="Hayou, Ghosh and Yu 2024, LoRA+: Efficient Low Rank Adaptation of Large Models",
    )

    def course(self, model: Adaptable, settings: LowRankSettings) -> Course:
        assert isinstance(settings, LoraPlusSettings)
        return _TwoRates(settings.lora_rate_ratio)


class _TwoRates(Course):
    def __init__(self, ratio: float) -> None:
        self.ratio = ratio

    def groups(self, model: nn.Module) -> list[Group]:
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        fast = [p for name, p in named if "lora_B" in name]
        return [Group([p for name, p in named if "lora_B" not in name]), Group(fast, self.ratio)]


@register
class Pissa(LowRank):
    name = "pissa"
    kind: ClassVar[dict[str, Any]] = {"init_lora_weights": "pissa"}
    card = Card(
        title="PiSSA, principal singular values and vectors adaptation",
        summary="LoRA that begins as the largest singular values of each weight, which the frozen rest then lacks.",
        trains=TRAINS,
        use_when="LoRA's first steps are slow: training moves along the weights' strongest directions.",
        cost=COST + " One singular value decomposition of each adapted weight before training.",
        learning_rate=2e-4,
        rate_note=CHOSEN + "80.0 %. LoRA's for GPT-2 (Hu et al. 2022); the paper trains 7 billion parameters at 2e-5.",
        stored="The trained matrices; the frozen rest is found again from the pretrained weights.",
        reference="Meng, Wang and Zhang 2024, PiSSA: Principal Singular Values and Singular Vectors Adaptation",
    )

    def keeps_weights(self, settings: LowRankSettings) -> bool:
        return False  # it takes a part of the matrices out of them


@register
class Olora(LowRank):
    name = "olora"
    kind: ClassVar[dict[str, Any]] = {"init_lora_weights": "olora"}
    card = Card(
        title="OLoRA, orthonormal LoRA",
        summary="LoRA that begins as an orthonormal basis (QR) of each weight.",
        trains=TRAINS,
        use_when="As PiSSA, with a cheaper decomposition.",
        cost=COST + " One QR decomposition of each adapted weight before training.",
        learning_rate=3e-4,
        rate_note="That of PEFT's own example. On 200 validation texts of IMDB with MiniLM 77.5 %, the best of ten "
        "draws 80.5 at nearly this rate; 79.0 at 1e-4, 80.0 at 1e-3: no rate is better beyond luck.",
        stored="The trained matrices; the frozen rest is found again from the pretrained weights.",
        reference="Büyükakyüz 2024, OLoRA: Orthonormal Low-Rank Adaptation of Large Language Models",
    )

    def keeps_weights(self, settings: LowRankSettings) -> bool:
        return False  # it takes a part of the matrices out of them
