"""Pairs of a text and the text that should be made of it, in three splits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from whichtune.data.divide import carver, refuse_mixed, with_keys
from whichtune.data.read import read_source
from whichtune.data.shown import shown
from whichtune.data.sizes import sized
from whichtune.data.sources import PAIRED, SPLITS, Source, Usual
from whichtune.data.splits import WithoutClasses, split_rule, split_tables, text_table, with_repeats
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


def load_pairs(settings: DataSettings, columns: Usual = PAIRED) -> PairDataset:
    """Read, check and split. Raises DataError for an empty text or target, or too few rows."""
    source = read_source(settings, columns)
    frames = {table: _clean(source, table, frame) for table, frame in source.tables.items()}
    frames = with_keys(frames, source, settings)
    rule = split_rule(settings, source)
    if rule == "reference":
        raise DataError("The reference split is for labels 'ham' and 'spam': use split given or stratified.")
    parts = split_tables(frames, rule, settings, carver(settings, carve_rows))
    refuse_mixed(parts, settings, shown(source.name))
    notes = list(source.notes)
    for split in SPLITS:
        limit = getattr(settings, f"{split}_limit")
        if limit is not None and limit > len(parts[split]):
            notes.append(
                f"{shown(source.name)} has {len(parts[split]):,} {split} examples, used whole (limit {limit:,})."
            )
        parts[split] = limit_rows(parts[split], limit, settings.split_seed)
    splits = {
        split: PairSplit(list(frame["id"]), list(frame["text"]), list(frame["target"]), repeated)
        for split, frame, repeated in with_repeats(parts, settings, shown(source.name))
    }
    dataset = PairDataset(source.name, splits, source.fingerprint, rule, tuple(notes))
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


def carve_rows(frame: pd.DataFrame, wanted: tuple[str, ...], settings: DataSettings) -> dict[str, pd.DataFrame]:
    """Draw the wanted splits from `frame`; the fractions are of `frame`."""
    from sklearn.model_selection import train_test_split

    parts, rest, total = {}, frame, len(frame)
    for split in wanted:
        size = max(1, round(total * getattr(settings, f"{split}_fraction")))
        if size >= len(rest):
            raise DataError(f"{total} rows are too few to split off {split}: add rows, or give the splits.")
        rest, parts[split] = train_test_split(rest, test_size=size, random_state=settings.split_seed)
    return {"train": rest, **parts}


def limit_rows(frame: pd.DataFrame, limit: int | None, seed: int) -> pd.DataFrame:
    """At most `limit` rows, drawn at random, in the order they stand."""
    if limit is None or limit >= len(frame):
        return frame
    kept = frame.reset_index(drop=True).sample(limit, random_state=seed)  # of several files, two rows have one number
    return frame.iloc[sorted(kept.index)]
