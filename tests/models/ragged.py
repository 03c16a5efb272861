"""A ragged batch of random texts, and comparing what two ways of computing make of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.tiny_families import HIDDEN, VOCABULARY, pad_token

LENGTHS = (24, 5, 11, 9, 17, 1)
POSITIONS = ("first", "last", "last_real")


@dataclass
class Ragged:
    """Right-padded token ids (B, T), a mask or none, lengths (B,) and labels (B,)."""

    input_ids: Tensor
    attention_mask: Tensor | None
    lengths: Tensor
    labels: Tensor

    @property
    def inputs(self) -> dict[str, Any]:
        named: dict[str, Any] = {"input_ids": self.input_ids}
        if self.attention_mask is not None:
            named["attention_mask"] = self.attention_mask
        return named

    def position(self, kind: str) -> Tensor:
        batch, tokens = self.input_ids.shape
        if kind == "first":
            return torch.zeros(batch, dtype=torch.long)
        return torch.full((batch,), tokens - 1) if kind == "last" else self.lengths - 1


def ragged_batch(model: nn.Module, mask: bool, lengths: Sequence[int] = LENGTHS, seed: int = 1) -> Ragged:
    generator = torch.Generator().manual_seed(seed)
    counts = torch.tensor(lengths)
    tokens = int(counts.max())
    real = torch.arange(tokens)[None] < counts[:, None]
    ids = torch.randint(3, VOCABULARY, real.shape, generator=generator).masked_fill(~real, pad_token(model))
    labels = torch.randint(0, 2, (len(lengths),), generator=generator)
    return Ragged(ids, real.long() if mask else None, counts, labels)


def new_head() -> nn.Linear:
    torch.manual_seed(3)
    return nn.Linear(HIDDEN, 2)


def trainable_above(model: nn.Module, blocks: nn.ModuleList, final: list[nn.Module], k: int) -> list[Tensor]:
    """Freeze everything but blocks from `k` on and the final modules; give what is left."""
    model.requires_grad_(k == 0)
    for module in [*blocks[k:], *final]:
        module.requires_grad_(True)
    return [p for p in model.parameters() if p.requires_grad]


def loss_and_gradients(
    rows: Callable[[], Tensor], head: nn.Linear, labels: Tensor, parameters: list[Tensor]
) -> tuple[Tensor, list[Tensor]]:
    """Logits (B, 2) of `rows` (B, D), and the loss's gradients (zero where there is none)."""
    logits = head(rows())
    loss = nn.functional.cross_entropy(logits, labels)
    wanted = [*parameters, *head.parameters()]
    if not wanted:
        return logits.detach(), []
    gradients = torch.autograd.grad(loss, wanted, allow_unused=True)
    filled = [torch.zeros_like(p) if g is None else g for g, p in zip(gradients, wanted, strict=True)]
    return logits.detach(), filled


def largest_difference(one: tuple[Tensor, list[Tensor]], other: tuple[Tensor, list[Tensor]]) -> tuple[float, float]:
    """Largest absolute difference of the logits, and of any gradient."""
    logits = float((one[0] - other[0]).abs().max())
    gradients = [float((a - b).abs().max()) for a, b in zip(one[1], other[1], strict=True)]
    return logits, max(gradients, default=0.0)
