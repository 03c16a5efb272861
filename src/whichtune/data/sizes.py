"""Training on a part of the training texts: nested, so that every larger part holds every smaller one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from whichtune.errors import DataError
from whichtune.study.data_settings import DataSettings

if TYPE_CHECKING:
    import numpy as np

DatasetT = TypeVar("DatasetT")


def sized(dataset: DatasetT, size: int | None, seed: int) -> DatasetT:
    """The dataset with the first `size` of its training texts in the order of `nested_order`; None: with all.

    Which validation and test texts also stand in train is told anew. Raises DataError for a size that is larger than
    the training split, or cannot hold every class.
    """
    if size is None:
        return dataset
    whole: Any = dataset
    train = whole.splits["train"]
    if size > len(train):
        raise DataError(f"There are {len(train):,} training examples, and train_size is {size:,}: lower it.")
    order = _order(getattr(train, "labels", None), len(train), size, seed)
    kept = _taken(train, sorted(order[:size]))
    texts = set(kept.texts)
    others = {
        name: replace(split, duplicate_of_train=_repeats(split.texts, texts))
        for name, split in whole.splits.items()
        if name != "train"
    }
    found: DatasetT = replace(whole, splits={**{"train": kept}, **others})
    return found


def _order(labels: np.ndarray | None, count: int, size: int, seed: int) -> list[int]:
    """In which order training texts are taken. Raises DataError where `size` cannot hold every class or label."""
    if labels is not None and labels.ndim == 2:
        order, covering = covering_order(labels, seed)
        if size < covering:
            raise DataError(f"A train_size of {size} examples cannot hold {labels.shape[1]} labels: raise it.")
        return order
    if labels is not None and labels.dtype.kind == "f":  # no classes, but numbers
        labels = None
    classes = 0 if labels is None else len(set(labels.tolist()))
    if size < classes:
        raise DataError(f"A train_size of {size} examples cannot hold {classes} classes: raise it.")
    return nested_order(None if labels is None else labels.tolist(), count, seed)


def dataset_of(data: DataSettings, dataset: DatasetT) -> DatasetT:
    """A study's dataset as a run with these settings is trained on it."""
    return sized(variants_of(dataset).get(on_all(data), dataset), data.train_size, data.split_seed)


def variants_of(dataset: DatasetT) -> Mapping[DataSettings, DatasetT]:
    """By their settings: the same source as those rows of a study read it whose settings of the data are their own."""
    found: Mapping[DataSettings, DatasetT] = getattr(dataset, "variants", {})
    return found


def on_all(data: DataSettings) -> DataSettings:
    """The settings with all training texts, and of the one split that the variants of a dataset are read by."""
    return data.model_copy(update={"train_size": None})


def nested_order(labels: Sequence[int] | None, count: int, seed: int) -> list[int]:
    """Positions of the training texts: the first of each class, then so that every beginning has the classes' shares as
    near as can be; without classes by lot alone."""
    import numpy as np

    rng = np.random.default_rng(seed)
    drawn = rng.permutation(count)
    if labels is None:
        return [int(place) for place in drawn]
    sizes: dict[int, int] = {}
    for label in labels:
        sizes[label] = sizes.get(label, 0) + 1
    seen: dict[int, int] = {}
    keyed = []
    for place in drawn:
        label = labels[place]
        number = seen.get(label, 0)
        seen[label] = number + 1
        keyed.append((number > 0, (number + rng.random()) / sizes[label], int(place)))
    return [place for _, _, place in sorted(keyed)]


def covering_order(labels: np.ndarray, seed: int) -> tuple[list[int], int]:
    """Positions of texts with sets of labels (n, L) by lot, but first those that have one which none before has; and
    how many these are."""
    import numpy as np

    seen = np.zeros(labels.shape[1], dtype=bool)
    first: list[int] = []
    rest: list[int] = []
    for place in np.random.default_rng(seed).permutation(len(labels)).tolist():
        new = bool((labels[place] & ~seen).any())
        seen |= labels[place]
        (first if new else rest).append(place)
    return first + rest, len(first)


def _taken(split: Any, rows: Sequence[int]) -> Any:
    """A split with these rows alone."""
    return replace(
        split,
        **{
            field.name: [value[row] for row in rows] if isinstance(value, list) else value[list(rows)]
            for field in fields(split)
            for value in (getattr(split, field.name),)
        },
    )


def _repeats(texts: Sequence[str], train: set[str]) -> Any:
    import numpy as np

    return np.array([text in train for text in texts], dtype=bool)
