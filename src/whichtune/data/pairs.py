"""Pairs of a text and the text that should be made of it, in three splits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from whichtune.data.sources import PAIRED, SPLITS, Source, read_source
from whichtune.data.splits import is_missing, refuse_empty, split_rule, without_repeats
from whichtune.errors import DataError
from whichtune.spec import DataSettings

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
class PairDataset:
    """Three splits of texts with target texts. `notes` names each limit that was larger than its split."""

    name: str
    splits: dict[str, PairSplit]
    fingerprint: str
    split_rule: str
    notes: tuple[str, ...] = ()

    @property
    def labels(self) -> list[str]:
        """There are no classes."""
        return []

    def without_test(self) -> PairDataset:
        """The same without its test split: all that a search for settings gets."""
        return replace(self, splits={name: split for name, split in self.splits.items() if name != "test"})


def load_pairs(settings: DataSettings) -> PairDataset:
    """Read, check and split. Raises DataError for an empty text or target, or too few rows."""
    source = read_source(settings, PAIRED)
    frames = {table: _clean(source, table, frame) for table, frame in source.tables.items()}
    rule = split_rule(settings, source)
    if rule == "reference":
        raise DataError("The reference split is for labels 'ham' and 'spam': use split given or stratified.")
    parts = _split(frames, rule, settings)
    notes = []
    for split in SPLITS:
        limit = getattr(settings, f"{split}_limit")
        if limit is not None and limit > len(parts[split]):
            notes.append(f"{source.name} has {len(parts[split]):,} {split} examples, used whole (limit {limit:,}).")
        parts[split] = _limit(parts[split], limit, settings.split_seed)
    train_texts = set(parts["train"]["text"])
    splits = {}
    for split in SPLITS:
        frame = parts[split]
        if settings.duplicates == "drop" and split != "train":
            frame = without_repeats(frame, train_texts, split, source.name)
        repeated = frame["text"].isin(train_texts).to_numpy()
        splits[split] = PairSplit(
            [str(value) for value in frame["id"]],
            list(frame["text"]),
            list(frame["target"]),
            repeated & (split != "train"),
        )
    return PairDataset(source.name, splits, source.fingerprint, rule, tuple(notes))


def _clean(source: Source, table: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Columns id, text, target, all text. Row numbers in messages count from 1, as the file's data rows do."""
    import pandas as pd

    place = source.places.get(table, source.name)
    prefix = "" if table == "all" else f"{table}-"
    columns = {"text": source.text_column, "target": source.label_column}
    if source.text_column == source.label_column:
        raise DataError(f"{place}: '{source.text_column}' cannot be both text and target: name another column.")
    clean = pd.DataFrame({"id": [f"{prefix}{row}" for row in range(len(frame))]})
    for column, name in columns.items():
        clean[column] = ["" if is_missing(value) else str(value) for value in frame[name]]
    refuse_empty(clean, columns, place)
    return clean


def _split(frames: dict[str, pd.DataFrame], rule: str, settings: DataSettings) -> dict[str, pd.DataFrame]:
    import pandas as pd

    if rule == "stratified":
        return _carve(pd.concat(frames.values()), ("validation", "test"), settings)
    missing = tuple(split for split in SPLITS if split not in frames)
    if "train" in missing:
        raise DataError("The given splits have no training rows: name them train, validation and test.")
    return {**frames, **_carve(frames["train"], missing, settings)} if missing else dict(frames)


def _carve(frame: pd.DataFrame, wanted: tuple[str, ...], settings: DataSettings) -> dict[str, pd.DataFrame]:
    """Draw the wanted splits from `frame`; the fractions are of `frame`."""
    from sklearn.model_selection import train_test_split

    parts, rest, total = {}, frame, len(frame)
    for split in wanted:
        size = max(1, round(total * getattr(settings, f"{split}_fraction")))
        if size >= len(rest):
            raise DataError(f"{total} rows are too few to split off {split}: add rows, or give the splits.")
        rest, parts[split] = train_test_split(rest, test_size=size, random_state=settings.split_seed)
    return {"train": rest, **parts}


def _limit(frame: pd.DataFrame, limit: int | None, seed: int) -> pd.DataFrame:
    """At most `limit` rows, drawn at random, in the order they stand."""
    if limit is None or limit >= len(frame):
        return frame
    kept = frame.sample(limit, random_state=seed)
    return frame.loc[frame.index.isin(kept.index)]
