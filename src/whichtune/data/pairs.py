"""Pairs of a text and the text that should be made of it, in three splits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from whichtune.data.chats import ANSWER
from whichtune.data.parts import read_parts
from whichtune.data.shown import shown
from whichtune.data.sizes import sized
from whichtune.data.sources import PAIRED, Source, Usual
from whichtune.data.splits import WithoutClasses, text_table, with_repeats
from whichtune.errors import DataError
from whichtune.study.data_settings import DataSettings

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True)
class PairSplit:
    """Examples of one split, in a fixed order. `ids` are the rows' positions in the source, as text."""

    ids: list[str]
    texts: list[str]
    targets: list[str]
    duplicate_of_train: np.ndarray  # (n,) bool: the text stands verbatim in train

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class PairDataset(WithoutClasses):
    """Three splits of texts with target texts. `notes` is what was found in reading, large limits included."""

    name: str
    splits: dict[str, PairSplit]
    fingerprint: str
    split_rule: str
    notes: tuple[str, ...] = ()
    variants: Mapping[DataSettings, PairDataset] = field(default_factory=dict)
    chats: bool = False  # whether texts are what was said before the answer (`data.chats`)


def load_pairs(settings: DataSettings, columns: Usual = PAIRED) -> PairDataset:
    """Read, check and split. Raises DataError for an empty text or target, or too few rows."""
    parts = read_parts(settings, columns, _clean)
    splits = {
        split: PairSplit(list(frame["id"]), list(frame["text"]), list(frame["target"]), repeated)
        for split, frame, repeated in with_repeats(parts.tables, settings, parts.place)
    }
    source = parts.source
    chats = source.label_column == ANSWER
    dataset = PairDataset(source.name, splits, source.fingerprint, parts.rule, tuple(parts.notes), chats=chats)
    return sized(dataset, settings.train_size, settings.split_seed)


def _clean(source: Source, table: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Columns id, text, target, all text. Row numbers in messages count from 1, as the file's data rows do."""
    place = source.places.get(table, shown(source.name))
    if source.label_column in source.text_columns:
        raise DataError(f"{place}: '{shown(source.label_column)}' cannot be both text and target: name another column.")
    if len(source.text_columns) > 1:
        raise DataError(
            f"{place}: several text columns are for tasks with labels or numbers, and texts are to be written here: "
            "name one text column, and join the others to it in the data."
        )
    return text_table(source, table, frame, {"target": (source.label_column, str)})
