"""Texts with any number of labels each, in three splits."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from whichtune.data.divide import by_group
from whichtune.data.given import row_of
from whichtune.data.label_cells import LABEL_SETS, label_columns, names_in
from whichtune.data.labels import alike_note, class_order
from whichtune.data.parts import Parts, limit_rows, read_parts
from whichtune.data.shown import quoted, shown
from whichtune.data.sizes import covering_order, sized
from whichtune.data.sources import SPLITS, Source, Usual
from whichtune.data.splits import Dataset, Split, text_table, with_repeats
from whichtune.errors import DataError
from whichtune.study.data_settings import DataSettings
from whichtune.wording import plural

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

LEAST_ROWS = 10  # to draw splits from
MOST_LABELS = 1_000
MOST_TOLD = 3
FEW = 5  # test texts of a label, below which its own figures say little


def load_label_sets(settings: DataSettings, columns: Usual = LABEL_SETS) -> Dataset:
    """Read, check and split: `labels` of each split are (n, L) bool.

    Drawn splits keep the labels' shares as near as can be, and every label in train. Raises DataError for a cell that
    names no labels, fewer than two labels, and a label that train lacks.
    """
    clean = partial(_clean, settings)
    parts = read_parts(settings, columns, clean, carve_sets, limit_sets)
    names = _names(parts, settings)
    splits = {
        split: Split(list(frame["id"]), list(frame["text"]), indicators(frame, names), repeated)
        for split, frame, repeated in with_repeats(parts.tables, settings, parts.place)
    }
    notes = [*parts.notes, *_told(splits, names, settings, parts.place)]
    source = parts.source
    dataset = Dataset(source.name, names, splits, source.fingerprint, parts.rule, tuple(notes))
    return sized(dataset, settings.train_size, settings.split_seed)


def indicators(frame: pd.DataFrame, names: list[str]) -> np.ndarray:
    """Which of the names each row of column `labels` has, (n, L) bool."""
    import numpy as np

    place = {name: number for number, name in enumerate(names)}
    found = np.zeros((len(frame), len(names)), dtype=bool)
    for row, given in enumerate(frame["labels"]):
        found[row, [place[name] for name in given]] = True
    return found


def _clean(settings: DataSettings, source: Source, table: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Columns id, text, labels: the last a tuple of names."""
    import pandas as pd

    column = source.label_column
    if column in source.text_columns:
        place = source.places.get(table, shown(source.name))
        raise DataError(f"{place}: '{shown(column)}' cannot be both text and labels: name another column.")
    clean = text_table(source, table, frame, {})
    where = partial(row_of, frame, source.places.get(table, shown(source.name)))
    labels = [
        names_in(cell, column, settings.label_separator, partial(where, row)) for row, cell in enumerate(frame[column])
    ]
    clean["labels"] = pd.Series(labels, index=clean.index, dtype=object)
    return clean


def carve_sets(frame: pd.DataFrame, wanted: tuple[str, ...], settings: DataSettings) -> dict[str, pd.DataFrame]:
    """Each row goes where its labels are missed most, as whole groups do."""
    if len(frame) < LEAST_ROWS:
        raise DataError(f"{len(frame)} rows are too few to split off {wanted[0]}: add rows, or give the splits.")
    return by_group(frame, wanted, settings)


def limit_sets(frame: pd.DataFrame, limit: int | None, seed: int) -> pd.DataFrame:
    """At most `limit` rows, every label among them."""
    if limit is None or limit >= len(frame):
        return limit_rows(frame, limit, seed)
    names = sorted({name for given in frame["labels"] for name in given})
    order, covering = covering_order(indicators(frame, names), seed)
    if limit < covering:
        raise DataError(f"A limit of {limit} examples cannot hold {len(names)} labels: raise it.")
    return frame.iloc[sorted(order[:limit])]


def _names(parts: Parts, settings: DataSettings) -> list[str]:
    """The labels of train in their order. Raises DataError for too few, too many, and for one that train lacks."""
    seen = {split: {name for given in frame["labels"] for name in given} for split, frame in parts.tables.items()}
    place, train = parts.place, seen["train"]
    named = label_columns(settings)
    for split in SPLITS[1:]:
        if unseen := sorted(seen[split] - train):
            raise DataError(
                f"The label '{shown(unseen[0])}' occurs in {split} but not in train of {place}, so nothing could learn "
                "it: add training texts that have it, remove it, or draw the splits anew."
            )
    if len(named) > 1 and (never := [name for name in named if name not in train]):
        raise DataError(
            f"The label column '{shown(never[0])}' has no 1 in train of {place}, so nothing could learn it: leave it "
            "out of label_column."
        )
    if not train:
        raise DataError(f"No training text of {place} has a label: name the column of labels with --label-column.")
    if len(train) == 1:
        raise DataError(
            f"The data of {place} have one label only ('{shown(next(iter(train)))}'): two or more are needed, or task "
            "classification for texts that have it or not."
        )
    if len(train) > MOST_LABELS:
        between = f": is '{settings.label_separator}' what stands between labels?" if settings.label_separator else "."
        raise DataError(f"The data of {place} have {len(train):,} labels, more than {MOST_LABELS:,}{between}")
    return class_order(train)


def _told(splits: dict[str, Split], names: list[str], settings: DataSettings, place: str) -> list[str]:
    """What is to be told of the labels: how many texts have none, labels that hardly occur, and whether several labels
    are meant at all."""
    counts = {split: part.labels.sum(axis=1) for split, part in splits.items()}
    notes = []
    if all(int(count.max()) <= 1 for count in counts.values()):
        sign = settings.label_separator
        asks = f"is '{sign}' what stands between labels" if sign else "are these classes (--task classification)"
        notes.append(f"No text of {place} has more than one label: {asks}?")
    if without := sum(int((count == 0).sum()) for count in counts.values()):
        total = sum(len(count) for count in counts.values())
        notes.append(f"{without:,} of {plural(total, 'text')} of {place} {'has' if without == 1 else 'have'} no label.")
    tested = splits["test"].labels.sum(axis=0)
    if rare := [name for name, count in zip(names, tested, strict=True) if count < FEW]:
        which = plural(len(rare), "label") + (" has" if len(rare) == 1 else " have")
        notes.append(f"{which} fewer than {FEW} test texts: {quoted(rare, MOST_TOLD)}.")
    if every := [name for number, name in enumerate(names) if splits["train"].labels[:, number].all()]:
        notes.append(f"Every training text of {place} has the label {quoted(every, MOST_TOLD)}: nothing tells it.")
    return [*notes, *(note for note in (alike_note(names, place),) if note)]
