"""The loss of sets of labels, and the points of a run's curves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from whichtune.records.record import CurvePoint
from whichtune.tasks.classification.evaluate import predict_split
from whichtune.tasks.multilabel.evaluate import measure, thresholds_by, validation_point
from whichtune.tasks.multilabel.settings import MultilabelSettings
from whichtune.tasks.row_loss import RowLoss

if TYPE_CHECKING:
    from whichtune.models.heads import Classifier
    from whichtune.training.forward import Forward


def summed_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy of logits and targets (B, L), a mean over labels, summed over texts."""
    summed: Tensor = nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(1).sum()
    return summed


class MultilabelObjective(RowLoss):
    """Binary cross-entropy, a mean over labels, then over texts. Points of the curves choose thresholds of their own on
    the validation texts that they are made of."""

    def __init__(self, model: Classifier, forward: Forward, own: MultilabelSettings) -> None:
        super().__init__(forward, torch.tensor(forward.encoded.splits["train"].labels, dtype=torch.float32))
        self.model, self.own = model, own

    def judged(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, None]:
        return summed_loss(logits, targets), None

    def point(self, rows: range) -> CurvePoint:
        logits = predict_split(self.model, self.forward, "validation", rows)
        targets = self.forward.encoded.splits["validation"].labels[: len(rows)]
        return validation_point(measure(logits, targets, thresholds_by(self.own, logits, targets)))
