"""What objectives share whose loss is one of rows: their logits, beside a target each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from whichtune.training.forward import StagedForward
from whichtune.training.stage import Stage, moved

if TYPE_CHECKING:
    from whichtune.training.forward import Forward


class RowLoss(ABC):
    """The loss of training rows from their logits (B, K) and `targets` (n, ...), which lie on the CPU."""

    def __init__(self, forward: Forward, targets: Tensor) -> None:
        self.forward, self.targets = forward, targets

    @abstractmethod
    def judged(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | None]:
        """The summed loss of logits and targets on the device, and how many are right (None: not counted)."""

    def begin(self) -> None:  # noqa: B027
        """Called before the loss of a step is computed, from which the weights move."""

    def weight(self, rows: Sequence[int]) -> float:
        return len(rows)

    def loss(self, rows: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        self.begin()
        return self.judged(self.forward.logits("train", rows), moved(self._of(rows), self.forward.device))

    def staged(self, rows: list[int]) -> Stage | None:
        self.begin()
        stage = self.forward.staged("train", rows) if isinstance(self.forward, StagedForward) else None
        return None if stage is None else stage.beside(targets=self._of(rows))

    def loss_of(self, stage: Stage) -> tuple[Tensor, Tensor | None]:
        assert isinstance(self.forward, StagedForward)
        return self.judged(self.forward.logits_of(stage), stage.tensors["targets"])

    def _of(self, rows: Sequence[int]) -> Tensor:
        return self.targets[torch.tensor(rows)]
