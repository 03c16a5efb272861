"""Predictions of a split and the figures that follow from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from whichtune.metrics import METRICS, metrics_of, possible_metrics, recorded_on_request
from whichtune.metrics.terms import USUAL, Classified, terms_of
from whichtune.records.record import CurvePoint, Metrics, MetricsBySplit
from whichtune.tasks.base import Judged
from whichtune.wording import plural

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from whichtune.data.encoding import EncodedSplit
    from whichtune.data.splits import Split
    from whichtune.models.heads import Classifier
    from whichtune.study.spec import RunSpec
    from whichtune.tasks.classification.settings import ClassificationSettings
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
    buckets = by_length([len(tokens[row]) for row in rows], EVALUATION_BATCH)
    with torch.no_grad():  # a GPU is waited for once, at the end
        parts = [forward.logits(split, [rows[i] for i in bucket]) for bucket in buckets]
    classifier.train(training)
    found = torch.cat(parts).cpu().numpy()
    return finite_rows(found[np.argsort(np.concatenate(buckets))], split)


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
    threshold: float | None = None,
) -> Metrics:
    """Every metric of classes, the loss and the confusion matrix, from logits (n, C) and labels (n,).

    `threshold`: of two classes, the second's probability from which on it is the answer."""
    import numpy as np

    from whichtune.metrics.confusion import confusion
    from whichtune.tasks.classification.deciding import decided

    predictions, classes = decided(logits, threshold), logits.shape[1]
    given = Classified(labels, predictions, logits, classes)
    repeated = np.zeros(len(labels), dtype=bool) if duplicate_of_train is None else duplicate_of_train
    fresh = ~repeated
    return Metrics(
        **{metric.name: metric.of_classes(labels, predictions, classes) for metric in metrics_of("classes")},
        **{each.name: float(each.of_each(given, USUAL).mean()) for each in recorded_on_request() if each.of_each},
        loss=float(cross_entropy(logits, labels).mean()),
        n=len(labels),
        threshold=threshold,
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


def prediction_table(
    split: str, part: Split | EncodedSplit, logits: np.ndarray, threshold: float | None = None
) -> pd.DataFrame:
    """Rows of predictions.parquet for one split."""
    import pandas as pd

    from whichtune.tasks.classification.deciding import decided

    return pd.DataFrame(
        {
            "split": split,
            "example_id": part.ids,
            "label": part.labels,
            "prediction": decided(logits, threshold),
            "loss": cross_entropy(logits, part.labels),
            "logits": [row.astype("float32") for row in logits],
            "duplicate_of_train": part.duplicate_of_train,
        }
    )


def figures_of(
    logits: Mapping[str, np.ndarray],
    splits: Mapping[str, Split] | Mapping[str, EncodedSplit],
    own: ClassificationSettings,
    labels: Sequence[str],
) -> Judged:
    """Metrics and prediction rows of every split that logits (n, C) are given for, validation among them."""
    import pandas as pd

    from whichtune.tasks.classification.deciding import threshold_by, threshold_note

    validation = splits["validation"]
    threshold = threshold_by(own, labels, logits["validation"], validation.labels)
    metrics: dict[str, Metrics] = {}
    notes: list[str] = []
    tables = []
    for name, scores in logits.items():
        part = splits[name]
        metrics[name] = measure(
            scores,
            part.labels,
            duplicate_of_train=part.duplicate_of_train,
            truncated=getattr(part, "truncated", 0),
            threshold=threshold,
        )
        tables.append(prediction_table(name, part, scores, threshold))
        if name == "test":
            notes.extend(_absent_note(part.labels, scores.shape[1]))
    if threshold is not None:
        even = measure(logits["validation"], validation.labels)
        notes.extend(threshold_note(own, labels, threshold, even, metrics["validation"]))
    return Judged(MetricsBySplit(**metrics), pd.concat(tables, ignore_index=True), notes)


def _absent_note(labels: np.ndarray, classes: int) -> list[str]:
    absent = classes - len(set(labels.tolist()))
    if not absent:
        return []
    which = f"{absent:,} of {plural(classes, 'class', 'classes')} {'has' if absent == 1 else 'have'} no test text"
    return [f"{which}: macro F1 is the mean over the classes that occur."]
