"""How fast this machine multiplies matrices of a model's shapes: what the speed of steps is held against."""

from __future__ import annotations

from statistics import median

import torch

from whichtune.measure.cost import Timers

TOKENS = 512
CALLS, ROUNDS = 4, 15


def matmul_rate(width: int, device: torch.device, precision: torch.dtype = torch.float32) -> float:
    """Operations a second (a multiply-add counts 2) of the product of `TOKENS` tokens with a block's wide layer.

    (512, `width`) times (`width`, 4 `width`), the median of fifteen rounds.
    """
    tokens = torch.randn(TOKENS, width, device=device, dtype=precision)
    weight = torch.randn(width, 4 * width, device=device, dtype=precision)
    timers, seconds = Timers(device), []
    for _ in range(ROUNDS + 1):
        begin = timers.now()
        for _ in range(CALLS):
            tokens @ weight
        seconds.append((timers.now() - begin) / CALLS)
    return 2 * TOKENS * width * 4 * width / median(seconds[1:])
