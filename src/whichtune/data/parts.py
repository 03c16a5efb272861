"""The three splits of data whose texts have no single class each, but target texts, numbers or sets of labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from whichtune.data.divide import Carve, carver, refuse_mixed, with_keys
from whichtune.data.read import read_source
from whichtune.data.shown import shown
from whichtune.data.sources import SPLITS, Source, Usual
from whichtune.data.splits import split_rule, split_tables
from whichtune.errors import DataError
from whichtune.study.data_settings import DataSettings

if TYPE_CHECKING:
    import pandas as pd

# A table as read, made columns id, text and what else stands beside each text.
Clean = Callable[[Source, str, "pd.DataFrame"], "pd.DataFrame"]
# At most so many rows of a split.
Limit = Callable[["pd.DataFrame", int | None, int], "pd.DataFrame"]


@dataclass(frozen=True)
class Parts:
    """A source's rows by split, how they were split, and what was found in reading."""

    source: Source
    rule: str
    tables: dict[str, pd.DataFrame]
    notes: list[str]

    @property
    def place(self) -> str:
        """The source as messages name it."""
        return shown(self.source.name)


def read_parts(
    settings: DataSettings, columns: Usual, clean: Clean, carve: Carve | None = None, limit_train: Limit | None = None
) -> Parts:
    """Read, clean, split and limit. `carve` takes splits from rows where no column says how, `limit_train` chooses the
    training rows of a limit; both by lot where there is none. Raises DataError."""
    source = read_source(settings, columns)
    frames = {table: clean(source, table, frame) for table, frame in source.tables.items()}
    frames = with_keys(frames, source, settings)
    rule = split_rule(settings, source)
    if rule == "reference":
        raise DataError("The reference split is for labels 'ham' and 'spam': use split given or stratified.")
    source = replace(source, tables={})  # many rows take much memory, and what is read of them stands in the frames
    tables = split_tables(frames, rule, settings, carver(settings, carve or carve_rows))
    refuse_mixed(tables, settings, shown(source.name))
    notes = list(source.notes)
    for split in SPLITS:
        limit = getattr(settings, f"{split}_limit")
        if limit is not None and limit > len(tables[split]):
            notes.append(
                f"{shown(source.name)} has {len(tables[split]):,} {split} examples, used whole (limit {limit:,})."
            )
        choose = limit_train if limit_train is not None and split == "train" else limit_rows
        tables[split] = choose(tables[split], limit, settings.split_seed)
    return Parts(source, rule, tables, notes)


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
