"""Of two classes, from which probability on the second is the answer. Loads no torch.

Shapes: n texts. The probability is that of the second class, in the order of the labels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from whichtune.errors import SettingError
from whichtune.metrics import METRICS
from whichtune.records.record import Metrics
from whichtune.registry import did_you_mean
from whichtune.tasks.classification.settings import EVEN, VALIDATION, ClassificationSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from whichtune.records.record import RunRecord


def by_metric(metric: str) -> bool:
    """Whether a metric follows from the answers alone, so that a threshold can be chosen by it."""
    return metric in METRICS and METRICS[metric].answers == "classes" and METRICS[metric].of_confusion is not None


def settled(own: ClassificationSettings, metric: str) -> ClassificationSettings:
    """The settings with the metric by which a threshold is chosen, the study's primary one. Raises SettingError where
    no threshold changes it."""
    if own.decision_threshold != VALIDATION:
        return own
    if not by_metric(metric):
        raise SettingError(
            f"decision_threshold: validation chooses by the primary metric, and {metric} does not follow from the "
            "answers alone: name one that does, such as decision_threshold=f1_macro, or write CLASS=0.3."
        )
    return own.model_copy(update={"decision_threshold": metric})


def check_threshold(own: ClassificationSettings, labels: Sequence[str], where: str) -> None:
    """Raise SettingError for a threshold that does not go with the data."""
    wanted = own.decision_threshold
    if wanted == EVEN:
        return
    if len(labels) != 2:
        raise SettingError(
            f"{where}: decision_threshold is for two classes, and the data have {len(labels)}: leave it out."
        )
    name, equals, _ = str(wanted).rpartition("=")
    if equals and name not in labels:
        raise SettingError(f"{where}: decision_threshold: there is no class '{name}': {did_you_mean(name, labels)}")
    if not equals and not by_metric(str(wanted)):
        known = [VALIDATION, *(each for each in METRICS if by_metric(each))]
        raise SettingError(f"{where}: decision_threshold '{wanted}' is no metric: {did_you_mean(str(wanted), known)}")


def probabilities_of(logits: np.ndarray) -> np.ndarray:
    """The second class's (n,) from logits (n, 2)."""
    from scipy.special import expit

    found: np.ndarray = expit(logits[:, 1].astype(np.float64) - logits[:, 0].astype(np.float64))
    return found


def decided(logits: np.ndarray, threshold: float | None) -> np.ndarray:
    """The answers (n,) int64 by logits (n, C): the likeliest class, or of two the second from the threshold on."""
    if threshold is None:
        return logits.argmax(axis=1).astype("int64")
    return (probabilities_of(logits) >= threshold).astype("int64")


def threshold_by(
    own: ClassificationSettings, labels: Sequence[str], logits: np.ndarray, targets: np.ndarray
) -> float | None:
    """The threshold that the settings say, from the validation split's logits (n, 2) and targets (n,); None: the
    likelier class is the answer."""
    wanted = own.decision_threshold
    if wanted == EVEN:
        return None
    name, equals, number = str(wanted).rpartition("=")
    if not equals:
        return best_threshold(probabilities_of(logits), targets, str(wanted))
    least = float(number)
    return least if name == labels[1] else float(np.nextafter(1 - least, 2))  # the first is the answer from `least` on


def best_threshold(probabilities: np.ndarray, targets: np.ndarray, metric: str) -> float:
    """The threshold with the best value of a metric of the confusion matrix, on probabilities and targets (n,).

    It stands midway between two texts' probabilities; of several as good, the one nearest to 0.5.
    """
    order = np.argsort(probabilities, kind="stable")
    scores, right = probabilities[order], targets[order].astype(np.int64)
    ends = np.concatenate([[0.0], scores, [1.0]])
    cuts = np.flatnonzero(ends[1:] > ends[:-1])  # before text `cut`: equal ones are alike
    before = np.concatenate([[0], np.cumsum(right)])  # texts of the second class that are below
    missed, total = before[cuts], int(right.sum())
    counts = np.zeros((len(cuts), 2, 2), dtype=np.int64)
    counts[:, 1, 0], counts[:, 1, 1] = missed, total - missed
    counts[:, 0, 0] = cuts - missed
    counts[:, 0, 1] = len(right) - total - counts[:, 0, 0]
    known = METRICS[metric]
    assert known.of_confusion is not None
    values = known.of_confusion(counts) * (1 if known.higher_is_better else -1)
    middle = (ends[cuts] + ends[cuts + 1]) / 2
    middle = np.where(middle > ends[cuts], middle, ends[cuts + 1])  # two neighbours among the numbers have none between
    best = np.flatnonzero(values >= np.nanmax(values) - 1e-12)
    return float(middle[best[np.abs(middle[best] - EVEN).argmin()]])


def threshold_of(record: RunRecord) -> float | None:
    """The threshold of a recorded run: the figures of its validation split have it."""
    validation = record.metrics.validation
    return validation.threshold if isinstance(validation, Metrics) else None


def threshold_note(
    own: ClassificationSettings, labels: Sequence[str], threshold: float, even: Metrics, chosen: Metrics
) -> list[str]:
    """What a reader must know of a threshold: what it was chosen by, and what that gave on validation."""
    said = f"'{labels[1]}' is the answer from a probability of {threshold:.4g} on"
    if not by_metric(str(own.decision_threshold)):
        return [f"{said}, as decision_threshold says."]
    metric = METRICS[str(own.decision_threshold)]
    values = [each.value(metric.name) for each in (chosen, even)]
    told = [f"{metric.scale * (value or 0.0):.{metric.digits}f}" for value in values]
    return [f"{said}, which has the best {metric.title} on validation: {told[0]}, and {told[1]} from 0.5 on."]
