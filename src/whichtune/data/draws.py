"""Drawing examples class by class where shares alone would leave a class without any."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whichtune.data.shown import quoted, shown
from whichtune.errors import DataError
from whichtune.study.data_settings import DataSettings

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

MOST_TOLD = 3


def carve(frame: pd.DataFrame, wanted: tuple[str, ...], settings: DataSettings) -> dict[str, pd.DataFrame]:
    """Draw the wanted splits from `frame`, class shares kept; the fractions are of `frame`. Train keeps at least one
    example of each class."""
    _enough(frame, wanted[0])
    parts, rest, total = {}, frame, len(frame)
    for split in wanted:
        size = max(1, round(total * getattr(settings, f"{split}_fraction")))
        rest, parts[split] = split_off(rest, size, split, settings.split_seed)
    return {"train": rest, **parts}


def split_off(rest: pd.DataFrame, size: int, split: str, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What is left of `rest`, every class among it, and `size` rows drawn from it with the class shares kept."""
    from sklearn.model_selection import train_test_split

    try:
        left, drawn = train_test_split(rest, test_size=size, stratify=rest["label"], random_state=seed)
    except ValueError:  # more classes than examples are drawn, or a class of which one is left
        left = None
    if left is None or left["label"].nunique() < rest["label"].nunique():
        left, drawn = _split_off(rest, size, split, seed)
    return left, drawn


def _enough(frame: pd.DataFrame, split: str) -> None:
    counts = frame["label"].value_counts()
    if len(counts) and counts.min() < 2:
        rare = sorted(counts.index[counts < 2])
        others = f" (and {len(rare) - 1:,} more)" if len(rare) > 1 else ""
        raise DataError(
            f"The class '{shown(rare[0])}'{others} has 1 example, too few to split off {split}: a class needs two or "
            "more, so add examples, or remove the class."
        )


def _split_off(frame: pd.DataFrame, size: int, split: str, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    counts = frame["label"].value_counts()
    size = min(size, int((counts - 1).sum()))
    if size < 1:
        raise DataError(
            f"{len(counts):,} classes of {len(frame):,} texts leave none to split off {split}: a class needs three."
        )
    drawn = positions(frame, size, seed, least=0, left=1)
    taken = _mask(len(frame), drawn)
    return frame[~taken], frame[taken]


def _mask(length: int, chosen: list[int]) -> np.ndarray:
    import numpy as np

    mask = np.zeros(length, dtype=bool)
    mask[chosen] = True
    return mask


def positions(frame: pd.DataFrame, size: int, seed: int, *, least: int, left: int) -> list[int]:
    """Positions of `size` rows in the order they stand, the classes' shares as near as can be: at least `least` of each
    class, and at least `left` of each not drawn."""
    import numpy as np

    rng = np.random.default_rng(seed)
    names, codes = np.unique(frame["label"].to_numpy(dtype=object).astype(str), return_inverse=True)
    order = rng.permutation(len(names))  # so that equal remainders are given by lot and not by letter
    counts = np.bincount(codes)[order]
    quota = size * counts / counts.sum()
    most = np.maximum(counts - left, 0)
    taken = np.clip(np.floor(quota).astype(int), np.minimum(least, most), most)
    while (missing := size - int(taken.sum())) != 0:
        short = quota - taken
        if missing > 0:
            taken[np.where(taken < most, short, -np.inf).argmax()] += 1
        else:
            taken[np.where(taken > least, short, np.inf).argmin()] -= 1
    rows: list[int] = []
    for place, number in zip(order, taken, strict=True):
        rows += rng.choice(np.flatnonzero(codes == place), size=int(number), replace=False).tolist()
    return sorted(rows)


def limited(
    frame: pd.DataFrame, limit: int | None, split: str, settings: DataSettings
) -> tuple[pd.DataFrame, str | None]:
    """At most `limit` rows with the classes' shares kept, in the order they stand; and what is to be told of it.

    Raises DataError for a limit below the number of classes.
    """
    if limit is None or limit == len(frame):
        return frame, None
    if limit > len(frame):
        return frame, f"There are {len(frame):,} {split} examples, used whole (limit {limit:,})."
    classes = frame["label"].nunique()
    if limit < classes:
        raise DataError(f"A limit of {limit} examples cannot hold {classes} classes: raise it.")
    from sklearn.model_selection import train_test_split

    try:
        kept, _ = train_test_split(frame, train_size=limit, stratify=frame["label"], random_state=settings.split_seed)
    except ValueError:  # a class of one example, or fewer left out than there are classes
        kept = None
    if kept is None or (split == "train" and kept["label"].nunique() < classes):
        chosen = positions(frame, limit, settings.split_seed, least=1, left=0)
        told = f"Of {classes:,} classes at least one example each stands in the {limit:,} {split} examples of the limit"
        return frame.iloc[chosen], f"{told}: shares are kept as near as that allows."
    return (frame.loc[frame.index.isin(kept.index)] if frame.index.is_unique else kept), None


def rare_note(parts: dict[str, pd.DataFrame]) -> str | None:
    """Which classes have too few examples for every split that was drawn."""
    sides: dict[str, list[str]] = {}
    for split, frame in parts.items():
        for name in frame["label"]:
            sides.setdefault(str(name), []).append(split)
    rare = {name: found for name, found in sides.items() if len(found) < len(parts)}
    if not rare:
        return None
    told = "; ".join(
        f"'{shown(name)}' has {len(found)} examples, in {' and '.join(dict.fromkeys(found))}"
        for name, found in sorted(rare.items())[:MOST_TOLD]
    )
    more = f" (and {len(rare) - MOST_TOLD:,} more classes)" if len(rare) > MOST_TOLD else ""
    return f"Too rare for train, validation and test each to have one: the class {told}{more}."


def untested_note(parts: dict[str, pd.DataFrame], names: list[str]) -> str | None:
    """Which classes no test text has."""
    present = set(parts["test"]["label"])
    absent = [name for name in names if name not in present]
    if not absent:
        return None
    which, each = ("class has", "it") if len(absent) == 1 else ("classes have", "each")
    named = quoted(absent, MOST_TOLD)
    return f"{len(absent):,} {which} no test text, so no score says how well {each} is found: {named}."
