"""Cross-validation: every example is in the test split of one fold, and in that of no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whichtune.data.divide import dealt, group_counts
from whichtune.data.draws import split_off
from whichtune.data.shown import shown
from whichtune.errors import DataError
from whichtune.study.data_settings import DataSettings

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


def by_fold(frame: pd.DataFrame, settings: DataSettings) -> dict[str, pd.DataFrame]:
    """Test on fold `fold` of `folds`, the first where none is named; validation is drawn from the rest.

    Folds are alike in size and class shares; groups stay whole, in validation too. Raises DataError for fewer rows or
    groups than folds, and for a class that a fold holds whole.
    """
    from whichtune.data.divide import by_group

    fold = settings.fold or 0
    at = fold_of(frame, settings)
    test, rest = frame[at == fold], frame[at != fold]
    if not len(test):
        raise DataError(f"Fold {fold} of {settings.folds} has no rows: set fewer folds.")
    if alone := sorted(_classes(frame) - _classes(rest)):
        whole = "group" if settings.group_column else "example"
        kind = "label" if "labels" in frame else "class"
        raise DataError(
            f"The {kind} '{shown(alone[0])}' has one {whole}, which cannot be trained on where it is tested: add to "
            "it, remove it, or leave folds out."
        )
    size = max(1, round(len(frame) * settings.validation_fraction))
    if size >= len(rest):
        raise DataError(f"{len(frame)} rows are too few for {settings.folds} folds: set fewer.")
    if settings.group_column is not None or "labels" in frame:
        share = settings.model_copy(update={"validation_fraction": size / len(rest)})
        return {**by_group(rest, ("validation",), share), "test": test}
    if "label" in frame:
        train, validation = split_off(rest, size, "validation", settings.split_seed)
    else:
        from sklearn.model_selection import train_test_split

        train, validation = train_test_split(rest, test_size=size, random_state=settings.split_seed)
    return {"train": train, "validation": validation, "test": test}


def _classes(frame: pd.DataFrame) -> set[str]:
    """The classes, or the labels, that some row has."""
    if "labels" in frame:
        return {name for given in frame["labels"] for name in given}
    return set(frame["label"]) if "label" in frame else set()


def fold_of(frame: pd.DataFrame, settings: DataSettings) -> NDArray[np.int64]:
    """Each row's fold `(n,)`: dealt out class by class in a drawn order, or by whole groups."""
    import numpy as np

    folds = settings.folds or 1
    if settings.group_column is not None or "labels" in frame:
        names, codes, counts = group_counts(frame)
        _enough(len(names), folds, "rows" if settings.group_column is None else "groups")
        side, _ = dealt(counts, np.full(folds, 1 / folds), settings.split_seed)
        found: NDArray[np.int64] = side[codes]
        return found
    _enough(len(frame), folds, "rows")
    rng = np.random.default_rng(settings.split_seed)
    drawn = rng.permutation(len(frame))
    if "label" in frame:
        labels = frame["label"].to_numpy(dtype=object).astype(str)
        drawn = drawn[np.argsort(labels[drawn], kind="stable")]
    at = np.empty(len(frame), dtype=np.int64)
    at[drawn] = np.arange(len(frame)) % folds
    return at


def _enough(count: int, folds: int, what: str) -> None:
    if count < folds:
        raise DataError(f"{count} {what} are too few for {folds} folds: set fewer.")
