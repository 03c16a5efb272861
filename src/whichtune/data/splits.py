"""From rows to examples: labels, identities, splits, and what repeats across them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from whichtune.data.columns import cells_as_text, label_text
from whichtune.data.divide import Carve, carver, drawn_rule, refuse_mixed, with_keys
from whichtune.data.draws import carve, limited, rare_note, untested_note
from whichtune.data.fields import text_cells
from whichtune.data.folds import by_fold
from whichtune.data.given import SPLITS, row_of
from whichtune.data.labels import alike_note, class_order, equal_numbers, merged_note, plain_form
from whichtune.data.read import read_source
from whichtune.data.shown import shown
from whichtune.data.sizes import sized, variants_of
from whichtune.data.sources import LABELLED, Source, Usual
from whichtune.errors import DataError
from whichtune.study.data_settings import DataSettings

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True)
class Split:
    """Examples of one split, in a fixed order. `ids` are the rows' positions in the source, as text."""

    ids: list[str]
    texts: list[str]
    labels: np.ndarray  # (n,) int64; float64 where they are numbers to be foretold
    duplicate_of_train: np.ndarray  # (n,) bool: the text stands verbatim in train

    def __len__(self) -> int:
        return len(self.ids)


class WithoutTest:
    """A dataclass of splits that can be had without the test split."""

    splits: Any

    def without_test(self) -> Self:
        """The same without its test split: all that a search for settings gets."""
        kept = {name: split for name, split in self.splits.items() if name != "test"}
        whole: Any = self
        variants = {data: each.without_test() for data, each in variants_of(self).items()}
        dataset: Self = replace(whole, splits=kept, **({"variants": variants} if variants else {}))
        return dataset


class WithoutClasses(WithoutTest):
    """A dataclass of splits whose texts have targets and no classes."""

    @property
    def labels(self) -> list[str]:
        """There are no classes."""
        return []


@dataclass(frozen=True)
class Dataset(WithoutTest):
    """Three splits with class names. `labels[i]` is the name of class i. `notes` is what was found in reading."""

    name: str
    labels: list[str]
    splits: dict[str, Split]
    fingerprint: str
    split_rule: str
    notes: tuple[str, ...] = ()
    variants: Mapping[DataSettings, Dataset] = field(default_factory=dict)

    @property
    def outputs(self) -> int:
        """How many numbers a model gives for each text."""
        return len(self.labels)

    @property
    def largest_class_share(self) -> float:
        """Share of the most frequent class over all splits but the test split, which decides nothing."""
        import numpy as np

        seen = [split.labels for name, split in self.splits.items() if name != "test"]
        counts = np.bincount(np.concatenate(seen))
        return float(counts.max() / counts.sum())


def load_dataset(settings: DataSettings, columns: Usual = LABELLED) -> Dataset:
    """Read, check and split. Raises DataError for empty text, one class, or a label unseen in train."""
    source = read_source(settings, columns)
    place = shown(source.name)
    frames = {table: _clean(source, table, frame) for table, frame in source.tables.items()}
    frames, told = _classes(with_keys(frames, source, settings), place)
    rule = split_rule(settings, source)
    source = replace(source, tables={})  # many rows take much memory, and what is read of them stands in the frames
    parts = split_tables(frames, rule, settings, carver(settings, carve))
    refuse_mixed(parts, settings, place)
    names = _label_names(parts, place)
    notes = [*source.notes, *told]
    if rule != "given" and (note := rare_note(parts)):
        notes.append(note)
    for split in SPLITS:
        parts[split], note = limited(parts[split], getattr(settings, f"{split}_limit"), split, settings)
        notes += [note] if note else []
    classes = {name: i for i, name in enumerate(names)}
    splits, kept = {}, {}
    for split, frame, repeated in with_repeats(parts, settings, place):
        labels = frame["label"].map(classes).to_numpy(dtype="int64")
        splits[split], kept[split] = Split(list(frame["id"]), list(frame["text"]), labels, repeated), frame
    if note := untested_note(kept, names):
        notes.append(note)
    dataset = Dataset(source.name, names, splits, source.fingerprint, rule, tuple(notes))
    return sized(dataset, settings.train_size, settings.split_seed)


def _clean(source: Source, table: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Columns id, text, label, all text. Row numbers in messages count from 1, as the file's data rows do."""
    return text_table(source, table, frame, {"label": (source.label_column, label_text)})


def text_table(
    source: Source, table: str, frame: pd.DataFrame, others: dict[str, tuple[str, Callable[[object], str]]]
) -> pd.DataFrame:
    """Columns id, text and `others`, each given by its name in the source and how a cell becomes text.

    Raises DataError for the first empty cell, and for one that holds no text or number.
    """
    import pandas as pd

    prefix = "" if table == "all" else f"{table}-"
    place = source.places.get(table, shown(source.name))
    clean = pd.DataFrame({"id": [f"{prefix}{row}" for row in range(len(frame))]})
    clean["text"] = text_cells(frame, source.text_columns, partial(row_of, frame, place))
    for kind, (name, as_text) in others.items():
        clean[kind] = cells_as_text(frame[name], kind, name, partial(row_of, frame, place), as_text)
    return clean


def _classes(frames: dict[str, pd.DataFrame], place: str) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """The tables with labels that are equal numbers as one class, and what is to be told of the labels."""
    names = {name for frame in frames.values() for name in frame["label"]}
    merged = equal_numbers(names)
    if merged:
        frames = {
            table: frame.assign(label=[merged.get(name, name) for name in frame["label"]])
            for table, frame in frames.items()
        }
    notes = (merged_note(merged, place), alike_note(names, place))
    return frames, [note for note in notes if note]


def split_rule(settings: DataSettings, source: Source) -> str:
    """`given`, `stratified`, `grouped`, `by time` or `reference`; raises DataError where given splits are asked for and
    missing."""
    drawn = drawn_rule(settings)
    if settings.varies or settings.folds is not None:
        if settings.split == "auto" and "all" not in source.tables:
            raise DataError(
                f"{shown(source.name)} gives its splits, and resplit and folds draw others: add split=stratified to "
                "draw them from all of its rows."
            )
        return drawn
    if settings.split == "auto":
        own = source.split_rule if drawn == "stratified" else None  # a named set's own rule knows no groups or times
        return own or ("given" if "all" not in source.tables else drawn)
    if settings.split == "given" and "all" in source.tables:
        raise DataError(
            f"{shown(source.name)} gives no splits: set split_column, give a folder of train, validation and test "
            "files, or use the stratified split."
        )
    return drawn if settings.split == "stratified" else settings.split


def split_tables(
    frames: dict[str, pd.DataFrame], rule: str, settings: DataSettings, carve: Carve
) -> dict[str, pd.DataFrame]:
    """The three splits by `rule`; `carve` takes those that are not given from the rows of train."""
    if rule == "reference":
        return reference_split(_whole(frames))
    if settings.folds is not None:
        return by_fold(_whole(frames), settings)
    if rule != "given":
        return carve(_whole(frames), ("validation", "test"), settings)
    missing = tuple(split for split in SPLITS if split not in frames)
    if "train" in missing:
        raise DataError("The given splits have no training rows: name them train, validation and test.")
    return {**frames, **carve(frames["train"], missing, settings)} if missing else dict(frames)


def _whole(frames: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """All rows, not copied where there is one table."""
    import pandas as pd

    return pd.concat(frames.values()) if len(frames) > 1 else next(iter(frames.values()))


def reference_split(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The published SMS study's rule: spam kept, as many ham drawn, shuffled twice, 70 / 10 / rest, seed 123."""
    import pandas as pd

    if set(frame["label"]) != {"ham", "spam"}:
        raise DataError("The reference split is for labels 'ham' and 'spam': use split stratified for other data.")
    spam = frame[frame["label"] == "spam"]
    if 2 * len(spam) > len(frame):
        raise DataError(
            f"The reference split draws as many ham as there are spam, and there are {len(spam):,} spam and only "
            f"{len(frame) - len(spam):,} ham: use split stratified."
        )
    ham = frame[frame["label"] == "ham"].sample(len(spam), random_state=123)
    both = pd.concat([ham, spam]).sample(frac=1, random_state=123).sample(frac=1, random_state=123)
    first, second = int(len(both) * 0.7), int(len(both) * 0.7) + int(len(both) * 0.1)
    if first == second:
        raise DataError(f"The reference split of {len(both)} texts leaves none for validation: use split stratified.")
    return {"train": both[:first], "validation": both[first:second], "test": both[second:]}


def with_repeats(
    parts: dict[str, pd.DataFrame], settings: DataSettings, place: str
) -> Iterator[tuple[str, pd.DataFrame, np.ndarray]]:
    """Each split's name, its rows, and which of them (n,) bool stand verbatim in train: marked, or dropped.

    Raises DataError where dropping them leaves none.
    """
    train_texts = set(parts["train"]["text"])
    for split in SPLITS:
        frame = parts[split]
        if settings.duplicates == "drop" and split != "train":
            frame = frame[~frame["text"].isin(train_texts)]
            if frame.empty:
                raise DataError(
                    f"Every {split} text of {place} stands in train too: keep the duplicates, or split anew."
                )
        yield split, frame, frame["text"].isin(train_texts).to_numpy() & (split != "train")


def _label_names(parts: dict[str, pd.DataFrame], place: str) -> list[str]:
    """The classes of train in their order. Raises DataError for one class, or a label that train lacks."""
    train = set(parts["train"]["label"])
    for split in ("validation", "test"):
        unseen = sorted(set(parts[split]["label"]) - train)
        if unseen:
            like = [name for name in sorted(train) if plain_form(name) == plain_form(unseen[0])]
            hint = f": '{shown(like[0])}' looks alike, so write them alike" if like else ""
            raise DataError(f"The label '{shown(unseen[0])}' occurs in {split} but not in train of {place}{hint}.")
    if len(train) < 2:
        raise DataError(
            f"The data of {place} have one class only ('{shown(next(iter(train)))}'): two or more are needed."
        )
    return class_order(train)
