"""What a training step computes from, apart from the computing: tensors of one batch, and what is no tensor.

A step that is a function of such tensors alone can be recorded on a GPU and played again with others of their shapes.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor


@dataclass(frozen=True)
class Stage:
    """One batch as it enters a step: `tensors` by name, and `facts` on which the way through the step depends."""

    tensors: Mapping[str, Tensor]
    facts: tuple[Hashable, ...] = ()

    @property
    def key(self) -> tuple[Hashable, ...]:
        """The same for batches that are computed by the same operations on the same shapes."""
        shapes = ((name, tuple(t.shape), t.dtype) for name, t in self.tensors.items())
        return (self.facts, *shapes)

    def beside(self, **more: Tensor) -> Stage:
        """The same batch with more tensors."""
        return replace(self, tensors={**self.tensors, **more})

    def on(self, device: torch.device) -> Stage:
        """The same batch on `device`; where that is a GPU, the processor does not wait for it."""
        return replace(self, tensors={name: moved(tensor, device) for name, tensor in self.tensors.items()})

    def held(self, device: torch.device) -> Stage:
        """A copy on `device` into which others of the same key can be copied."""
        return replace(self, tensors={name: t.to(device, copy=True) for name, t in self.tensors.items()})

    def take(self, other: Stage) -> None:
        """Copy the tensors of `other`, a batch of the same key, into these."""
        for name, tensor in self.tensors.items():
            tensor.copy_(pinned(other.tensors[name]), non_blocking=True)


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """`tensor` on `device`, without waiting where that is a GPU."""
    if device.type != "cuda" or tensor.device.type == "cuda":
        return tensor.to(device)
    return pinned(tensor).to(device, non_blocking=True)


def pinned(tensor: Tensor) -> Tensor:
    """`tensor` in memory that a GPU copies from by itself; as it is where it lies on one, or there is none."""
    if tensor.device.type != "cpu" or not torch.cuda.is_available():
        return tensor
    return tensor.pin_memory()


@runtime_checkable
class Staged(Protocol):
    """An objective whose loss is a function of a batch's tensors alone. `loss(rows)` is `loss_of(staged(rows))`."""

    def staged(self, rows: list[int]) -> Stage | None:
        """The batch of these training rows, on whatever devices its tensors are made; None where the forward pass does
        not part the two."""

    def loss_of(self, stage: Stage) -> tuple[Tensor, Tensor | None]:
        """As `Objective.loss`, of a batch whose tensors lie on the device. Waits for none of its numbers."""
