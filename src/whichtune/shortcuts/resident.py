"""States of texts that stay in a GPU's memory, so that a batch of them is laid out there and nothing is carried over.

Shapes: N texts with L tokens in all, B texts of a batch, D hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from whichtune.shortcuts.entry import States
from whichtune.training.stage import moved

# Of a device's free memory, what the states of a run may take.
SHARE_OF_FREE = 0.125


class Resident:
    """As `States`, on a device: the same numbers, laid out by one gathering."""

    def __init__(self, states: States, device: torch.device) -> None:
        self.device = device
        self._offsets, self._lengths = states.offsets, states.lengths.numpy()
        flat = states.all()
        self._flat = torch.zeros(len(flat) + 1, states.width, dtype=states.dtype, device=device)
        self._flat[:-1] = flat.to(device)  # the last row is what stands beyond a text's end

    def padded(self, texts: Sequence[int], tokens: int) -> Tensor:
        """States (B, `tokens`, D) of `texts`, zero beyond each one's end."""
        numbers, token = np.asarray(texts), np.arange(tokens)
        begin, length = self._offsets[numbers][:, None], self._lengths[numbers][:, None]
        return self._gathered(np.where(token < length, begin + token, len(self._flat) - 1))

    def packed(self, texts: Sequence[int], row: Tensor, start: Tensor, shape: tuple[int, int]) -> Tensor:
        """States (R, W, D) of `texts` in packed rows of `shape` (see `packing.Packing`)."""
        index = np.full(shape, len(self._flat) - 1)
        for text, r, s in zip(texts, row.tolist(), start.tolist(), strict=True):
            begin, length = self._offsets[text], self._lengths[text]
            index[r, s : s + length] = np.arange(begin, begin + length)
        return self._gathered(index)

    def single(self, texts: Sequence[int]) -> Tensor:
        """The first row (B, D) of each of `texts`."""
        return self._gathered(self._offsets[np.asarray(texts)])

    def _gathered(self, index: np.ndarray) -> Tensor:
        return self._flat[moved(torch.from_numpy(index), self.device)]


def fits(states: Sequence[States], device: torch.device) -> bool:
    """Whether the device is a GPU with room for all of `states`."""
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return sum(each.bytes for each in states) <= SHARE_OF_FREE * free
