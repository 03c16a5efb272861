"""Training on a part of the texts: nested, with the classes' shares, test and validation as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from whichtune.data.pairs import load_pairs
from whichtune.data.sizes import nested_order
from whichtune.data.splits import load_dataset
from whichtune.errors import DataError
from whichtune.study.data_settings import DataSettings


def rows(folder: Path, counts: dict[str, int], target: str = "label") -> str:
    lines = [f"{target},text", *(f"{name},text {name} {i}" for name, n in counts.items() for i in range(n))]
    (folder / "data.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(folder / "data.csv")


def test_every_part_holds_the_smaller_ones_and_the_classes_shares(tmp_path: Path) -> None:
    source = rows(tmp_path, {"common": 600, "rare": 200, "single": 5})
    whole = load_dataset(DataSettings(source=source))
    before: set[str] = set()
    for size in (3, 10, 50, 100, 400, len(whole.splits["train"])):
        part = load_dataset(DataSettings(source=source, train_size=size))
        ids = set(part.splits["train"].ids)
        assert len(ids) == size
        assert before <= ids
        assert part.splits["train"].ids == [i for i in whole.splits["train"].ids if i in ids]  # in their order
        assert set(part.splits["train"].labels) == {0, 1, 2}
        for split in ("validation", "test"):
            assert part.splits[split].ids == whole.splits[split].ids
        if size >= 50:
            assert abs((part.splits["train"].labels == 0).mean() - 600 / 805) < 0.06
        assert part.labels == whole.labels
        before = ids
    assert part.splits["train"].ids == whole.splits["train"].ids


def test_repeats_are_told_of_the_texts_that_are_trained_on(tmp_path: Path) -> None:
    lines = ["label,text", *(f"{i % 2},same {i % 40}" for i in range(400))]
    (tmp_path / "data.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    source = str(tmp_path / "data.csv")
    whole, part = load_dataset(DataSettings(source=source)), load_dataset(DataSettings(source=source, train_size=4))
    assert whole.splits["test"].duplicate_of_train.all()
    trained = set(part.splits["train"].texts)
    assert list(part.splits["test"].duplicate_of_train) == [text in trained for text in part.splits["test"].texts]
    assert not part.splits["test"].duplicate_of_train.all()


@pytest.mark.parametrize(
    ("size", "said"), [(900, "training examples, and train_size is 900"), (2, "cannot hold 3 classes")]
)
def test_sizes_that_cannot_be_are_refused(size: int, said: str, tmp_path: Path) -> None:
    source = rows(tmp_path, {"a": 100, "b": 100, "c": 100})
    with pytest.raises(DataError, match=said):
        load_dataset(DataSettings(source=source, train_size=size))


def test_texts_with_target_texts_are_nested_by_lot(tmp_path: Path) -> None:
    source = rows(tmp_path, {f"target {i}": 1 for i in range(60)}, "target")
    small = load_pairs(DataSettings(source=source, train_size=10)).splits["train"]
    large = load_pairs(DataSettings(source=source, train_size=20)).splits["train"]
    assert set(small.ids) < set(large.ids)
    assert len(small.targets) == 10


def test_the_order_is_a_permutation_and_the_seeds_own() -> None:
    labels = [0] * 30 + [1] * 10
    assert sorted(nested_order(labels, 40, 0)) == list(range(40))
    assert nested_order(labels, 40, 0) == nested_order(labels, 40, 0) != nested_order(labels, 40, 1)
