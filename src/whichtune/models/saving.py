"""The trained part of a model: all that must be kept to have it back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from whichtune.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn


def trained_state(model: nn.Module) -> dict[str, Tensor]:
    """Copies of the parameters that trained, on the CPU. A tied parameter is kept under its first name."""
    return {
        name: parameter.detach().cpu().clone().contiguous()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def load_trained_state(model: nn.Module, file: Path) -> None:
    """Put a saved state into a model built from the same spec; raises StoreError where it does not fit."""
    from safetensors.torch import load_file

    state = load_file(file)
    odd = sorted(set(state) ^ {name for name, p in model.named_parameters() if p.requires_grad})
    if odd:
        raise StoreError(f"The saved weights in {file.parent.name} do not fit the run's model (parameter {odd[0]}).")
    restore_trained_state(model, state)


def restore_trained_state(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give the parameters that train the values of `trained_state`, in place."""
    import torch

    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in state.items():
            parameters[name].copy_(value)
