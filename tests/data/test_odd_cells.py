"""Cells that are no plain text or label: read by rule, or refused in one sentence that names the row."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.odd import COUNT, LABELS, OBJECTS, ROWS, TEXTS, examples, lines_of, load
from whichtune.data.sources import from_datasets
from whichtune.errors import DataError
from whichtune.study.data_settings import DataSettings

NOT_PLAIN: dict[str, tuple[Callable[[int], object], str]] = {
    "a list": (lambda row: ["a", "b"], "Row 1 of .* has a list for a {kind}"),
    "an array": (lambda row: np.array([0, 1, 1]), "Row 1 of .* has a list for a {kind}"),
    "an object": (lambda row: {"a": 1}, "Row 1 of .* has an object for a {kind}"),
    "objects": (lambda row: [{"role": "user"}], "Row 1 of .* has a list for a {kind}"),
    "bytes": (lambda row: b"abc", "Row 1 of .* has bytes for a {kind} .*: decode them to text"),
    "a date": (lambda row: date(2024, 1, 1 + row % 9), "Row 1 of .* has a date or time for a {kind}"),
    "a time": (lambda row: pd.Timestamp("2024-01-01"), "Row 1 of .* has a date or time for a {kind}"),
    "a span": (lambda row: pd.Timedelta("1s"), "Row 1 of .* has a date or time for a {kind}"),
    "a late list": (lambda row: ["a"] if row > 30 else None, "Row 32 of .* has a list for a {kind}"),
}


@pytest.mark.parametrize("kind", ["text", "label"])
@pytest.mark.parametrize("case", NOT_PLAIN)
def test_cells_that_are_no_text(tmp_path: Path, case: str, kind: str) -> None:
    cell, sentence = NOT_PLAIN[case]
    frame = pd.DataFrame(OBJECTS).assign(**{kind: [cell(row) for row in range(COUNT)]})
    frame.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=sentence.format(kind=kind)):
        load(tmp_path / "a.parquet")


@pytest.mark.parametrize("labels", [[0, 1, 1], [1, 0, 0]])
def test_several_labels_for_a_text_are_named(tmp_path: Path, labels: list[int]) -> None:
    (tmp_path / "a.jsonl").write_text(lines_of([{"text": t, "labels": labels} for t in TEXTS]), encoding="utf-8")
    with pytest.raises(DataError, match=r"3 zeros and ones are several labels for one text \(multi-label\)"):
        load(tmp_path / "a.jsonl")
    frame = pd.DataFrame({"text": TEXTS, "labels": [["a"], ["b", "c"]] * (COUNT // 2)})
    frame.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match="say what is meant, several labels for one text"):
        load(tmp_path / "a.parquet")


MISSING: dict[str, pd.Series] = {
    "Int64": pd.Series([1, None, 2] * 10, dtype="Int64"),
    "boolean": pd.Series([True, None, False] * 10, dtype="boolean"),
    "float": pd.Series([1.0, np.nan, 2.0] * 10),
    "string": pd.Series(["a", None, "b"] * 10, dtype="string"),
    "category": pd.Series(["a", None, "b"] * 10, dtype="category"),
    "object": pd.Series(["a", None, "b"] * 10, dtype=object),
    "blank": pd.Series(["a", " \t", "b"] * 10),
    "decimal": pd.Series([Decimal(1), None, Decimal(2)] * 10, dtype=object),
}


@pytest.mark.parametrize("kind", MISSING)
@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_missing_labels_of_every_kind(tmp_path: Path, kind: str, form: str) -> None:
    frame = pd.DataFrame({"text": TEXTS[:30], "label": MISSING[kind]})
    if form == "parquet":
        frame.to_parquet(tmp_path / "a.parquet")
    else:
        frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    with pytest.raises(DataError, match=r"Row 2 \(and 9 more\) of a\..* has an empty label \(column 'label'\)"):
        load(tmp_path / f"a.{form}")


def test_missing_dates_are_missing(tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": TEXTS, "label": pd.Series([pd.NaT] * COUNT)})
    frame.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"Row 1 \(and 39 more\) of a.parquet has an empty label"):
        load(tmp_path / "a.parquet")


WRITTEN: dict[str, tuple[object, list[str]]] = {
    "Int64": (pd.array([2, 10] * 20, dtype="Int64"), ["2", "10"]),
    "boolean": (pd.array([True, False] * 20, dtype="boolean"), ["False", "True"]),
    "float": ([1.0, 2.0] * 20, ["1", "2"]),
    "half": ([0.5, 1.0] * 20, ["0.5", "1"]),
    "decimal": ([Decimal("1.0"), Decimal("2.50")] * 20, ["1", "2.50"]),
    "category": (pd.Categorical(["b", "a"] * 20), ["a", "b"]),
    "int8": (np.array([0, 1] * 20, dtype="int8"), ["0", "1"]),
    "float16": (np.array([0, 1] * 20, dtype="float16"), ["0", "1"]),
}


@pytest.mark.parametrize("kind", WRITTEN)
def test_labels_of_every_kind(tmp_path: Path, kind: str) -> None:
    values, names = WRITTEN[kind]
    pd.DataFrame({"text": TEXTS, "label": values}).to_parquet(tmp_path / "a.parquet")
    assert load(tmp_path / "a.parquet").labels == names


def test_columns_that_were_saved_as_row_names(tmp_path: Path) -> None:
    pd.DataFrame(OBJECTS).set_index("text").to_parquet(tmp_path / "a.parquet")
    assert examples(load(tmp_path / "a.parquet")) == ROWS
    pd.DataFrame(OBJECTS, index=range(5, 45)).assign(label=[None, *LABELS[1:]]).to_parquet(tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"Row 1 of b\.parquet"):
        load(tmp_path / "b.parquet")


def test_whole_numbers_beyond_a_float_stay_whole(tmp_path: Path) -> None:
    numbers = [2**63 + 1, 2**63 + 3]
    rows = [{"text": text, "label": numbers[row % 2]} for row, text in enumerate(TEXTS)]
    (tmp_path / "a.jsonl").write_text(lines_of(rows), encoding="utf-8")
    assert load(tmp_path / "a.jsonl").labels == [str(number) for number in numbers]


def test_hub_data_with_lists_bytes_and_missing_classes() -> None:
    """Columns that are not read may hold anything; classes may be missing; an unlabelled test split is left out."""
    import datasets

    names = datasets.ClassLabel(names=["neg", "pos"])
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": names, "tags": datasets.Sequence(datasets.Value("string"))}
    )
    rows = {"text": TEXTS, "label": [0, 1] * 20, "tags": [["a", "b"]] * COUNT}
    part = datasets.Dataset.from_dict(rows, features=features)
    blind = datasets.Dataset.from_dict({**rows, "label": [-1] * COUNT}, features=features)
    gaps = datasets.Dataset.from_dict({**rows, "label": [None, *rows["label"][1:]]}, features=features)
    found = from_datasets(datasets.DatasetDict({"train": part, "test": blind}), DataSettings(source="x/y"))
    assert list(found.tables) == ["train"]
    assert found.notes == (
        "The test rows of x/y (test) have no labels, so they are left for predict: the test split is drawn from train.",
    )
    other = datasets.Dataset.from_dict({**rows, "tags": [["a", "c"]] * COUNT}, features=features)
    again = from_datasets(datasets.DatasetDict({"train": other}), DataSettings(source="x/y"))
    assert (
        again.fingerprint
        != from_datasets(datasets.DatasetDict({"train": part}), DataSettings(source="x/y")).fingerprint
    )
    kept = from_datasets(datasets.DatasetDict({"train": gaps}), DataSettings(source="x/y"))
    assert list(kept.tables["train"]["label"][:2]) == ["", "pos"]
