"""What each class counts in training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whichtune.errors import SettingError
from whichtune.registry import did_you_mean
from whichtune.tasks.classification.settings import ClassificationSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from whichtune.study.spec import RunSpec


def loss_settings(spec: RunSpec) -> ClassificationSettings:
    """The run's settings of its loss. A task of another's making, which is like this one, may have none of them."""
    known = ClassificationSettings.model_fields
    return ClassificationSettings(**{key: value for key, value in spec.task_settings.items() if key in known})


def class_weights(own: ClassificationSettings, labels: np.ndarray, classes: Sequence[str]) -> np.ndarray | None:
    """A weight for each class, (C,) float64, or None where all texts count alike. `labels` (n,) are those of the
    training texts; a class that none has counts 1.

    `balanced` is scikit-learn's: n / (classes that occur x texts of the class).
    """
    import numpy as np

    if own.class_weight is None:
        return None
    weights = np.ones(len(classes))
    if isinstance(own.class_weight, dict):
        for name, weight in own.class_weight.items():
            weights[list(classes).index(name)] = weight
        return weights
    counts = np.bincount(labels, minlength=len(classes))
    there = counts > 0
    weights[there] = counts.sum() / (there.sum() * counts[there])
    return weights


def check_weights(own: ClassificationSettings, classes: Sequence[str], where: str) -> None:
    """Raise SettingError for a weight of a label that the data do not have."""
    if isinstance(own.class_weight, dict):
        for name in own.class_weight:
            if name not in classes:
                raise SettingError(
                    f"{where}: class_weight: the data have no label '{name}': {did_you_mean(name, classes)}"
                )


def notes_of_fit(spec: RunSpec, uses_weights: bool) -> list[str]:
    """What of the loss's settings a method that minimises none, or one of its own, leaves aside."""
    own = loss_settings(spec)
    set_ones = [
        name
        for name, is_set in (
            ("class_weight", own.weighs and not uses_weights),
            ("label_smoothing", own.label_smoothing > 0),
            ("focal_gamma", own.focal_gamma > 0),
        )
        if is_set
    ]
    return [f"{name} has no effect on {spec.method}, whose head is fitted without it." for name in set_ones]
