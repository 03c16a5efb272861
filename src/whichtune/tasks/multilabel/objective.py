"""The loss of sets of labels, and the points of a run's curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from whichtune.records.record import CurvePoint
from whichtune.tasks.classification.evaluate import predict_split
from whichtune.tasks.multilabel.evaluate import measure, thresholds_by, validation_point
from whichtune.tasks.multilabel.settings import MultilabelSettings

if TYPE_CHECKING:
    from whichtune.models.heads import Classifier
    from whichtune.training.forward import Forward


def summed_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy of logits and targets (B, L), a mean over labels, summed over texts."""
    summed: Tensor = nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(1).sum()
    return summed


class MultilabelObjective:
    """Binary cross-entropy, a mean over labels, then over texts. Points of the curves choose thresholds of their own on
    the validation texts that they are made of."""

    def __init__(self, model: Classifier, forward: Forward, own: MultilabelSettings) -> None:
        self.model, self.forward, self.own = model, forward, own
        targets = forward.encoded.splits["train"].labels
        self.targets = torch.tensor(targets, dtype=torch.float32, device=forward.device)

    def weight(self, rows: Sequence[int]) -> float:
        return len(rows)

    def loss(self, rows: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        return summed_loss(self.forward.logits("train", rows), self.targets[list(rows)]), None

    def point(self, rows: range) -> CurvePoint:
        logits = predict_split(self.model, self.forward, "validation", rows)
        targets = self.forward.encoded.splits["validation"].labels[: len(rows)]
        return validation_point(measure(logits, targets, thresholds_by(self.own, logits, targets)))
