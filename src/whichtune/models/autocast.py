"""Autocast as code inside a forward pass meets it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def autocast_type(device: torch.device) -> torch.dtype | None:
    """The type in which a linear layer multiplies under the autocast in force; None without one. Tensors without
    storage (torch's meta device) know no autocast."""
    if device.type == "meta" or not torch.is_autocast_enabled(device.type):
        return None
    return torch.get_autocast_dtype(device.type)


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Within, types are as written."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)
