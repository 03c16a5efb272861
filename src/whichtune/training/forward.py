"""How logits of training and evaluation examples are computed, and how many operations that takes.

Training and evaluation ask for "the logits of these rows of that split" and know nothing of padding,
devices or shortcuts. `PlainForward` computes every block for every row each time: the plain way.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from torch import Tensor

from whichtune.data.batch import Batch
from whichtune.measure.flops import flops_of_length
from whichtune.models.heads import Classifier
from whichtune.training.stage import Stage

if TYPE_CHECKING:
    from whichtune.data.encoding import Encoded

PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16}
# Largest differences of gradients that are rounding, relative to the largest.
GRADIENT_TOLERANCE = {"float32": 1e-4, "bf16": 1e-1, "fp16": 2e-2}


class Forward(Protocol):
    """What the training loop and the evaluation need."""

    encoded: Encoded
    device: torch.device

    def logits(self, split: str, rows: Sequence[int]) -> Tensor:
        """Logits (len(rows), C) in float32, with a graph when gradients are on."""

    def training_flops(self, rows: Sequence[int]) -> int:
        """Operations of the forward and backward pass over these training rows."""


@runtime_checkable
class StagedForward(Protocol):
    """A forward pass in two parts: `logits(split, rows)` is `logits_of(staged(split, rows))`, on the device."""

    def staged(self, split: str, rows: Sequence[int]) -> Stage | None:
        """The batch of these rows, its tensors on the processor or, where they are kept there, on the device; None
        where its rows are computed one after another."""

    def logits_of(self, stage: Stage) -> Tensor:
        """Logits (B, C) in float32 of a batch on the device."""


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """The autocast context of a precision; nothing for float32."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=PRECISIONS[precision])


class PlainForward:
    """Every block for every row, padded as the spec says."""

    def __init__(self, classifier: Classifier, encoded: Encoded, device: torch.device, precision: str) -> None:
        self.classifier, self.encoded = classifier, encoded
        self.device, self.precision = device, precision
        self._flops = flops_of_length(self._loss_of_length, limit=encoded.context_length)

    def logits(self, split: str, rows: Sequence[int]) -> Tensor:
        if self.encoded.padding == "none":
            return torch.cat([self._of(split, [row]) for row in rows])
        return self._of(split, rows)

    def _of(self, split: str, rows: Sequence[int]) -> Tensor:
        return self.logits_of(self._batch(split, rows).on(self.device))

    def staged(self, split: str, rows: Sequence[int]) -> Stage | None:
        return None if self.encoded.padding == "none" and len(rows) > 1 else self._batch(split, rows)

    def _batch(self, split: str, rows: Sequence[int]) -> Stage:
        batch = self.encoded.batch(split, rows)
        mask = {} if batch.attention_mask is None else {"attention_mask": batch.attention_mask}
        return Stage({"input_ids": batch.input_ids, "lengths": batch.lengths, **mask})

    def logits_of(self, stage: Stage) -> Tensor:
        given = stage.tensors
        batch = Batch(given["input_ids"], given["lengths"], given.get("attention_mask"))
        with autocast(self.precision, self.device):
            return self.classifier(batch).float()

    def training_flops(self, rows: Sequence[int]) -> int:
        tokens = self.encoded.splits["train"].tokens
        if self.encoded.padding == "none":
            return sum(self._flops(len(tokens[row])) for row in rows)
        right = self.encoded.padding == "right"
        width = self.encoded.context_length if right else max(len(tokens[row]) for row in rows)
        return len(rows) * self._flops(width)

    def _loss_of_length(self, length: int) -> Tensor:
        """The loss of one made-up text, for counting."""
        ids = torch.full((1, length), self.encoded.pad_id, device=self.device)
        label = torch.zeros(1, dtype=torch.long, device=self.device)
        batch = Batch(ids, torch.full((1,), length, device=self.device))
        with autocast(self.precision, self.device):
            return torch.nn.functional.cross_entropy(self.classifier(batch).float(), label)
