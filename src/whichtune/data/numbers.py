"""Texts with a number each, in three splits; and labels that may be meant as numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from whichtune.data.columns import label_text
from whichtune.data.given import row_of
from whichtune.data.labels import NUMBER
from whichtune.data.parts import read_parts
from whichtune.data.read import read_source
from whichtune.data.shown import shown
from whichtune.data.sizes import sized
from whichtune.data.sources import LABEL_NAMES, SPLITS, TEXT_NAMES, Source, Usual
from whichtune.data.splits import Split, WithoutClasses, text_table, with_repeats
from whichtune.errors import DataError
from whichtune.registry import did_you_mean
from whichtune.study.data_settings import DataSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd

NUMBERED = Usual(TEXT_NAMES, ("score", "rating", "value", "price", "number", *LABEL_NAMES, "y"), "label")
MANY_VALUES = 30  # different whole numbers, above which labels are rather numbers than classes
MANY_FRACTIONS = 10  # the same where some have decimals


@dataclass(frozen=True)
class NumberDataset(WithoutClasses):
    """Three splits whose `labels` are numbers (n,) float64. `notes` is what was found in reading."""

    name: str
    splits: dict[str, Split]
    fingerprint: str
    split_rule: str
    notes: tuple[str, ...] = ()
    variants: Mapping[DataSettings, NumberDataset] = field(default_factory=dict)
    ordered: bool = False  # whether numbers are places among ordered classes

    @property
    def outputs(self) -> int:
        """How many numbers a model gives for each text."""
        return 1


def load_numbers(settings: DataSettings, columns: Usual = NUMBERED) -> NumberDataset:
    """Read, check and split. Raises DataError for an empty text, what is no finite number, too few rows, and a split
    whose numbers are all the same."""
    parts = read_parts(settings, columns, partial(_clean, settings.ordinal))
    for split in SPLITS:
        if parts.tables[split]["number"].nunique() < 2:
            raise DataError(
                f"All numbers of {split} in {parts.place} are the same, so nothing can be foretold or judged: give "
                "more rows, or split anew."
            )
    splits = {
        split: Split(list(frame["id"]), list(frame["text"]), frame["number"].to_numpy(dtype="float64"), repeated)
        for split, frame, repeated in with_repeats(parts.tables, settings, parts.place)
    }
    source = parts.source
    dataset = NumberDataset(source.name, splits, source.fingerprint, parts.rule, tuple(parts.notes))
    dataset = replace(dataset, ordered=settings.ordinal is not None)
    return sized(dataset, settings.train_size, settings.split_seed)


def _clean(ordinal: Sequence[str] | None, source: Source, table: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Columns id, text, number: the last a finite one, or the place of one of the `ordinal` classes. No column is
    called label, whose values would be classes that splits keep the shares of."""
    clean = text_table(source, table, frame, {"label": (source.label_column, label_text if ordinal else str)})
    where = partial(row_of, frame, source.places.get(table, shown(source.name)))
    read = partial(_place, ordinal) if ordinal else _number
    numbers = [read(text, where(row), source) for row, text in enumerate(clean["label"])]
    return clean.drop(columns="label").assign(number=numbers)


def _place(ordinal: Sequence[str], text: str, where: str, source: Source) -> float:
    """The place of a class among its like."""
    if text.strip() not in ordinal:
        raise DataError(
            f"{where} has the class '{shown(text)}' (column '{shown(source.label_column)}'), which data.ordinal does "
            f"not name: {did_you_mean(text, ordinal)}"
        )
    return float(ordinal.index(text.strip()))


def _number(text: str, where: str, source: Source) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or "_" in text:
        raise DataError(
            f"{where} has '{shown(text)}' for a number (column '{shown(source.label_column)}'): write digits, with a "
            "point before decimals, or use task classification for labels that are names."
        )
    return value


def refuse_many_numbers(names: Iterable[str], place: str) -> None:
    """Raise DataError where labels are numbers with so many values that classes may not be meant."""
    known = set(names)
    if not known or not all(NUMBER.fullmatch(name) for name in known):
        return
    most = MANY_FRACTIONS if any("." in name for name in known) else MANY_VALUES
    if len(known) > most:
        raise DataError(
            f"The labels of {shown(place)} are numbers with {len(known):,} values: say what is meant, numbers to be "
            "foretold (--task regression) or classes (--task classification)."
        )


def label_names(settings: DataSettings, columns: Usual) -> tuple[list[str], str]:
    """The labels of all rows as they stand in the data, and where they stand."""
    source = read_source(settings, columns)
    cells = [cell for frame in source.tables.values() for cell in frame[source.label_column]]
    return [label_text(cell) for cell in cells], source.name
