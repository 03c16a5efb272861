"""The loss of foretold numbers, and the points of a run's curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from whichtune.records.record import CurvePoint
from whichtune.tasks.classification.evaluate import predict_split
from whichtune.tasks.regression.evaluate import Scale, bounded, measure, validation_point
from whichtune.tasks.regression.settings import RegressionSettings
from whichtune.tasks.row_loss import RowLoss

if TYPE_CHECKING:
    from whichtune.models.heads import Classifier
    from whichtune.training.forward import Forward


def summed_loss(found: Tensor, targets: Tensor, own: RegressionSettings) -> Tensor:
    """The summed loss of standardised predictions and targets (B,). Huber's is torch's, which halves squares."""
    if own.regression_loss == "mae":
        return nn.functional.l1_loss(found, targets, reduction="sum")
    if own.regression_loss == "huber":
        return nn.functional.huber_loss(found, targets, reduction="sum", delta=own.huber_delta)
    return nn.functional.mse_loss(found, targets, reduction="sum")


class RegressionObjective(RowLoss):
    """The loss that the run's settings say, an example each; points of the curves have the squared error."""

    def __init__(
        self, model: Classifier, forward: Forward, own: RegressionSettings, classes: Sequence[str] | None = None
    ) -> None:
        self.model, self.own, self.classes = model, own, classes
        targets = forward.encoded.splits["train"].labels
        self.scale = Scale.of(targets)
        super().__init__(forward, torch.tensor(self.scale.standardised(targets), dtype=torch.float32))

    def judged(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, None]:
        return summed_loss(logits[:, 0], targets, self.own), None

    def point(self, rows: range) -> CurvePoint:
        found = bounded(self.scale.restored(predict_split(self.model, self.forward, "validation", rows)), self.classes)
        targets = self.forward.encoded.splits["validation"].labels[: len(rows)]
        return validation_point(measure(found, targets, self.scale))
