"""Texts as one tensor. Shapes: B texts, T tokens."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Right-padded texts. `attention_mask` is None where nothing is masked (no padding, or attended to)."""

    input_ids: Tensor  # (B, T) int64
    lengths: Tensor  # (B,) int64, tokens that are not padding
    labels: Tensor  # (B,) int64
    attention_mask: Tensor | None = None  # (B, T) int64, 1 for real tokens

    def to(self, device: torch.device | str) -> Batch:
        mask = None if self.attention_mask is None else self.attention_mask.to(device)
        return Batch(self.input_ids.to(device), self.lengths.to(device), self.labels.to(device), mask)
