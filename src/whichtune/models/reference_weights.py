"""Random weights as the published SMS-spam script draws them: PyTorch's defaults, not the family's own."""

from __future__ import annotations

import torch
from torch import nn

from whichtune.models.layers import bias_of, weight_of
from whichtune.models.unfuse import FUSED, PARTS


@torch.no_grad()
def draw_pytorch_defaults(backbone: nn.Module) -> None:
    """Draw every embedding and linear layer anew from the global generator, in the order of the modules.

    Embeddings are N(0, 1); a linear layer's weight, then its bias, uniform in +-1/sqrt(inputs). A fused
    q-k-v layer is drawn as three layers, each with its bias. Norms begin as ones and zeros.
    """
    for name, module in backbone.named_modules():
        if isinstance(module, nn.Embedding):
            module.weight.copy_(nn.Embedding(*module.weight.shape).weight)
        elif isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D":
            _draw_linear(module, parts=_parts(name))
        elif isinstance(module, nn.LayerNorm):
            module.reset_parameters()


def _parts(name: str) -> int:
    return len(PARTS) if FUSED.get(name.rpartition(".")[2]) == "concatenated" else 1


def _draw_linear(module: nn.Module, parts: int) -> None:
    """`module` is a Linear, weight (out, in), or transformers' Conv1D, weight (in, out)."""
    weight, bias = weight_of(module), bias_of(module)
    if not isinstance(module, nn.Linear):
        weight = weight.t()
    for index, rows in enumerate(weight.chunk(parts)):
        fresh = nn.Linear(rows.shape[1], rows.shape[0], bias=bias is not None)
        rows.copy_(fresh.weight)
        if bias is not None:
            bias.chunk(parts)[index].copy_(fresh.bias)
