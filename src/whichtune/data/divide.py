"""Splits that keep groups together, or train on what came before: drawn as the data's settings say.

A group (a patient, a thread, a shop) whose texts stand on two sides, or a test text older than those trained on, makes
every method look better than it will be in use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from whichtune.data.columns import cells_as_text, is_empty, label_text, what_is
from whichtune.data.given import SPLITS, row_of
from whichtune.data.shown import nearest, shown
from whichtune.errors import DataError
from whichtune.study.data_settings import DataSettings

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from whichtune.data.sources import Source

GROUPED, BY_TIME = "grouped", "by time"
Carve = Callable[["pd.DataFrame", tuple[str, ...], DataSettings], "dict[str, pd.DataFrame]"]


def with_keys(frames: dict[str, pd.DataFrame], source: Source, settings: DataSettings) -> dict[str, pd.DataFrame]:
    """The tables with a column `group` (text) or `time` (numbers) where the settings name one.

    Raises DataError for a column that a table lacks, an empty cell, and a time that is neither number nor date.
    """
    found = dict(frames)
    for key, column in (("group", settings.group_column), ("time", settings.time_column)):
        if column is None:
            continue
        for table, frame in source.tables.items():
            place = source.places.get(table, shown(source.name))
            if column not in frame.columns:
                known = [str(name) for name in frame.columns]
                raise DataError(f"{place} has no column '{shown(column)}': {nearest(column, known)}")
            cells = list(frame[column])
            place_of = partial(row_of, frame, place)
            read = _groups if key == "group" else _times
            found[table] = found[table].assign(**{key: read(cells, column, place_of)})
    return found


def _groups(cells: list[object], column: str, place_of: Callable[[int], str]) -> list[str]:
    return cells_as_text(cells, "group", column, place_of, label_text)


def _times(cells: list[object], column: str, place_of: Callable[[int], str]) -> NDArray[np.float64]:
    """Times as numbers `(n,)`: numbers as they are, else dates in seconds."""
    import numpy as np
    import pandas as pd

    for row, cell in enumerate(cells):
        if is_empty(cell):
            raise DataError(f"{place_of(row)} has an empty time (column '{shown(column)}'): fill or remove it.")
        if what_is(cell) not in (None, "a date or time"):
            raise DataError(f"{place_of(row)} has {what_is(cell)} for a time (column '{shown(column)}'): give a date.")
    numbers = pd.to_numeric(pd.Series([str(cell) for cell in cells], dtype=object), errors="coerce").to_numpy(float)
    if np.isfinite(numbers).all():
        return np.asarray(numbers, dtype=np.float64)
    texts = pd.Series([str(cell) for cell in cells], dtype=object)
    dates = pd.to_datetime(texts, errors="coerce", utc=True, format="ISO8601")
    if bad := np.flatnonzero(dates.isna()).tolist():
        raise DataError(
            f"{place_of(bad[0])} has '{shown(str(cells[bad[0]]))}' for a time (column '{shown(column)}'): give every "
            "row a number, or a date such as 2024-05-31 or 2024-05-31T12:00:00."
        )
    return np.asarray((dates - pd.Timestamp(0, tz="UTC")).dt.total_seconds(), dtype=np.float64)


def drawn_rule(settings: DataSettings) -> str:
    """How splits are drawn that are not given."""
    if settings.group_column is not None:
        return GROUPED
    return BY_TIME if settings.time_column is not None else "stratified"


def carver(settings: DataSettings, usual: Carve) -> Carve:
    """How the splits that are not given are taken from the others' rows: `usual` where no column says otherwise."""
    return {GROUPED: by_group, BY_TIME: by_time}.get(drawn_rule(settings), usual)


def by_group(frame: pd.DataFrame, wanted: tuple[str, ...], settings: DataSettings) -> dict[str, pd.DataFrame]:
    """Draw the wanted splits from `frame` group by group, sizes and class shares as near as whole groups allow.

    Groups come in a drawn order, the most uneven ones first, and each goes where it is missed most. Train keeps at
    least one group with each class. Raises DataError for too few groups.
    """
    import numpy as np

    names, codes, counts = group_counts(frame)
    if len(names) <= len(wanted):
        raise DataError(
            f"Column '{shown(str(settings.group_column))}' names {len(names)} "
            f"{'group' if len(names) == 1 else 'groups'}, too few to split off {' and '.join(wanted)}: "
            f"{len(wanted) + 1} or more are needed."
        )
    shares = [getattr(settings, f"{split}_fraction") for split in wanted]
    side = assigned(counts, np.array([1 - sum(shares), *shares]), settings.split_seed)
    order = ("train", *wanted)
    return {split: frame[side[codes] == number] for number, split in enumerate(order)}


def group_counts(frame: pd.DataFrame) -> tuple[NDArray[np.object_], NDArray[np.int64], NDArray[np.float64]]:
    """The groups' names `(G,)`, each row's group `(n,)`, and examples by group and class `(G, C)`.

    Without a column of groups each row is one. Of sets of labels a column counts those that have a label, and one all.
    """
    import numpy as np

    if "group" in frame:
        names, codes = np.unique(frame["group"].to_numpy(dtype=object).astype(str), return_inverse=True)
    else:
        names, codes = np.arange(len(frame)).astype(object), np.arange(len(frame))
    if "labels" in frame:
        return names, codes, _label_counts(frame["labels"], codes, len(names))
    labels = frame["label"].to_numpy(dtype=object).astype(str) if "label" in frame else np.full(len(frame), "")
    classes, places = np.unique(labels, return_inverse=True)
    counts = np.zeros((len(names), len(classes)))
    np.add.at(counts, (codes, places), 1)
    return names, codes, counts


def _label_counts(labels: Iterable[Sequence[str]], codes: NDArray[np.int64], groups: int) -> NDArray[np.float64]:
    import numpy as np

    every = list(labels)
    place = {name: number for number, name in enumerate(sorted({name for given in every for name in given}))}
    counts = np.zeros((groups, len(place) + 1))
    for group, given in zip(codes.tolist(), every, strict=True):
        counts[group, [place[name] for name in given]] += 1
        counts[group, -1] += 1
    return counts


def assigned(counts: NDArray[np.float64], shares: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    """Which side `(G,)` each group goes to, of `counts (G, C)` examples; side 0 is train and has every class."""

    side, order = dealt(counts, shares, seed)
    for lacking in range(counts.shape[1]):  # a class that train lacks: its smallest group
        if (counts[side == 0][:, lacking] > 0).any():
            continue
        able = [group for group in order[::-1] if counts[group, lacking] > 0]
        side[min(able, key=lambda group: counts[group].sum())] = 0
    for empty in [number for number in range(len(shares)) if not (side == number).any()]:
        side[_spared(counts, side, order)] = empty
    return side


def dealt(
    counts: NDArray[np.float64], shares: NDArray[np.float64], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which side `(G,)` each group goes to, and the order `(G,)` in which they came: each where it is missed most."""
    import numpy as np

    rng = np.random.default_rng(seed)
    drawn = rng.permutation(len(counts))
    order = drawn[np.argsort(-counts[drawn].max(axis=1), kind="stable")]
    total = np.maximum(counts.sum(axis=0), 1)
    target = shares[:, None] * total
    have, side = np.zeros_like(target), np.zeros(len(counts), dtype=np.int64)
    for group in order:
        moved = ((have + counts[group] - target) ** 2 - (have - target) ** 2) / total
        side[group] = int(moved.sum(axis=1).argmin())
        have[side[group]] += counts[group]
    return side, order


def _spared(counts: NDArray[np.float64], side: NDArray[np.int64], order: NDArray[np.int64]) -> int:
    """The smallest group that its side can spare: the side keeps another, and train each class."""
    able = []
    for group in order.tolist():
        others = (side == side[group]) & (counts.sum(axis=1) > 0)
        others[group] = False
        if others.any() and (side[group] != 0 or (counts[others].sum(axis=0) > 0)[counts[group] > 0].all()):
            able.append(group)
    if not able:
        raise DataError("Some classes stand in one group alone, which leaves no group to test on: add groups.")
    return int(min(able, key=lambda group: counts[group].sum()))


def by_time(frame: pd.DataFrame, wanted: tuple[str, ...], settings: DataSettings) -> dict[str, pd.DataFrame]:
    """The last rows for test, those before for validation, the earliest for train; rows of one time stay together.

    Raises DataError where too few times differ.
    """
    import numpy as np

    ordered = frame.iloc[np.argsort(frame["time"].to_numpy(), kind="stable")]
    times = ordered["time"].to_numpy()
    breaks = np.flatnonzero(times[1:] != times[:-1]) + 1  # a side may begin here
    if len(breaks) < len(wanted):
        raise DataError(
            f"Column '{shown(str(settings.time_column))}' has {len(breaks) + 1} different "
            f"{'time' if not len(breaks) else 'times'}, too few to split off {' and '.join(wanted)}: "
            f"{len(wanted) + 1} or more are needed."
        )
    parts, end, left = {}, len(ordered), len(wanted)
    for split in sorted(wanted, key=SPLITS.index, reverse=True):
        left -= 1
        able = breaks[breaks < end]
        able = able[left:]  # leaves the earlier sides a beginning each
        size = round(len(ordered) * getattr(settings, f"{split}_fraction"))
        start = int(able[np.abs(able - (end - size)).argmin()])
        parts[split], end = ordered.iloc[start:end], start
    return {"train": ordered.iloc[:end], **{split: parts[split] for split in wanted}}


def refuse_mixed(parts: dict[str, pd.DataFrame], settings: DataSettings, place: str) -> None:
    """Raise DataError where a group stands on two sides, or a training text is later than one that is judged."""
    for number, first in enumerate(SPLITS):
        for second in SPLITS[number + 1 :]:
            if settings.group_column is None:
                break
            both = sorted(set(parts[first]["group"]) & set(parts[second]["group"]))
            if both:
                more = f" (and {len(both) - 1:,} more)" if len(both) > 1 else ""
                raise DataError(
                    f"The group '{shown(both[0])}'{more} of {place} stands in {first} and {second}: set "
                    "split=stratified to draw the splits anew, or leave group_column out."
                )
    for split in ("validation", "test"):
        if settings.time_column is not None and parts["train"]["time"].max() > parts[split]["time"].min():
            raise DataError(
                f"Some training rows of {place} are later than {split} rows: set split=stratified to split by time "
                "anew, or leave time_column out."
            )
