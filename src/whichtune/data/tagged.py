"""Sentences whose words have tags, in three splits.

A sentence is one text everywhere: its words with a blank between. Tags are numbers by `metrics.tag_names`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from whichtune.data.columns import cells_as_text
from whichtune.data.given import row_of
from whichtune.data.label_sets import FEW, MOST_LABELS, MOST_TOLD, carve_sets, indicators, limit_sets
from whichtune.data.labels import class_order
from whichtune.data.parts import read_parts
from whichtune.data.shown import quoted, shown
from whichtune.data.sizes import sized
from whichtune.data.sources import SPLITS, Source, Usual
from whichtune.data.splits import WithoutTest, with_repeats
from whichtune.data.tag_cells import FILLED, TAGGED, Seen, filled, parts_of, tags_in
from whichtune.errors import DataError
from whichtune.metrics.tag_names import OUTSIDE, UNNAMED, tag_names
from whichtune.study.data_settings import DataSettings
from whichtune.wording import listing, plural

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True)
class TaggedSplit:
    """Sentences of one split, in a fixed order. `texts` are their words with a blank between."""

    ids: list[str]
    texts: list[str]
    tags: list[np.ndarray]  # of each sentence (W,) int64, a word each
    labels: np.ndarray  # (n, K) bool: which types of entities a sentence has
    duplicate_of_train: np.ndarray  # (n,) bool: the sentence stands verbatim in train

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class TaggedDataset(WithoutTest):
    """Three splits. `labels[i]` is the name of tag i, `types[k]` that of a type of entities."""

    name: str
    labels: list[str]
    types: list[str]
    splits: dict[str, TaggedSplit]
    fingerprint: str
    split_rule: str
    notes: tuple[str, ...] = ()
    variants: Mapping[DataSettings, TaggedDataset] = field(default_factory=dict)

    @property
    def outputs(self) -> int:
        """How many numbers a model gives for each word."""
        return len(self.labels)


def load_tagged(settings: DataSettings, columns: Usual = TAGGED) -> TaggedDataset:
    """Read, check and split. Drawn splits keep the shares of sentences with each type of entities as near as can be,
    and every type in train.

    Raises DataError for words and tags of unlike numbers, a tag that is none, data without an entity, and a type that
    train lacks.
    """
    seen = Seen()
    parts = read_parts(settings, columns, partial(_clean, seen), carve_sets, limit_sets)
    types = _types(parts.tables, parts.place)
    names = tag_names(types)
    number = {name: place for place, name in enumerate(names)}
    splits = {}
    for split, frame, repeated in with_repeats(parts.tables, settings, parts.place):
        tags = [_numbered(given, number) for given in frame["tags"]]
        splits[split] = TaggedSplit(list(frame["id"]), list(frame["text"]), tags, indicators(frame, types), repeated)
    notes = [*parts.notes, *_told(seen, parts.place), *_rare(splits["test"], types)]
    source = parts.source
    dataset = TaggedDataset(source.name, names, types, splits, source.fingerprint, parts.rule, tuple(notes))
    return sized(dataset, settings.train_size, settings.split_seed)


def _numbered(tags: Sequence[str], number: Mapping[str, int]) -> np.ndarray:
    import numpy as np

    return np.array([number[tag] for tag in tags], dtype=np.int64)


def _clean(seen: Seen, source: Source, table: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Columns id, text, tags (IOB2) and labels, the types of entities that a sentence has."""
    import pandas as pd

    place, prefix = source.places.get(table, shown(source.name)), "" if table == "all" else f"{table}-"
    where = partial(row_of, frame, place)
    texts, tags = [], []
    words_column, tags_column = source.text_columns[0], source.label_column
    if words_column == tags_column:
        raise DataError(f"{place}: '{shown(tags_column)}' cannot be both words and tags: name another column.")
    for row, (cell, given) in enumerate(zip(frame[words_column], frame[tags_column], strict=True)):
        words = [filled(word, seen) for word in parts_of(cell, "word", words_column, partial(where, row))]
        tags.append(tags_in(given, len(words), tags_column, partial(where, row), seen))
        texts.append(" ".join(words))
    clean = pd.DataFrame({"id": [f"{prefix}{row}" for row in range(len(frame))]})
    clean["text"] = cells_as_text(texts, "text", words_column, where)
    clean["tags"] = pd.Series(tags, index=clean.index, dtype=object)
    types = [tuple(dict.fromkeys(tag[2:] for tag in each if tag != OUTSIDE)) for each in tags]
    clean["labels"] = pd.Series(types, index=clean.index, dtype=object)
    return clean


# -- what there is, and what is told of it ---------------------------------------------------------


def _types(tables: Mapping[str, pd.DataFrame], place: str) -> list[str]:
    """The types of train in their order. Raises DataError for none, too many, and one that train lacks."""
    has = {split: {kind for given in frame["labels"] for kind in given} for split, frame in tables.items()}
    if not has["train"]:
        raise DataError(f"No training word of {place} has another tag than {OUTSIDE}, so there is no entity to find.")
    for split in SPLITS[1:]:
        if unseen := sorted(has[split] - has["train"]):
            raise DataError(
                f"Entities of the type '{shown(unseen[0] or UNNAMED)}' occur in {split} but not in train of {place}, "
                "so nothing could learn it: add training sentences that have it, remove it, or draw the splits anew."
            )
    if len(has["train"]) > MOST_LABELS:
        raise DataError(f"{place} has {len(has['train']):,} types of entities, more than {MOST_LABELS:,}.")
    return class_order(has["train"])


def _told(seen: Seen, place: str) -> list[str]:
    """What was read otherwise than it was written."""
    notes = []
    if others := sorted(set(seen.prefixes) - {"O", "B", "I"}):
        notes.append(
            f"Tags of {place} begin with {listing(others)}, too: they are read as IOB2, S and U as B, the others as I."
        )
    if seen.begun:
        what = "entity begins" if seen.begun == 1 else "entities begin"
        notes.append(f"{seen.begun:,} {what} without B- in {place}, as IOB1 has it: they are read as IOB2.")
    if seen.filled:
        which = f"{plural(seen.filled, 'word')} of {place}"
        notes.append(f"In {which} a blank stands, or nothing else: '{FILLED}' is read for it.")
    return notes


def _rare(test: TaggedSplit, types: Sequence[str]) -> list[str]:
    tested = test.labels.sum(axis=0)
    rare = [kind or UNNAMED for kind, count in zip(types, tested, strict=True) if count < FEW]
    if not rare:
        return []
    which = plural(len(rare), "type") + " of entities" + (" stands" if len(rare) == 1 else " stand")
    return [f"{which} in fewer than {FEW} test sentences: {quoted(rare, MOST_TOLD)}."]
