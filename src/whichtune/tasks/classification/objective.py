"""The loss of a classifier's training rows, and the points of its curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from whichtune.records.record import CurvePoint
from whichtune.tasks.classification.evaluate import measure, predict_split, validation_point

if TYPE_CHECKING:
    from whichtune.models.heads import Classifier
    from whichtune.training.forward import Forward


class ClassificationObjective:
    """Cross-entropy of the label, an example each."""

    def __init__(self, classifier: Classifier, forward: Forward) -> None:
        self.classifier, self.forward = classifier, forward
        self.labels = torch.tensor(forward.encoded.splits["train"].labels, device=forward.device)

    def weight(self, rows: Sequence[int]) -> int:
        return len(rows)

    def loss(self, rows: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        labels = self.labels[list(rows)]
        logits = self.forward.logits("train", rows)
        summed = nn.functional.cross_entropy(logits, labels, reduction="sum")
        return summed, (logits.detach().argmax(1) == labels).sum()

    def point(self, rows: range) -> CurvePoint:
        logits = predict_split(self.classifier, self.forward, "validation", rows)
        return validation_point(measure(logits, self.forward.encoded.splits["validation"].labels[: len(rows)]))
