"""Which layers of a model a method adapts: linear layers of the blocks, norms, and those that IA3 scales."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whichtune.errors import SettingError
from whichtune.models.sizes import hidden_width, text_part
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
# Layers that transformers' own code, too, reads past an adapter: it takes the weight, not the layer.
READ_AS_WEIGHTS = {
    "falcon_mamba": ("dt_proj",),
    "jamba": ("dt_proj",),
    "longcat_flash": ("classifier",),
    "mamba": ("dt_proj",),
}
MOST_NAMED = 4  # in a sentence
# Linear layers by their class that group their rows or give more than one tensor: adapters beside them do not fit.
NOT_PLAIN = ("DeepseekV4GroupedLinear", "Llama4Router", "PhimoeTopKRouter")
# Last names of the layers that make keys and values, as families call them.
KEYS_AND_VALUES = ("k_proj", "v_proj", "key", "value", "k_lin", "v_lin", "k", "v", "key_proj", "value_proj")


def linear_layers(backbone: PreTrainedModel) -> dict[str, nn.Module]:
    """The linear layers of the blocks that can be adapted, by their full names."""
    from whichtune.models.partition import blocks_of

    prefix = next(name for name, module in backbone.named_modules() if module is blocks_of(backbone))
    linear = {
        name: module for name, module in backbone.named_modules() if name.startswith(prefix + ".") and _is_plain(module)
    }
    if backbone.config.model_type in STATE_SPACE_TYPES:
        linear = {name: module for name, module in linear.items() if name.rsplit(".", 1)[-1] != PAST_ADAPTERS}
    return linear


def _is_plain(module: nn.Module) -> bool:
    """Whether a layer multiplies by its matrix and does no more."""
    from torch import nn

    kind = type(module)
    return (isinstance(module, nn.Linear) and kind.__name__ not in NOT_PLAIN) or kind.__name__ == "Conv1D"


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
    past = read_as_weights(backbone)
    left = [name for name in names if name.rsplit(".", 1)[-1] not in past]
    if not left:
        raise SettingError(f"{setting}: {listing(past)} is read past an adapter in this model: name other layers.")
    return left


def read_as_weights(backbone: PreTrainedModel) -> tuple[str, ...]:
    """Last names of the layers that this family reads past an adapter."""
    return READ_AS_WEIGHTS.get(text_part(backbone.config).model_type, ())


def unreached(backbone: PreTrainedModel, what: str) -> list[str]:
    """Sentences that name what no adapter (`what` of them) reaches: layers that are read past it, matrices that are no
    linear layer's, and experts whose weights are one tensor."""
    from whichtune.models.partition import blocks_of

    said = []
    past = [PAST_ADAPTERS] if backbone.config.model_type in STATE_SPACE_TYPES else []
    if past := [*past, *read_as_weights(backbone)]:
        said.append(f"{what} does not adapt {listing(past)}, which this model's code reads past an adapter.")
    frozen = sum(p.numel() for p in blocks_of(backbone).parameters() if not p.requires_grad)
    fused = fused_experts(backbone)
    if fused:
        share = 100 * sum(p.numel() for p in fused.values()) / frozen
        names = sorted({name.rsplit(".", 1)[-1] for name in fused})
        said.append(
            f"{what} adapts linear layers: the weights of experts that are one tensor for all ({listing(names)}, "
            f"{share:.0f} % of the blocks' frozen parameters) stay as they were."
        )
    others = other_matrices(backbone)
    share = 100 * sum(p.numel() for p in others.values()) / max(1, frozen)
    if share >= 1:
        names = sorted({".".join(name.rsplit(".", 2)[-2:]) for name in others})
        said.append(
            f"{what} adapts linear layers: {listing(names, most=MOST_NAMED)}, which the model holds or uses in another "
            f"way, {share:.0f} % of the blocks' frozen parameters, stay as they were."
        )
    return said


def other_matrices(backbone: PreTrainedModel) -> dict[str, Tensor]:
    """Frozen matrices of the blocks that are no plain linear layer's and no experts' one tensor, by their names."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    from whichtune.models.partition import blocks_of

    blocks: nn.ModuleList = blocks_of(backbone)
    known = {id(p) for p in fused_experts(backbone).values()}
    for module in blocks.modules():
        if isinstance(module, BaseTunerLayer) or _is_plain(module):
            known |= {id(p) for p in module.parameters()}
    return {
        name: p
        for name, p in blocks.named_parameters()
        if p.ndim > 1 and min(p.shape[:2]) > 1 and not p.requires_grad and id(p) not in known
    }
