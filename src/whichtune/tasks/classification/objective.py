"""The loss of a classifier's training rows, and the points of its curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from whichtune.records.record import CurvePoint
from whichtune.tasks.classification.evaluate import measure, predict_split, validation_point, watched_by_terms
from whichtune.tasks.classification.settings import ClassificationSettings
from whichtune.tasks.row_loss import RowLoss

if TYPE_CHECKING:
    import numpy as np

    from whichtune.models.heads import Classifier
    from whichtune.study.spec import RunSpec
    from whichtune.training.forward import Forward


def summed_loss(logits: Tensor, labels: Tensor, own: ClassificationSettings, weights: Tensor | None) -> Tensor:
    """The summed loss of logits (B, C) and labels (B,); class weights (C,) or None.

    Divided by the sum of the labels' weights it is torch's cross-entropy with those weights and that smoothing; focal
    loss (Lin et al. 2017) multiplies each text's cross-entropy by (1 - p)^gamma.
    """
    if not own.focal_gamma:
        return nn.functional.cross_entropy(
            logits, labels, weight=weights, label_smoothing=own.label_smoothing, reduction="sum"
        )
    each = nn.functional.cross_entropy(logits, labels, reduction="none")
    wrong = -torch.expm1(-each)  # 1 - p, exact where p is near 1
    counts = 1 if weights is None else weights[labels]
    return (counts * wrong.clamp_min(torch.finfo(wrong.dtype).tiny) ** own.focal_gamma * each).sum()


# Logits (n, C) of all validation texts by the weights as they are: those of the curves' last point, from which no step
# was made. The final evaluation takes them, where no other weights are put back.
LAST_POINTS: WeakKeyDictionary[Forward, np.ndarray] = WeakKeyDictionary()


class ClassificationObjective(RowLoss):
    """Cross-entropy of the label, an example each, as the run's settings of it say; points of the curves have it plain.

    `weights` (C,): what each class counts, or None. `spec` says what else is watched.
    """

    def __init__(
        self,
        classifier: Classifier,
        forward: Forward,
        own: ClassificationSettings | None = None,
        weights: np.ndarray | None = None,
        spec: RunSpec | None = None,
    ) -> None:
        super().__init__(forward, torch.tensor(forward.encoded.splits["train"].labels))
        self.classifier, self.spec = classifier, spec
        self.own = own or ClassificationSettings()
        self.weights = None if weights is None else torch.tensor(weights, dtype=torch.float32, device=forward.device)
        self._counts = None if weights is None else weights[forward.encoded.splits["train"].labels]
        LAST_POINTS.pop(forward, None)

    def weight(self, rows: Sequence[int]) -> float:
        return len(rows) if self._counts is None else float(self._counts[list(rows)].sum())

    def begin(self) -> None:
        LAST_POINTS.pop(self.forward, None)

    def judged(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        summed = summed_loss(logits, targets, self.own, self.weights)
        return summed, (logits.detach().argmax(1) == targets).sum()

    def point(self, rows: range) -> CurvePoint:
        logits = predict_split(self.classifier, self.forward, "validation", rows)
        if len(rows) == len(self.forward.encoded.splits["validation"]):
            LAST_POINTS[self.forward] = logits
        labels = self.forward.encoded.splits["validation"].labels[: len(rows)]
        more = {} if self.spec is None else watched_by_terms(self.spec, logits, labels)
        return validation_point(measure(logits, labels)) | more
