"""What a training step minimises, and what a point of the curves shows: the part of the loop that a task decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from whichtune.records.record import CurvePoint


class EncodedTexts(Protocol):
    """Texts of one split as tokens."""

    @property
    def tokens(self) -> list[list[int]]:
        """Token ids, unpadded, in the data set's order."""

    @property
    def truncated(self) -> int:
        """Texts that were cut."""

    def __len__(self) -> int: ...


class EncodedData(Protocol):
    """What the loop and a run's record know of a task's data: lengths, and how batches are padded."""

    @property
    def splits(self) -> Mapping[str, EncodedTexts]: ...

    @property
    def context_length(self) -> int: ...

    @property
    def padding(self) -> str: ...


class TrainingForward(Protocol):
    """What the loop itself asks of a task's forward pass."""

    device: torch.device

    @property
    def encoded(self) -> EncodedData: ...

    def training_flops(self, rows: Sequence[int]) -> int:
        """Operations of the forward and backward pass over these training rows."""


class Objective(Protocol):
    """The loss of training rows. A step's loss is the sum over its batches divided by the sum of their weights."""

    def weight(self, rows: Sequence[int]) -> float:
        """How many things of these training rows have a loss: examples, or tokens; or the sum of their weights."""

    def loss(self, rows: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        """The summed loss of a batch, with its graph, and how many examples are right (None: not counted)."""

    def point(self, rows: range) -> CurvePoint:
        """Figures of these validation rows under the names that the curves have; `validation_loss` among them."""


@runtime_checkable
class OwnRows(Protocol):
    """An objective whose rows are not the training texts, such as pairs of them."""

    @property
    def steps_on(self) -> TrainingForward:
        """The pass over its rows, with as many of them in `train`."""


class CurveWatcher(Protocol):
    """Evaluates at moments of its own, in place of the loop's. Either call gives what makes a point, or None where none
    is due."""

    def after_batch(self) -> Callable[[], CurvePoint] | None:
        """Called after every batch of training rows."""

    def after_epoch(self) -> Callable[[], CurvePoint] | None:
        """Called at the end of every epoch."""
