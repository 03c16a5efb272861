"""From rows to examples: labels, identities, splits, and what repeats across them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from whichtune.data.read import read_source
from whichtune.data.sources import LABELLED, SPLITS, Source, Usual
from whichtune.errors import DataError
from whichtune.study.spec import DataSettings

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True)
class Split:
    """Examples of one split, in a fixed order. `ids` are the rows' positions in the source, as text."""

    ids: list[str]
    texts: list[str]
    labels: np.ndarray  # (n,) int64
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
        dataset: Self = replace(whole, splits=kept)
        return dataset


@dataclass(frozen=True)
class Dataset(WithoutTest):
    """Three splits with class names. `labels[i]` is the name of class i."""

    name: str
    labels: list[str]
    splits: dict[str, Split]
    fingerprint: str
    split_rule: str

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
    frames = {table: _clean(source, table, frame) for table, frame in source.tables.items()}
    rule = split_rule(settings, source)
    parts = split_tables(frames, rule, settings, _carve)
    names = _label_names(parts, source.name)
    parts = {split: _limit(frame, getattr(settings, f"{split}_limit"), settings) for split, frame in parts.items()}
    classes = {name: i for i, name in enumerate(names)}
    splits = {}
    for split, frame, repeated in with_repeats(parts, settings, source.name):
        labels = frame["label"].map(classes).to_numpy(dtype="int64")
        splits[split] = Split(list(frame["id"]), list(frame["text"]), labels, repeated)
    return Dataset(source.name, names, splits, source.fingerprint, rule)


def _clean(source: Source, table: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Columns id, text, label, all text. Row numbers in messages count from 1, as the file's data rows do."""
    return text_table(source, table, frame, {"label": (source.label_column, _label_text)})


def text_table(
    source: Source, table: str, frame: pd.DataFrame, others: dict[str, tuple[str, Callable[[object], str]]]
) -> pd.DataFrame:
    """Columns id, text and `others`, each given by its name in the source and how a cell becomes text.

    Raises DataError for the first empty cell.
    """
    import pandas as pd

    columns: dict[str, tuple[str, Callable[[object], str]]] = {"text": (source.text_column, str), **others}
    prefix = "" if table == "all" else f"{table}-"
    clean = pd.DataFrame({"id": [f"{prefix}{row}" for row in range(len(frame))]})
    for column, (name, as_text) in columns.items():
        clean[column] = ["" if is_missing(value) else as_text(value) for value in frame[name]]
    names = {column: name for column, (name, _) in columns.items()}
    refuse_empty(clean, names, source.places.get(table, source.name))
    return clean


def refuse_empty(frame: pd.DataFrame, columns: dict[str, str], place: str) -> None:
    """Raise DataError for the first empty cell of `columns`, given with their names in the source."""
    for column, name in columns.items():
        empty = frame.index[frame[column].str.strip() == ""]
        if len(empty):
            many = f" (and {len(empty) - 1} more)" if len(empty) > 1 else ""
            raise DataError(
                f"Row {empty[0] + 1}{many} of {place} has an empty {column} (column '{name}'): fill or remove it."
            )


def is_missing(value: object) -> bool:
    """Whether a cell is empty, as tables say it: None or NaN."""
    return value is None or (isinstance(value, float) and value != value)


def _label_text(value: object) -> str:
    """The label as text: 1.0, as a column with gaps is read, is the label 1."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def split_rule(settings: DataSettings, source: Source) -> str:
    """`given`, `stratified` or `reference`; raises DataError where given splits are asked for and missing."""
    if settings.split == "auto":
        return source.split_rule or ("given" if "all" not in source.tables else "stratified")
    if settings.split == "given" and "all" in source.tables:
        raise DataError(
            f"{source.name} gives no splits: set split_column, give a folder of train, validation and test files, "
            "or use the stratified split."
        )
    return settings.split


Carve = Callable[["pd.DataFrame", tuple[str, ...], DataSettings], "dict[str, pd.DataFrame]"]


def split_tables(
    frames: dict[str, pd.DataFrame], rule: str, settings: DataSettings, carve: Carve
) -> dict[str, pd.DataFrame]:
    """The three splits by `rule`; `carve` takes those that are not given from the rows of train."""
    import pandas as pd

    if rule == "reference":
        return reference_split(pd.concat(frames.values()))
    if rule == "stratified":
        return carve(pd.concat(frames.values()), ("validation", "test"), settings)
    missing = tuple(split for split in SPLITS if split not in frames)
    if "train" in missing:
        raise DataError("The given splits have no training rows: name them train, validation and test.")
    return {**frames, **carve(frames["train"], missing, settings)} if missing else dict(frames)


def _carve(frame: pd.DataFrame, wanted: tuple[str, ...], settings: DataSettings) -> dict[str, pd.DataFrame]:
    """Draw the wanted splits from `frame`, class shares kept; the fractions are of `frame`."""
    from sklearn.model_selection import train_test_split

    parts, rest, total = {}, frame, len(frame)
    for split in wanted:
        size = max(1, round(total * getattr(settings, f"{split}_fraction")))
        _enough(rest, split)
        try:
            rest, parts[split] = train_test_split(
                rest, test_size=size, stratify=rest["label"], random_state=settings.split_seed
            )
        except ValueError as error:
            raise DataError(f"The data cannot be split for {split}: {str(error).splitlines()[0]}") from error
    return {"train": rest, **parts}


def _enough(frame: pd.DataFrame, split: str) -> None:
    counts = frame["label"].value_counts()
    if len(counts) and counts.min() < 2:
        raise DataError(
            f"The class '{counts.idxmin()}' has {counts.min()} example, too few to split off {split}: "
            "add examples, or remove the class."
        )


def reference_split(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The published SMS study's rule: spam kept, as many ham drawn, shuffled twice, 70 / 10 / rest, seed 123."""
    import pandas as pd

    if set(frame["label"]) != {"ham", "spam"}:
        raise DataError("The reference split is for labels 'ham' and 'spam': use split stratified for other data.")
    spam = frame[frame["label"] == "spam"]
    ham = frame[frame["label"] == "ham"].sample(len(spam), random_state=123)
    both = pd.concat([ham, spam]).sample(frac=1, random_state=123).sample(frac=1, random_state=123)
    first, second = int(len(both) * 0.7), int(len(both) * 0.7) + int(len(both) * 0.1)
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
    train = set(parts["train"]["label"])
    for split in ("validation", "test"):
        unseen = sorted(set(parts[split]["label"]) - train)
        if unseen:
            raise DataError(f"The label '{unseen[0]}' occurs in {split} but not in train of {place}.")
    if len(train) < 2:
        raise DataError(f"The data of {place} have one class only ('{next(iter(train))}'): two or more are needed.")
    return sorted(train, key=int) if all(_is_int(name) for name in train) else sorted(train)


def _is_int(text: str) -> bool:
    return text.lstrip("-").isdecimal()


def _limit(frame: pd.DataFrame, limit: int | None, settings: DataSettings) -> pd.DataFrame:
    """At most `limit` rows with the classes' shares kept, in the order they stand."""
    if limit is None or limit >= len(frame):
        return frame
    if limit < frame["label"].nunique():
        raise DataError(f"A limit of {limit} examples cannot hold {frame['label'].nunique()} classes: raise it.")
    from sklearn.model_selection import train_test_split

    kept, _ = train_test_split(frame, train_size=limit, stratify=frame["label"], random_state=settings.split_seed)
    return frame.loc[frame.index.isin(kept.index)] if frame.index.is_unique else kept
