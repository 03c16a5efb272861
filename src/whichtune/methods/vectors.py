"""Adapters of which vectors train: scales of activations, of fixed random matrices, of norms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from whichtune.methods.base import CHOSEN, Card, NoSettings, register
from whichtune.methods.peft_method import PeftMethod, TargetSettings
from whichtune.study.spaces import Spaces, choice

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Ia3Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class VeraSettings(TargetSettings):
    random_rank: int = Field(256, ge=1, description="rank of the random matrices that all layers share")
    initial_scale: float = Field(0.1, gt=0, description="what the first of the two vectors begins with")


class RandLoraSettings(TargetSettings):
    random_rank: int = Field(32, ge=1, description="rank of each random matrix: the smaller, the more of them train")


@register
class Ia3(PeftMethod[Ia3Settings]):
    name = "ia3"
    Settings = Ia3Settings
    peft_type = "IA3"
    card = Card(
        title="(IA)3, infused adapter by inhibiting and amplifying inner activations",
        summary="Multiply keys, values and the feed-forward part's inner activations by trained vectors.",
        trains="A vector for keys, one for values and one for the feed-forward part of every block; the new head.",
        use_when="You have few texts, or want the smallest file that still acts in every block.",
        cost="A full forward and backward pass with next to no optimiser memory.",
        learning_rate=1e-2,
        learning_rate_of_texts=3e-3,
        rate_note=CHOSEN + "78.5 % at 4e-3, 79.0 at 1.6e-2, 72.5 at 1e-3; the paper's (T-Few) is 3e-3.",
        reference="Liu et al. 2022, Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context "
        "Learning",
    )

    def layers(self, backbone: PreTrainedModel, settings: Ia3Settings) -> dict[str, Any]:
        from whichtune.models.targets import scaled_layers
        from whichtune.models.unfuse import unfuse

        unfuse(backbone)
        keys, last = scaled_layers(backbone)
        return {"target_modules": [*keys, *last], "feedforward_modules": last}


@register
class Vera(PeftMethod[VeraSettings]):
    name = "vera"
    Settings = VeraSettings
    peft_type = "VERA"
    own_spaces: ClassVar[Spaces] = {"random_rank": choice(64, 256, 1024)}
    card = Card(
        title="VeRA, vector-based random matrix adaptation",
        summary="LoRA with two random matrices that all layers share and never train; two vectors a layer scale them.",
        trains="Two vectors beside every adapted layer, and a classifier's new head.",
        use_when="LoRA's files are too large: these are ten times smaller and more.",
        cost="LoRA's time at that rank, with next to no optimiser memory.",
        learning_rate=1.6e-2,
        learning_rate_of_texts=4e-3,
        rate_note=CHOSEN + "78.0 %, the largest tried; 74.0 at 4e-3, the lowest of the paper's for GLUE with RoBERTa.",
        stored="The vectors; the random matrices are drawn again from a fixed seed.",
        reference="Kopiczko, Blankevoort and Asano 2024, VeRA: Vector-based Random Matrix Adaptation",
    )

    def fields(self, settings: VeraSettings) -> dict[str, Any]:
        return {"r": settings.random_rank, "d_initial": settings.initial_scale}


@register
class RandLora(PeftMethod[RandLoraSettings]):
    name = "randlora"
    Settings = RandLoraSettings
    peft_type = "RANDLORA"
    own_spaces: ClassVar[Spaces] = {"random_rank": choice(16, 32, 64)}
    card = Card(
        title="RandLoRA, full-rank updates of random matrices",
        summary="An update of full rank: a sum of fixed random low-rank matrices, each scaled by trained vectors.",
        trains="A matrix and a vector of scales beside every adapted layer, and a classifier's new head.",
        use_when="A low rank is what holds LoRA back.",
        cost="More time and memory than LoRA: the random matrices of full rank are formed in every step.",
        learning_rate=1e-3,
        rate_note=CHOSEN + "80.0 %; 77.5 at 2e-4, chance at 4e-3.",
        stored="The scales; the random matrices are drawn again from a fixed seed.",
        reference="Albert et al. 2025, RandLoRA: Full-Rank Parameter-Efficient Fine-Tuning of Large Models",
    )

    def fields(self, settings: RandLoraSettings) -> dict[str, Any]:
        return {"r": settings.random_rank}


@register
class LnTuning(PeftMethod[NoSettings]):
    name = "ln_tuning"
    peft_type = "LN_TUNING"
    card = Card(
        title="LayerNorm tuning by PEFT",
        summary="Train the norms' weights and biases, as PEFT's LN_TUNING does; the same function as `norm_only`.",
        trains="The weight and bias of every norm, and a classifier's new head.",
        use_when="You want PEFT's own layers; else norm_only does the same.",
        cost="A full forward and backward pass with next to no optimiser memory.",
        learning_rate=1e-2,
        learning_rate_of_texts=1e-3,
        rate_note=CHOSEN + "79.5 % at 4e-3, 81.0 at 1.6e-2, 75.0 at 1e-3.",
        reference="Zhao et al. 2024, Tuning LayerNorm in Attention: Towards Efficient Multi-Modal LLM Finetuning",
    )

    def layers(self, backbone: PreTrainedModel, settings: NoSettings) -> dict[str, Any]:
        from whichtune.models.targets import norms_of

        return {"target_modules": list(norms_of(backbone))}
