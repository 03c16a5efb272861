"""A layer's own tensors, whatever kind of layer it is: torch's Linear, transformers' Conv1D, one with an adapter."""

from __future__ import annotations

from torch import Tensor, nn


def weight_of(layer: nn.Module) -> Tensor:
    """The layer's matrix, as the layer holds it."""
    weight = layer.weight
    assert isinstance(weight, Tensor), f"{type(layer).__name__} has no weight"
    return weight


def bias_of(layer: nn.Module) -> Tensor | None:
    """The layer's bias; None where it has none."""
    bias = getattr(layer, "bias", None)
    return bias if isinstance(bias, Tensor) else None
