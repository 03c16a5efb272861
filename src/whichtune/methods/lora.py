"""Low-rank updates beside frozen linear layers, by PEFT."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from whichtune.errors import SettingError
from whichtune.methods.base import Card, Method, register
from whichtune.registry import did_you_mean
from whichtune.study.spaces import Spaces, choice
from whichtune.wording import listing

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from whichtune.models.adaptable import Adaptable

ATTENTION_WORDS = ("attn", "attention")
# Families whose fused kernels read this layer's weight past an adapter; PEFT refuses to adapt it.
STATE_SPACE_TYPES = ("falcon_h1", "falcon_mamba", "mamba", "mamba2", "nemotron_h")
PAST_ADAPTERS = "out_proj"


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
    card = Card(
        summary="Add a trainable low-rank update to frozen linear layers.",
        trains="Two thin matrices beside every adapted layer, and a classifier's new head.",
        use_when="You want quality near full fine-tuning with little optimiser memory and small files per task.",
        cost="A full forward and backward pass, but gradients and optimiser state for about 1 % of the weights. "
        "Experts whose weights are one tensor for all of them are no linear layers, and are not adapted.",
        learning_rate=5e-4,
        reference="Hu et al. 2022, LoRA: Low-Rank Adaptation of Large Language Models",
    )

    def attach(self, model: Adaptable, settings: LoraSettings, seed: int) -> None:
        from peft import LoraConfig, inject_adapter_in_model
        from torch import nn

        from whichtune.models.unfuse import FUSED, unfuse
        from whichtune.seeding import ADAPTER, seed_global

        backbone = model.backbone
        named = settings.lora_targets if isinstance(settings.lora_targets, list) else []
        if not set(named) & set(FUSED):
            unfuse(backbone)
        targets = find_targets(backbone, settings.lora_targets)
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
            inject_adapter_in_model(config(targets), backbone)
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
        from whichtune.models.partition import blocks_of

        said = []
        if model.backbone.config.model_type in STATE_SPACE_TYPES:
            said.append(f"LoRA does not adapt {PAST_ADAPTERS}, which this model's fused kernels read past an adapter.")
        fused = _fused_experts(model.backbone)
        if not fused:
            return said
        frozen = sum(p.numel() for p in blocks_of(model.backbone).parameters() if not p.requires_grad)
        share = 100 * sum(p.numel() for p in fused.values()) / frozen
        names = sorted({name.rsplit(".", 1)[-1] for name in fused})
        return [
            *said,
            f"LoRA adapts linear layers: the weights of experts that are one tensor for all ({listing(names)}, "
            f"{share:.0f} % of the blocks' frozen parameters) stay as they were.",
        ]

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


def find_targets(backbone: PreTrainedModel, wanted: str | list[str]) -> list[str]:
    """Full names of the layers to adapt. Raises SettingError for a name that the model does not have."""
    from torch import nn

    from whichtune.models.partition import blocks_of

    prefix = next(name for name, module in backbone.named_modules() if module is blocks_of(backbone))
    linear = {
        name: module
        for name, module in backbone.named_modules()
        if name.startswith(prefix + ".") and (isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D")
    }
    if backbone.config.model_type in STATE_SPACE_TYPES:
        linear = {name: module for name, module in linear.items() if name.rsplit(".", 1)[-1] != PAST_ADAPTERS}
    if wanted == "all_linear":
        return list(linear)
    if wanted in ("attention", "mlp"):
        found = [name for name in linear if _of_attention(name) == (wanted == "attention")]
        if not found:
            raise SettingError(
                f"lora_targets: this model has no layers of '{wanted}': choose all_linear, or name some."
            )
        return found
    last_names = {name.rsplit(".", 1)[-1] for name in linear}
    for name in wanted:
        if name not in last_names and name not in linear:
            raise SettingError(
                f"lora_targets: the model has no linear layer '{name}': {did_you_mean(name, last_names)}"
            )
    return [name for name in linear if name in wanted or name.rsplit(".", 1)[-1] in wanted]


def _fused_experts(backbone: PreTrainedModel) -> dict[str, Tensor]:
    """Weights of the blocks with a row of matrices each (experts, D_out, D_in), by their names; no convolution's."""
    from torch import nn
    from torch.nn.modules.conv import _ConvNd

    from whichtune.models.partition import blocks_of

    blocks: nn.ModuleList = blocks_of(backbone)
    return {
        f"{name}.{own}": parameter
        for name, module in blocks.named_modules()
        if not isinstance(module, _ConvNd)
        for own, parameter in module.named_parameters(recurse=False)
        if parameter.ndim == 3
    }


def _of_attention(name: str) -> bool:
    return any(word in name.lower() for word in ATTENTION_WORDS)


def _initialise_like_the_published_script(model: Adaptable, rank: int) -> None:
    """A uniform in +-1/sqrt(rank): kaiming_uniform(a=sqrt 5) of a (width, rank) matrix."""
    import torch

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_A" in name:
                parameter.uniform_(-(rank**-0.5), rank**-0.5)
