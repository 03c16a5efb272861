"""Frozen weights in four or eight bits, by bitsandbytes: the linear layers of a model's blocks, and nothing else.

What is left in float32: embeddings, norms, biases, heads, and whatever a method inserts.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from whichtune.models.layers import weight_of
from whichtune.models.targets import PAST_ADAPTERS, linear_layers, read_as_weights

if TYPE_CHECKING:
    from torch import nn
    from transformers import PretrainedConfig, PreTrainedModel

BasePrecision = Literal["float32", "nf4", "int8"]
# Bytes of a weight: half a byte, and of each 64 weights a scale in one byte (and of 256 of those one in four); or one
# byte, and a scale of four for each output, which is little.
BYTES = {"nf4": 0.5 + 1 / 64 + 4 / (64 * 256), "int8": 1.0}
LOGGERS = ("bitsandbytes.backends.cpu.ops", "bitsandbytes.autograd._functions", "bitsandbytes.cextension")


def missing(precision: str) -> str | None:
    """Why weights cannot be kept in this precision here; None where they can."""
    if precision == "float32" or find_spec("bitsandbytes") is not None:
        return None
    return f"base_precision {precision} needs bitsandbytes: pip install 'whichtune[quantised]'"


def quantise(backbone: PreTrainedModel, precision: str) -> None:
    """Replace the linear layers of the blocks by ones of the precision, in place; fused ones are split first, as
    adapters need them. A layer that the model reads past keeps its weights. In float32 all stays as it is."""
    if precision == "float32":
        return
    from whichtune.models.adapters import straighten
    from whichtune.models.unfuse import unfuse

    straighten(backbone)
    unfuse(backbone)
    make = _maker(precision)
    for name, layer in kept_in_bits(backbone).items():
        parent, _, last = name.rpartition(".")
        setattr(backbone.get_submodule(parent), last, make(layer))
    backbone.is_loaded_in_4bit = precision == "nf4"  # what PEFT asks
    backbone.is_loaded_in_8bit = precision == "int8"


def is_quantised(backbone: nn.Module) -> bool:
    """Whether weights of the model are in fewer bits."""
    return bool(getattr(backbone, "is_loaded_in_4bit", False) or getattr(backbone, "is_loaded_in_8bit", False))


def kept_in_bits(backbone: PreTrainedModel) -> dict[str, nn.Module]:
    """The layers whose weights are kept in fewer bits, by their full names."""
    without_attention = not getattr(backbone.config, "num_attention_heads", None)
    past = (*read_as_weights(backbone), *([PAST_ADAPTERS] if without_attention else []))
    return {name: layer for name, layer in linear_layers(backbone).items() if name.rsplit(".", 1)[-1] not in past}


def bytes_saved(config: PretrainedConfig, precision: str, remote_code: bool = False) -> int:
    """How many bytes fewer the weights of a model of this configuration take than in float32."""
    if precision == "float32":
        return 0
    import torch
    from transformers import AutoModel

    with torch.device("meta"):
        backbone = AutoModel.from_config(config, trust_remote_code=remote_code)
    weights = sum(weight_of(layer).numel() for layer in kept_in_bits(backbone).values())
    return round(weights * (4 - BYTES[precision]))


def _maker(precision: str) -> Callable[[Any], nn.Module]:
    """What makes a layer of a linear one."""
    import torch

    with _without_kernels():
        import bitsandbytes as bnb

    def four(layer: nn.Linear) -> nn.Module:
        new = bnb.nn.Linear4bit(
            layer.in_features, layer.out_features, layer.bias is not None, torch.float32, True, "nf4", device="meta"
        )
        new.weight = bnb.nn.Params4bit(
            layer.weight.data.contiguous(), requires_grad=False, quant_type="nf4", compress_statistics=True, module=new
        )
        new.bias = layer.bias
        # Its way for answers on some CPUs multiplies in bfloat16, has no gradient and packs the weights otherwise.
        new.support_avx512bf16_for_cpu = False
        return new.to(layer.weight.device)

    def eight(layer: nn.Linear) -> nn.Module:
        # No outliers are taken apart: which columns they are in would depend on the other texts of a batch.
        new = bnb.nn.Linear8bitLt(
            layer.in_features, layer.out_features, layer.bias is not None, False, 0.0, device="meta"
        )
        new.weight = bnb.nn.Int8Params(layer.weight.data.contiguous(), requires_grad=False, has_fp16_weights=False)
        new.bias = layer.bias
        return new.to(layer.weight.device)

    return four if precision == "nf4" else eight


@contextmanager
def _without_kernels() -> Iterator[None]:
    """Within, bitsandbytes finds no package that fetches kernels, which are code, from the Hub; its remarks on that and
    on types are not for users of whichtune."""
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    kept = sys.modules.get("kernels")
    sys.modules["kernels"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["kernels"]
        if kept is not None:
            sys.modules["kernels"] = kept
