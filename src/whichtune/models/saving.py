"""The trained part of a classifier: all that must be kept to have it back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from whichtune.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from whichtune.models.heads import Classifier


def trained_state(classifier: Classifier) -> dict[str, Tensor]:
    """Copies of the parameters that trained, on the CPU. A tied parameter is kept under its first name."""
    return {
        name: parameter.detach().cpu().clone().contiguous()
        for name, parameter in classifier.named_parameters()
        if parameter.requires_grad
    }


def load_trained_state(classifier: Classifier, file: Path) -> None:
    """Put a saved state into a classifier built from the same spec; raises StoreError where it does not fit."""
    from safetensors.torch import load_file

    state = load_file(file)
    odd = sorted(set(state) ^ {name for name, p in classifier.named_parameters() if p.requires_grad})
    if odd:
        raise StoreError(f"The saved weights in {file.parent.name} do not fit the run's model (parameter {odd[0]}).")
    restore_trained_state(classifier, state)


def restore_trained_state(classifier: Classifier, state: Mapping[str, Tensor]) -> None:
    """Give the parameters that train the values of `trained_state`, in place."""
    import torch

    parameters = dict(classifier.named_parameters())
    with torch.no_grad():
        for name, value in state.items():
            parameters[name].copy_(value)
