"""What a method does in the training loop beside plain steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Group:
    """Parameters that train at the run's learning rate times `factor`."""

    parameters: Sequence[nn.Parameter]
    factor: float = 1.0


class Course:
    """One run's course of training; it may hold state. This one does nothing: all steps are alike."""

    def groups(self, model: nn.Module) -> list[Group]:
        """What trains, in groups with rates of their own; the first group's is the one that curves show."""
        return [Group([p for p in model.parameters() if p.requires_grad])]

    def begin(self, total: int) -> None:
        """Called before the first of `total` steps."""

    @contextmanager
    def step(self, number: int) -> Iterator[None]:
        """Around the passes and the update of step `number`, from 0."""
        yield

    def penalty(self) -> Tensor | None:
        """What is added to a step's loss, beside the data's; not part of the curves."""
        return None

    def state(self) -> dict[str, Any] | None:
        """What it holds beside the weights, in tensors and plain values. None where that is not known, as of a course
        that does something after every update and does not say: its training cannot be put aside."""
        return {} if type(self).after_update is Course.after_update else None

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken; called after `begin`."""

    def after_update(self, number: int) -> None:
        """Called after the weights moved in step `number`, from 0, while its gradients are still there."""
