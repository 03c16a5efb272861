"""A head that learned numbers in standard deviations from their mean, made to give them in their own unit.

Its last layer is linear, so that `mean + sd * (w @ x + b)` is that layer with other weights: nothing is left to whoever
loads the model.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from whichtune.errors import ExportError
from whichtune.models.layers import bias_of, weight_of
from whichtune.models.native import NativeHead
from whichtune.models.plain import ADAPTER


def put_into_unit(head: nn.Module, mean: float, sd: float) -> None:
    """Change the head in place, its adapter included. Raises ExportError for a head that does not end so."""
    adapted: Any = head
    if hasattr(head, "lora_B"):
        with torch.no_grad():
            adapted.lora_B[ADAPTER].weight.mul_(sd)
    layer = adapted.get_base_layer() if hasattr(head, "get_base_layer") else _last_layer(head)
    weight, bias = weight_of(layer), bias_of(layer)
    with torch.no_grad():
        weight.mul_(sd)
        if bias is None:  # a decoder's own head has none
            layer.bias = nn.Parameter(torch.full((1,), float(mean)), requires_grad=False)
        else:
            bias.mul_(sd).add_(mean)


def _last_layer(head: nn.Module) -> Any:
    """The layer that gives the number."""
    if isinstance(head, NativeHead):
        found = [each for each in head.outer.modules() if isinstance(each, nn.Linear) and each.out_features == 1]
        if len(found) == 1:
            return found[0]
        raise ExportError(f"The head of {type(head.outer).__name__} has no one layer that gives the number.")
    return head
