"""Early stopping: watch one figure of the curves, keep the best weights, say when to stop.

It knows the points of the curves and the trained parameters and nothing of the task. A point is better where its
figure beats the best so far by more than `min_delta`; after `patience` points in a row that are not better, training
stops. However training ends, the weights of the best point are put back. The learning rate's schedule is that of the
whole run: stopping after three of ten epochs is not the same as training for three.

The best weights are one copy of the tensors that train, in main memory and not on the device.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from whichtune.metrics import METRICS
from whichtune.models.saving import restore_trained_state, trained_state
from whichtune.records.record import CurvePoint, Stopping

if TYPE_CHECKING:
    from torch import Tensor, nn


class EarlyStopping:
    """`see` every point of the curves; stop where it says so; `finish` once."""

    def __init__(self, classifier: nn.Module, on: str, patience: int, min_delta: float) -> None:
        self.classifier, self.on, self.patience, self.min_delta = classifier, on, patience, min_delta
        self.best: float | None = None
        self.best_point: tuple[int, float] | None = None  # step, epoch
        self.waited = 0
        self.kept: dict[str, Tensor] | None = None

    @property
    def is_over(self) -> bool:
        """Whether patience is at its end."""
        return self.waited >= self.patience

    def see(self, point: CurvePoint) -> bool:
        """Take in a point with `step`, `epoch` and `validation_<on>`. Gives `is_over`."""
        value = point[f"validation_{self.on}"]
        if value is not None and self._is_better(value):
            self.best, self.waited = float(value), 0
            self.best_point = (int(point["step"] or 0), float(point["epoch"] or 0.0))
            self.kept = None  # before the new copy, so that there is never more than one
            self.kept = trained_state(self.classifier)
        else:
            self.waited += 1
        return self.is_over

    def _is_better(self, value: float) -> bool:
        if not math.isfinite(value):
            return False
        if self.best is None:
            return True
        gain = value - self.best if METRICS[self.on].higher_is_better else self.best - value
        return gain > self.min_delta

    def finish(self, step: int, epoch: float, planned_steps: int, planned_epochs: float) -> Stopping:
        """Put the best weights back and free their copy. The steps made and planned are for the record."""
        if self.kept is not None:
            restore_trained_state(self.classifier, self.kept)
            self.kept = None
        return Stopping(
            on=self.on,
            best=self.best,
            best_step=self.best_point[0] if self.best_point else None,
            best_epoch=self.best_point[1] if self.best_point else None,
            last_step=step,
            last_epoch=round(epoch, 6),
            planned_steps=planned_steps,
            planned_epochs=planned_epochs,
            stopped=step < planned_steps,
        )
