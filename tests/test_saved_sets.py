"""Folders that `datasets.save_to_disk` wrote."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest

from whichtune.data.pairs import load_pairs
from whichtune.data.splits import load_dataset
from whichtune.errors import DataError
from whichtune.study.data_settings import DataSettings


def rows(n: int) -> datasets.Dataset:
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
    return datasets.Dataset.from_dict(
        {"text": [f"text {i}" for i in range(n)], "label": [i % 2 for i in range(n)]}, features=features
    )


def test_a_data_set_is_split_and_its_classes_are_named(tmp_path: Path) -> None:
    rows(60).save_to_disk(str(tmp_path / "one"))
    rows(60).save_to_disk(str(tmp_path / "again"))
    rows(61).save_to_disk(str(tmp_path / "other"))
    found = {name: load_dataset(DataSettings(source=str(tmp_path / name))) for name in ("one", "again", "other")}
    assert found["one"].labels == ["neg", "pos"]
    assert sum(map(len, found["one"].splits.values())) == 60
    assert found["one"].fingerprint == found["again"].fingerprint != found["other"].fingerprint


def test_given_splits_are_kept(tmp_path: Path) -> None:
    parts = {"train": rows(40), "validation": rows(10), "test": rows(20)}
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "splits"))
    dataset = load_dataset(DataSettings(source=str(tmp_path / "splits")))
    assert dataset.split_rule == "given"
    assert [len(split) for split in dataset.splits.values()] == [40, 10, 20]


def test_pairs_of_texts(tmp_path: Path) -> None:
    table = {"document": [f"text {i}" for i in range(30)], "summary": [f"t {i}" for i in range(30)]}
    datasets.Dataset.from_dict(table).save_to_disk(str(tmp_path / "pairs"))
    assert sum(map(len, load_pairs(DataSettings(source=str(tmp_path / "pairs"))).splits.values())) == 30


def test_bad_folders_get_one_sentence(tmp_path: Path) -> None:
    rows(20).save_to_disk(str(tmp_path / "broken"))
    for file in (tmp_path / "broken").glob("*.arrow"):
        file.write_bytes(b"nothing")
    rows(20).remove_columns("label").save_to_disk(str(tmp_path / "unlabelled"))
    rows(20).save_to_disk(str(tmp_path / "fine"))
    for name, keys, words in (
        ("broken", {}, "cannot be read as a saved data set"),
        ("unlabelled", {}, "no usual label column"),
        ("fine", {"separator": ";"}, "is for CSV and TSV files"),
    ):
        with pytest.raises(DataError, match=words) as caught:
            load_dataset(DataSettings(source=str(tmp_path / name), **keys))
        assert "\n" not in str(caught.value)
