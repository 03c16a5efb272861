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
from whichtune.training.forward import StagedForward
from whichtune.training.stage import Stage, moved

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


class ClassificationObjective:
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
        self.classifier, self.forward, self.spec = classifier, forward, spec
        self.own = own or ClassificationSettings()
        self.labels = torch.tensor(forward.encoded.splits["train"].labels)
        self.weights = None if weights is None else torch.tensor(weights, dtype=torch.float32, device=forward.device)
        self._counts = None if weights is None else weights[forward.encoded.splits["train"].labels]
        LAST_POINTS.pop(forward, None)

    def weight(self, rows: Sequence[int]) -> float:
        return len(rows) if self._counts is None else float(self._counts[list(rows)].sum())

    def loss(self, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        LAST_POINTS.pop(self.forward, None)  # weights move after it
        labels = moved(self.labels[list(rows)], self.forward.device)
        return self._judged(self.forward.logits("train", rows), labels)

    def staged(self, rows: list[int]) -> Stage | None:
        LAST_POINTS.pop(self.forward, None)
        if not isinstance(self.forward, StagedForward):
            return None
        stage = self.forward.staged("train", rows)
        return None if stage is None else stage.beside(labels=self.labels[rows])

    def loss_of(self, stage: Stage) -> tuple[Tensor, Tensor]:
        assert isinstance(self.forward, StagedForward)
        return self._judged(self.forward.logits_of(stage), stage.tensors["labels"])

    def _judged(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        summed = summed_loss(logits, labels, self.own, self.weights)
        return summed, (logits.detach().argmax(1) == labels).sum()

    def point(self, rows: range) -> CurvePoint:
        logits = predict_split(self.classifier, self.forward, "validation", rows)
        if len(rows) == len(self.forward.encoded.splits["validation"]):
            LAST_POINTS[self.forward] = logits
        labels = self.forward.encoded.splits["validation"].labels[: len(rows)]
        more = {} if self.spec is None else watched_by_terms(self.spec, logits, labels)
        return validation_point(measure(logits, labels)) | more
