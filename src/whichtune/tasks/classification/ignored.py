"""`ignore_index`: texts with one label are left out, of every split and alike for all that reads them.

They are neither trained nor fitted on, nor judged, nor in predictions. The label stays among the classes, so that
classes have the same numbers with and without the setting.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from whichtune.errors import SettingError
from whichtune.methods.fitting import ABSENT_LOGIT
from whichtune.wording import listing

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from whichtune.data.splits import Dataset, Split
    from whichtune.study.spec import RunSpec

MOST_NAMED = 10


def check_ignored(spec: RunSpec, dataset: Dataset, where: str) -> None:
    """Raise SettingError for an ignored label that no text has, and for one without which nothing can be learned."""
    label = spec.ignored_label
    if label is None:
        return
    if label not in dataset.labels:
        there = listing([f"'{name}'" for name in dataset.labels], most=MOST_NAMED)
        raise SettingError(f"{where}: ignore_index is '{label}', which is no label of the data: there are {there}.")
    number = dataset.labels.index(label)
    for name, split in dataset.splits.items():
        kept = set(split.labels.tolist()) - {number}
        if len(kept) < (2 if name == "train" else 1):
            left = "one class only" if kept else "no text"
            raise SettingError(
                f"{where}: without the label '{label}' (ignore_index) {name} has {left}: ignore another."
            )


def counted(spec: RunSpec, dataset: Dataset) -> Dataset:
    """The data without the texts whose label the run ignores."""
    label = spec.ignored_label
    if label is None:
        return dataset
    number = dataset.labels.index(label)
    return replace(dataset, splits={name: _without(split, number) for name, split in dataset.splits.items()})


def ignored_notes(spec: RunSpec) -> list[str]:
    """What the reader of a run must know of its setting."""
    if spec.ignored_label is not None:
        return [f"Texts with the label '{spec.ignored_label}' are left out of all splits (ignore_index)."]
    if spec.ignore_index is not None:
        return [
            f"ignore_index is {spec.ignore_index} and has no effect: random_streams=reference repeats the published "
            "script, which never passes it to training."
        ]
    return []


def _without(split: Split, number: int) -> Split:
    kept = split.labels != number
    rows = kept.nonzero()[0].tolist()
    return replace(
        split,
        ids=[split.ids[row] for row in rows],
        texts=[split.texts[row] for row in rows],
        labels=split.labels[kept],
        duplicate_of_train=split.duplicate_of_train[kept],
    )


def fitted_classes(spec: RunSpec, labels: Sequence[str]) -> list[int]:
    """The numbers of the classes that what is fitted in one go knows: all but the ignored one."""
    return [number for number, label in enumerate(labels) if label != spec.ignored_label]


def logits_of_all(logits: np.ndarray, fitted: Sequence[int], classes: int) -> np.ndarray:
    """Logits `(n, C)` from those of the classes that a model was fitted on; the others are never the answer."""
    import numpy as np

    if len(fitted) == classes:
        return logits
    every = np.full((len(logits), classes), ABSENT_LOGIT)
    every[:, list(fitted)] = logits
    return every
