"""Texts as one tensor. Shapes: B texts, T tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Right-padded texts. `attention_mask` is None where nothing is masked (no padding, or attended to)."""

    input_ids: Tensor  # (B, T) int64
    lengths: Tensor  # (B,) int64, tokens that are not padding
    attention_mask: Tensor | None = None  # (B, T) int64, 1 for real tokens

    def to(self, device: torch.device | str) -> Batch:
        mask = None if self.attention_mask is None else self.attention_mask.to(device)
        return Batch(self.input_ids.to(device), self.lengths.to(device), mask)


def right_padded(tokens: Sequence[Sequence[int]], pad_id: int, width: int | None = None) -> tuple[Tensor, Tensor]:
    """Token ids (B, `width`, or the longest's length) and how many of each row are not padding (B,)."""
    lengths = torch.tensor([len(ids) for ids in tokens])
    input_ids = np.full((len(tokens), width or int(lengths.max())), pad_id, dtype=np.int64)
    for row, ids in enumerate(tokens):
        input_ids[row, : len(ids)] = ids
    return torch.from_numpy(input_ids), lengths


def padding_mask(lengths: Tensor, width: int) -> Tensor | None:
    """1 for real tokens (B, `width`); None where nothing is padding."""
    if not bool((lengths < width).any()):
        return None
    return (torch.arange(width)[None, :] < lengths[:, None]).long()
