"""Which layers of a model a method adapts: linear layers of the blocks, norms, and those that IA3 scales."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whichtune.errors import SettingError
from whichtune.models.sizes import hidden_width
from whichtune.registry import did_you_mean
from whichtune.wording import listing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn
    from transformers import PreTrainedModel

ATTENTION_WORDS = ("attn", "attention")
# Families whose fused kernels read this layer's weight past an adapter; PEFT refuses to adapt it.
STATE_SPACE_TYPES = ("falcon_h1", "falcon_mamba", "mamba", "mamba2", "nemotron_h")
PAST_ADAPTERS = "out_proj"
# Layers of these families that transformers' own code, too, reads past an adapter: it takes the weight, not the layer.
READ_AS_WEIGHTS = ("dt_proj",)
# Last names of the layers that make keys and values, as families call them.
KEYS_AND_VALUES = ("k_proj", "v_proj", "key", "value", "k_lin", "v_lin", "k", "v", "key_proj", "value_proj")


def linear_layers(backbone: PreTrainedModel) -> dict[str, nn.Module]:
    """The linear layers of the blocks that can be adapted, by their full names."""
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
    return linear


def find_targets(backbone: PreTrainedModel, wanted: str | list[str], setting: str = "lora_targets") -> list[str]:
    """Full names of the layers to adapt. Raises SettingError for a name that the model does not have."""
    linear = linear_layers(backbone)
    if wanted == "all_linear":
        return list(linear)
    if wanted in ("attention", "mlp"):
        found = [name for name in linear if of_attention(name) == (wanted == "attention")]
        if not found:
            raise SettingError(f"{setting}: this model has no layers of '{wanted}': choose all_linear, or name some.")
        return found
    last_names = {name.rsplit(".", 1)[-1] for name in linear}
    for name in wanted:
        if name not in last_names and name not in linear:
            raise SettingError(f"{setting}: the model has no linear layer '{name}': {did_you_mean(name, last_names)}")
    return [name for name in linear if name in wanted or name.rsplit(".", 1)[-1] in wanted]


def of_attention(name: str) -> bool:
    """Whether a layer's full name says that it belongs to an attention layer."""
    return any(word in name.lower() for word in ATTENTION_WORDS)


def norms_of(backbone: PreTrainedModel) -> dict[str, nn.Module]:
    """Every norm of a model with a weight of its own, by its full name."""
    return {
        name: module
        for name, module in backbone.named_modules()
        if "norm" in type(module).__name__.lower() and any(True for _ in module.parameters(recurse=False))
    }


def scaled_layers(backbone: PreTrainedModel) -> tuple[list[str], list[str]]:
    """The layers of keys and values, and the last layer of each feed-forward part: what IA3 scales.

    Raises SettingError where a model has none.
    """
    linear = linear_layers(backbone)
    keys = [name for name in linear if name.rsplit(".", 1)[-1] in KEYS_AND_VALUES]
    last = [
        name for name, layer in linear.items() if name not in keys and _narrows(layer, hidden_width(backbone.config))
    ]
    if not keys or not last:
        raise SettingError(
            "ia3 scales keys, values and the feed-forward part, and no such layers are found in "
            f"{type(backbone).__name__}: choose another method"
        )
    return keys, last


def _narrows(layer: nn.Module, width: int) -> bool:
    """Whether a linear layer brings something wider, or narrower, back to the model's width."""
    weight = layer.get_parameter("weight")
    out, into = weight.shape if hasattr(layer, "in_features") else weight.shape[::-1]  # Conv1D holds (in, out)
    return bool(out == width and into != width)


def fused_experts(backbone: PreTrainedModel) -> dict[str, Tensor]:
    """Frozen weights of the blocks with a row of matrices each (experts, D_out, D_in), by their names; no
    convolution's."""
    from torch.nn.modules.conv import _ConvNd

    from whichtune.models.partition import blocks_of

    blocks: nn.ModuleList = blocks_of(backbone)
    return {
        f"{name}.{own}": parameter
        for name, module in blocks.named_modules()
        if not isinstance(module, _ConvNd)
        for own, parameter in module.named_parameters(recurse=False)
        if parameter.ndim == 3 and not parameter.requires_grad
    }


def callable_layers(backbone: PreTrainedModel, names: Sequence[str], setting: str) -> list[str]:
    """Those of the layers that the model calls, as an adapter must be. Raises SettingError where none is left."""
    past = READ_AS_WEIGHTS if backbone.config.model_type in STATE_SPACE_TYPES else ()
    left = [name for name in names if name.rsplit(".", 1)[-1] not in past]
    if not left:
        raise SettingError(f"{setting}: {listing(past)} is read past an adapter in this model: name other layers.")
    return left


def unreached(backbone: PreTrainedModel, what: str, more: Sequence[str] = ()) -> list[str]:
    """Sentences that name what no adapter (`what` of them) reaches: a layer that is read past it, and `more` of such,
    and experts whose weights are one tensor."""
    from whichtune.models.partition import blocks_of

    said = []
    if backbone.config.model_type in STATE_SPACE_TYPES:
        past = listing([PAST_ADAPTERS, *more])
        said.append(f"{what} does not adapt {past}, which this model's fused kernels read past an adapter.")
    fused = fused_experts(backbone)
    if not fused:
        return said
    frozen = sum(p.numel() for p in blocks_of(backbone).parameters() if not p.requires_grad)
    share = 100 * sum(p.numel() for p in fused.values()) / frozen
    names = sorted({name.rsplit(".", 1)[-1] for name in fused})
    return [
        *said,
        f"{what} adapts linear layers: the weights of experts that are one tensor for all ({listing(names)}, "
        f"{share:.0f} % of the blocks' frozen parameters) stay as they were.",
    ]
