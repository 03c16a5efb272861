"""What a training step minimises, and what a point of the curves shows: the part of the loop that a task decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor


class Objective(Protocol):
    """The loss of training rows. A step's loss is the sum over its batches divided by the sum of their weights."""

    def weight(self, rows: Sequence[int]) -> int:
        """How many things of these training rows have a loss: examples, or tokens."""

    def loss(self, rows: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        """The summed loss of a batch, with its graph, and how many examples are right (None: not counted)."""

    def point(self, rows: range) -> dict[str, Any]:
        """Figures of these validation rows under the names that the curves have; `validation_loss` among them."""


class CurveWatcher(Protocol):
    """Evaluates at moments of its own, in place of the loop's. Either call gives a point, or None where none is due."""

    def after_batch(self) -> dict[str, Any] | None:
        """Called after every batch of training rows."""

    def after_epoch(self) -> dict[str, Any] | None:
        """Called at the end of every epoch."""
