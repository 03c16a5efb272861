"""When and on what the published SMS-spam script evaluates while it trains.

After the first batch and every `evaluation_interval` batches after it: the loss on `evaluation_batches`
batches of train and of validation. After each epoch: the accuracy on as many batches of each. The training
batches are drawn anew each time, which moves the global generator (see `whichtune.training.streams`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from whichtune.records.record import CurvePoint, Metrics
from whichtune.tasks.classification.evaluate import cross_entropy, measure, predict_split, validation_point
from whichtune.training.streams import ReferenceStreams

if TYPE_CHECKING:
    from whichtune.models.heads import Classifier
    from whichtune.study.spec import RunSpec
    from whichtune.training.forward import Forward


class ReferenceCurves:
    """Counts batches and gives a point where the script would evaluate. Batches count from 0."""

    def __init__(self, classifier: Classifier, forward: Forward, spec: RunSpec, streams: ReferenceStreams) -> None:
        self.classifier, self.forward, self.spec, self.streams = classifier, forward, spec, streams
        self.batch = -1
        examples, size = len(forward.encoded.splits["train"]), spec.batch_size
        self.batches_of_epoch = examples // size if spec.drop_last else -(-examples // size)

    def after_batch(self) -> Callable[[], CurvePoint] | None:
        """A point where one is due: its losses are what the script prints."""
        self.batch += 1
        interval = self.spec.evaluation_interval
        if interval == "epoch" or self.batch % int(interval) != 0:
            return None
        return partial(self._point, end_of_epoch=False)

    def after_epoch(self) -> Callable[[], CurvePoint]:
        """The point at an epoch's end: its accuracies are what the script prints."""
        return partial(self._point, end_of_epoch=True)

    def _point(self, end_of_epoch: bool) -> CurvePoint:
        splits = self.forward.encoded.splits
        train_loss, train = self._figures("train", self.streams.train_batches(len(splits["train"])))
        validation_loss, validation = self._figures(
            "validation", self.streams.validation_batches(len(splits["validation"]))
        )
        return {
            "batch": self.batch,
            "epoch": round((self.batch + 1) / self.batches_of_epoch, 6),
            "train_loss": train_loss,
            "train_accuracy": train.accuracy,
            **validation_point(validation),
            "validation_loss": validation_loss,
            "end_of_epoch": end_of_epoch,
        }

    def _figures(self, split: str, batches: list[list[int]]) -> tuple[float, Metrics]:
        """The mean of the first batches' mean losses, and metrics over their rows."""
        chosen = batches[: self.spec.evaluation_batches]
        rows = [row for batch in chosen for row in batch]
        labels = self.forward.encoded.splits[split].labels[rows]
        logits = predict_split(self.classifier, self.forward, split, rows)
        losses, means, start = cross_entropy(logits, labels), [], 0
        for batch in chosen:
            means.append(float(losses[start : start + len(batch)].mean()))
            start += len(batch)
        return sum(means) / len(means), measure(logits, labels)
