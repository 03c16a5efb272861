"""Predictions of a split and the figures that follow from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from whichtune.metrics import METRICS, metrics_of, possible_metrics, recorded_on_request
from whichtune.metrics.terms import USUAL, Classified, terms_of
from whichtune.records.record import CurvePoint, Metrics

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from whichtune.data.encoding import EncodedSplit
    from whichtune.data.splits import Split
    from whichtune.models.heads import Classifier
    from whichtune.study.spec import RunSpec
    from whichtune.training.forward import Forward

EVALUATION_BATCH = 32


def predict_split(
    classifier: Classifier, forward: Forward, split: str, rows: Sequence[int] | None = None
) -> np.ndarray:
    """Logits (n, C) float32 in the data set's order, computed in length-bucketed batches without gradients.

    Raises NotFiniteError where some are no numbers."""
    import numpy as np
    import torch

    from whichtune.training.batching import by_length
    from whichtune.training.finite import finite_rows

    tokens = forward.encoded.splits[split].tokens
    rows = range(len(tokens)) if rows is None else rows
    training = classifier.training
    classifier.eval()
    parts: dict[int, np.ndarray] = {}
    with torch.no_grad():
        for bucket in by_length([len(tokens[row]) for row in rows], EVALUATION_BATCH):
            chosen = [rows[i] for i in bucket]
            for row, logits in zip(bucket, forward.logits(split, chosen).cpu().numpy(), strict=True):
                parts[row] = logits
    classifier.train(training)
    return finite_rows(np.stack([parts[i] for i in range(len(rows))]), split)


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Each example's cross-entropy in nats, (n,), in float64."""
    import numpy as np
    from scipy.special import log_softmax

    scores = log_softmax(logits.astype(np.float64), axis=1)
    return -scores[np.arange(len(labels)), labels]


def measure(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    duplicate_of_train: np.ndarray | None = None,
    truncated: int = 0,
) -> Metrics:
    """Every metric of classes, the loss and the confusion matrix, from logits (n, C) and labels (n,)."""
    import numpy as np

    from whichtune.metrics.confusion import confusion

    predictions, classes = logits.argmax(axis=1), logits.shape[1]
    given = Classified(labels, predictions, logits, classes)
    repeated = np.zeros(len(labels), dtype=bool) if duplicate_of_train is None else duplicate_of_train
    fresh = ~repeated
    return Metrics(
        **{metric.name: metric.of_classes(labels, predictions, classes) for metric in metrics_of("classes")},
        **{each.name: float(each.of_each(given, USUAL).mean()) for each in recorded_on_request() if each.of_each},
        loss=float(cross_entropy(logits, labels).mean()),
        n=len(labels),
        confusion_matrix=confusion(labels, predictions, classes).tolist(),
        truncated=truncated,
        duplicates_of_train=int(repeated.sum()),
        accuracy_without_duplicates=float((predictions == labels)[fresh].mean()) if fresh.any() else None,
    )


def validation_point(metrics: Metrics) -> CurvePoint:
    """What a point of the curves says of the validation split: the loss, and every metric of classes that needs nothing
    of the study."""
    known = [metric.name for metric in possible_metrics("classes") if not metric.by_terms]
    return {"validation_loss": metrics.loss, **{f"validation_{name}": metrics.value(name) for name in known}}


def watched_by_terms(spec: RunSpec, logits: np.ndarray, labels: np.ndarray) -> CurvePoint:
    """What a point says of validation besides: the metric that may stop the run, where it follows from the study's
    terms, from logits (n, C) and labels (n,)."""
    if spec.stopping_terms is None:
        return {}
    metric = METRICS[spec.early_stopping]
    assert metric.of_each is not None
    given = Classified(labels, logits.argmax(axis=1), logits, logits.shape[1])
    value = float(metric.of_each(given, terms_of(spec.stopping_terms)).mean())
    return {f"validation_{metric.name}": value}


def prediction_table(split: str, part: Split | EncodedSplit, logits: np.ndarray) -> pd.DataFrame:
    """Rows of predictions.parquet for one split."""
    import pandas as pd

    return pd.DataFrame(
        {
            "split": split,
            "example_id": part.ids,
            "label": part.labels,
            "prediction": logits.argmax(axis=1).astype("int64"),
            "loss": cross_entropy(logits, part.labels),
            "logits": [row.astype("float32") for row in logits],
            "duplicate_of_train": part.duplicate_of_train,
        }
    )
