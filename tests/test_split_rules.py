"""Splits by group and by time: nothing of a group on two sides, nothing trained on that came after what is tested."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from whichtune.data.pairs import load_pairs
from whichtune.data.splits import load_dataset
from whichtune.errors import DataError
from whichtune.study.data_settings import DataSettings

N = 200
RNG = np.random.default_rng(0)
ROWS = pd.DataFrame(
    {
        "text": [f"message {i}" for i in range(N)],
        "label": np.where(RNG.random(N) < 0.25, "spam", "ham"),
        "who": [f"sender {i}" for i in RNG.integers(0, 40, N)],
        "day": [f"2024-{1 + i // 28:02d}-{1 + i % 28:02d}" for i in RNG.permutation(N)],
    }
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    ROWS.to_csv(tmp_path / "a.csv", index=False)
    return tmp_path / "a.csv"


def load(source: Path, **keys: object):
    return load_dataset(DataSettings(source=str(source), **keys))


def cells(dataset, column: str) -> dict[str, list[str]]:
    return {name: [ROWS[column][int(i)] for i in split.ids] for name, split in dataset.splits.items()}


@pytest.mark.parametrize("seed", range(5))
def test_no_group_stands_on_two_sides(file: Path, seed: int) -> None:
    dataset = load(file, group_column="who", split_seed=seed)
    assert dataset.split_rule == "grouped"
    groups = {name: set(found) for name, found in cells(dataset, "who").items()}
    assert not groups["train"] & groups["validation"]
    assert not groups["train"] & groups["test"]
    assert not groups["validation"] & groups["test"]
    sizes = {name: len(split) for name, split in dataset.splits.items()}
    assert sum(sizes.values()) == N
    assert abs(sizes["test"] - 40) <= 5
    assert abs(sizes["validation"] - 20) <= 5
    share = (ROWS["label"] == "spam").mean()
    assert abs(dataset.splits["test"].labels.mean() - share) < 0.08


def test_another_seed_draws_other_groups(file: Path) -> None:
    tests = [load(file, group_column="who", split_seed=seed).splits["test"].ids for seed in (0, 0, 1)]
    assert tests[0] == tests[1] != tests[2]


def test_a_class_of_one_group_is_trained_on(tmp_path: Path) -> None:
    rows = ROWS.assign(label=np.where(ROWS["who"] == "sender 3", "rare", ROWS["label"]))
    rows.to_csv(tmp_path / "a.csv", index=False)
    for seed in range(10):
        dataset = load(tmp_path / "a.csv", group_column="who", split_seed=seed)
        assert dataset.labels.index("rare") in dataset.splits["train"].labels
        assert any("no test text" in note and "rare" in note for note in dataset.notes)


def test_few_groups_fill_every_side(tmp_path: Path) -> None:
    rows = ROWS.assign(who=[f"g{i % 3}" for i in range(N)])
    rows.to_csv(tmp_path / "a.csv", index=False)
    for seed in range(5):
        dataset = load(tmp_path / "a.csv", group_column="who", split_seed=seed)
        assert all(len(split) for split in dataset.splits.values())


def test_train_comes_before_validation_before_test(file: Path) -> None:
    dataset = load(file, time_column="day")
    assert dataset.split_rule == "by time"
    days = cells(dataset, "day")
    assert max(days["train"]) < min(days["validation"])
    assert max(days["validation"]) < min(days["test"])
    assert [len(days[name]) for name in ("train", "validation", "test")] == [140, 20, 40]


def test_rows_of_one_time_stay_together_and_numbers_are_times(tmp_path: Path) -> None:
    years = [2000 + i // 30 for i in range(N)]
    ROWS.assign(year=years).to_csv(tmp_path / "a.csv", index=False)
    dataset = load(tmp_path / "a.csv", time_column="year")
    found = {name: {years[int(i)] for i in split.ids} for name, split in dataset.splits.items()}
    assert max(found["train"]) < min(found["validation"])
    assert max(found["validation"]) < min(found["test"])


def test_pairs_of_texts_are_split_alike(tmp_path: Path) -> None:
    ROWS.assign(target="an answer").to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    grouped = load_pairs(DataSettings(source=str(tmp_path / "a.jsonl"), group_column="who"))
    groups = {name: set(found) for name, found in cells(grouped, "who").items()}
    assert not groups["train"] & (groups["validation"] | groups["test"])
    days = cells(load_pairs(DataSettings(source=str(tmp_path / "a.jsonl"), time_column="day")), "day")
    assert max(days["train"]) < min(days["test"])


def test_given_splits_are_held_to_the_column(tmp_path: Path) -> None:
    parts = {"train": ROWS[:140], "validation": ROWS[140:160], "test": ROWS[160:]}
    for name, part in parts.items():
        part.to_csv(tmp_path / f"{name}.csv", index=False)
    with pytest.raises(DataError, match="stands in train and validation: set split=stratified"):
        load(tmp_path, group_column="who")
    with pytest.raises(DataError, match=r"training rows .* are later than validation rows"):
        load(tmp_path, time_column="day")
    assert load(tmp_path, group_column="who", split="stratified").split_rule == "grouped"


BAD = {
    "no such column": ({"group_column": "whom"}, "no column 'whom': did you mean 'who'"),
    "one group": ({"group_column": "one"}, "names 1 group, too few to split off validation and test: 3"),
    "empty group": ({"group_column": "holes"}, "Row 4 of a.csv has an empty group"),
    "empty time": ({"time_column": "holes"}, "Row 4 of a.csv has an empty time"),
    "no time": ({"time_column": "text"}, "Row 1 of a.csv has 'message 0' for a time"),
    "one time": ({"time_column": "const"}, "has 1 different time, too few"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_columns_get_one_sentence(tmp_path: Path, case: str) -> None:
    keys, words = BAD[case]
    holes = ["" if i == 3 else str(i) for i in range(N)]
    ROWS.assign(one="x", const=2024, holes=holes).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(DataError, match=words) as caught:
        load(tmp_path / "a.csv", **keys)
    assert "\n" not in str(caught.value)


def test_settings_that_contradict_are_refused() -> None:
    with pytest.raises(ValidationError, match="cannot both hold"):
        DataSettings(group_column="a", time_column="b")
    with pytest.raises(ValidationError, match="reference split knows no"):
        DataSettings(group_column="a", split="reference")


def test_a_class_of_two_is_handled_and_told(tmp_path: Path) -> None:
    labels = [*["a"] * 60, *["b"] * 38, "c", "c"]
    pd.DataFrame({"text": [f"t {i}" for i in range(100)], "label": labels}).to_csv(tmp_path / "a.csv", index=False)
    for seed in range(10):
        dataset = load(tmp_path / "a.csv", split_seed=seed)
        assert 2 in dataset.splits["train"].labels
        assert any("'c'" in note and "2 examples" in note for note in dataset.notes)
