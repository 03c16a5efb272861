"""Low-rank updates beside frozen linear layers, by PEFT."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from whichtune.methods.base import Card, Method, register
from whichtune.models.targets import callable_layers, find_targets, unreached
from whichtune.study.spaces import Spaces, choice

if TYPE_CHECKING:
    from whichtune.models.adaptable import Adaptable


class LoraSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    lora_rank: int = Field(16, ge=1, description="rank of the update")
    lora_alpha: float = Field(32.0, gt=0, description="numerator of the update's scale")
    lora_dropout: float = Field(0.0, ge=0, lt=1, description="dropout before the update, in training")
    lora_targets: Literal["all_linear", "attention", "mlp"] | list[str] = Field(
        "all_linear",
        description="`all_linear` layers of the blocks, those of the `attention`, those outside it (`mlp`), or a list "
        "of layer names; a fused q-k-v layer is split in three unless the list names it",
    )
    lora_scaling: Literal["alpha_over_rank", "alpha"] = Field(
        "alpha_over_rank", description="the update is multiplied by alpha / rank, or by alpha"
    )
    lora_initialisation: Literal["peft", "reference"] = Field(
        "peft", description="A uniform in +-1/sqrt(width) as PEFT does, or in +-1/sqrt(rank)"
    )
    lora_head: bool = Field(False, description="adapt the head too; it trains in full either way")

    @field_validator("lora_targets")
    @classmethod
    def _some_layer(cls, value: str | list[str]) -> str | list[str]:
        if not value:
            raise ValueError("must name a layer or more")
        return value


@register
class Lora(Method[LoraSettings]):
    name = "lora"
    deep = True
    inserts = True
    Settings = LoraSettings
    own_spaces: ClassVar[Spaces] = {"lora_rank": choice(4, 8, 16, 32)}
    family = "adapters by PEFT"
    card = Card(
        title="LoRA, low-rank adaptation",
        summary="Add a trainable low-rank update to frozen linear layers.",
        trains="Two thin matrices beside every adapted layer, and a classifier's new head.",
        use_when="You want quality near full fine-tuning with little optimiser memory and small files per task.",
        cost="A full forward and backward pass, but gradients and optimiser state for about 1 % of the weights. "
        "Experts whose weights are one tensor for all of them are no linear layers, and are not adapted.",
        learning_rate=5e-4,
        reference="Hu et al. 2022, LoRA: Low-Rank Adaptation of Large Language Models",
    )

    def keeps_weights(self, settings: LoraSettings) -> bool:
        return True

    def attach(self, model: Adaptable, settings: LoraSettings, seed: int) -> None:
        from peft import LoraConfig, inject_adapter_in_model
        from torch import nn

        from whichtune.models.adapters import of_no_family
        from whichtune.models.unfuse import FUSED, unfuse
        from whichtune.seeding import ADAPTER, seed_global

        backbone = model.backbone
        named = settings.lora_targets if isinstance(settings.lora_targets, list) else []
        if not set(named) & set(FUSED):
            unfuse(backbone)
        targets = callable_layers(backbone, find_targets(backbone, settings.lora_targets), "lora_targets")
        over_rank = settings.lora_scaling == "alpha_over_rank"

        def config(layers: list[str]) -> LoraConfig:
            return LoraConfig(
                r=settings.lora_rank,
                lora_alpha=settings.lora_alpha if over_rank else settings.lora_alpha * settings.lora_rank,
                lora_dropout=settings.lora_dropout,
                target_modules=layers,
            )

        seed_global(seed, ADAPTER)
        model.requires_grad_(False)
        with warnings.catch_warnings():  # PEFT tells that it adapts Conv1D by itself, for every layer
            warnings.filterwarnings("ignore", message="fan_in_fan_out is set to")
            inject_adapter_in_model(config(targets), of_no_family(backbone))
        if settings.lora_head:
            holder = nn.Module()  # PEFT adapts a module's children, never the module itself
            holder.head = model.head
            inject_adapter_in_model(config(["head"]), holder)
            model.head = holder.get_submodule("head")
        if settings.lora_initialisation == "reference":
            _initialise_like_the_published_script(model, settings.lora_rank)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_("lora_" in name or name.startswith("head."))

    def remarks(self, model: Adaptable) -> list[str]:
        """Names what no adapter reaches: a layer that is read past it, and experts whose weights are one tensor."""
        return unreached(model.backbone, "LoRA")

    def can_merge(self, model: Adaptable) -> bool:
        return True

    @contextmanager
    def merged(self, model: Adaptable) -> Iterator[bool]:
        from peft.tuners.lora import LoraLayer

        layers: list[LoraLayer] = [module for module in model.modules() if isinstance(module, LoraLayer)]
        for layer in layers:
            layer.merge()
        try:
            yield True
        finally:
            for layer in layers:
                layer.unmerge()


def _initialise_like_the_published_script(model: Adaptable, rank: int) -> None:
    """A uniform in +-1/sqrt(rank): kaiming_uniform(a=sqrt 5) of a (width, rank) matrix."""
    import torch

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_A" in name:
                parameter.uniform_(-(rank**-0.5), rank**-0.5)
