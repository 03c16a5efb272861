"""Excel workbooks, rows under a key of JSON, and folders laid out as on the Hub."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from whichtune.data.read import read_source
from whichtune.data.splits import load_dataset
from whichtune.data.streamed import TextFile
from whichtune.errors import DataError
from whichtune.study.data_settings import DataSettings

ROWS = [{"text": f"text number {place}", "label": f"{place % 2}"} for place in range(40)]


def workbook(path: Path, **sheets: list[list[object]]) -> Path:
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


CELLS: list[list[object]] = [["text", "label", None, "score"], *[[f"text {i}", i % 2, None, 0.5] for i in range(40)]]


def read(path: Path, **settings: Any) -> pd.DataFrame:
    return next(iter(read_source(DataSettings(source=str(path), **settings)).tables.values()))


def test_a_sheet_is_read_with_its_numbers(tmp_path: Path) -> None:
    cells = [*CELLS[:3], [None] * 4, *CELLS[3:]]  # a blank row is none
    file = workbook(tmp_path / "a.xlsx", notes=[], rows=cells)
    frame = read(file)
    assert list(frame.columns) == ["text", "label", "score"]
    assert (len(frame), frame["label"][1], frame["score"][0]) == (40, 1, 0.5)
    source = read_source(DataSettings(source=str(file)))
    assert source.notes == ("Of the 2 sheets of a.xlsx 'rows' is read, the only one with rows.",)
    assert load_dataset(DataSettings(source=str(file))).labels == ["0", "1"]
    assert TextFile(file, None).count() == 40


def test_one_of_several_sheets_is_named(tmp_path: Path) -> None:
    file = workbook(tmp_path / "a.xlsm", first=CELLS, second=CELLS[:11])
    assert len(read(file, sheet="second")) == 10
    with pytest.raises(DataError, match=r"a.xlsm has 2 sheets with rows, 'first' and 'second': name one as data.sheet"):
        read(file)
    with pytest.raises(DataError, match="has no sheet 'third'"):
        read(file, sheet="third")


def test_what_is_no_sheet_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = workbook(tmp_path / "empty.xlsx", rows=[])
    twice = workbook(tmp_path / "twice.xlsx", rows=[["text", "text"], ["a", "b"]])
    gap = workbook(tmp_path / "gap.xlsx", rows=[["text", "label"], ["a", "b"], ["#N/A", "b"]])
    (tmp_path / "text.xlsx").write_text("text,label\na,b\n")
    (tmp_path / "broken.xlsx").write_bytes(empty.read_bytes()[:-200])
    (tmp_path / "a.csv").write_text("text,label\na,b\n")
    for file, sentence in (
        (empty, "has no rows"),
        (twice, "names a column twice"),
        (gap, "Row 2 of gap.xlsx has an empty text"),
        (tmp_path / "text.xlsx", "it is something else"),
        (tmp_path / "broken.xlsx", "zip archive|cannot be read"),
    ):
        with pytest.raises(DataError, match=sentence):
            load_dataset(DataSettings(source=str(file)))
    with pytest.raises(DataError, match=r"data\.sheet is for Excel workbooks"):
        read(tmp_path / "a.csv", sheet="first")
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(DataError, match=r"pip install 'whichtune\[excel\]'"):
        read(twice)


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
@pytest.mark.parametrize(
    "value", [{"data": ROWS, "version": 1}, {"examples": ROWS}, {"of": {"rows": ROWS}, "tags": ["a", "b"]}]
)
def test_rows_under_any_key_are_found(tmp_path: Path, name: str, value: dict[str, object]) -> None:
    (tmp_path / name).write_text(json.dumps(value))
    frame = read(tmp_path / name)
    assert frame["text"].tolist() == [row["text"] for row in ROWS]


def test_rows_under_one_of_several_keys(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"train": ROWS, "more": {"test": ROWS[:5]}}))
    assert len(read(tmp_path / "a.json", records="more.test")) == 5
    with pytest.raises(DataError, match=r"has rows under 'train' and 'more\.test': name one as data\.records"):
        read(tmp_path / "a.json")
    with pytest.raises(DataError, match="no list of objects under 'dev'"):
        read(tmp_path / "a.json", records="dev")
    (tmp_path / "b.json").write_text(json.dumps(ROWS))
    with pytest.raises(DataError, match=r"leave data\.records out"):
        read(tmp_path / "b.json", records="data")


def test_a_folder_laid_out_as_on_the_hub(tmp_path: Path) -> None:
    import datasets

    names = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["ham", "spam"])})
    rows = datasets.Dataset.from_list([{**row, "label": int(row["label"])} for row in ROWS], features=names)
    (tmp_path / "set" / "data").mkdir(parents=True)
    (tmp_path / "set" / "README.md").write_text("# A set\n")
    for place in range(2):
        rows.shard(2, place).to_parquet(tmp_path / "set" / "data" / f"train-0000{place}-of-00002.parquet")
    rows.select(range(5)).to_parquet(tmp_path / "set" / "data" / "test-00000-of-00001.parquet")
    source = read_source(DataSettings(source=str(tmp_path / "set")))
    assert (source.name, {name: len(table) for name, table in source.tables.items()}) == (
        "set",
        {"train": 40, "test": 5},
    )
    assert set(source.tables["train"]["label"]) == {"ham", "spam"}
    (tmp_path / "plain" / "data").mkdir(parents=True)
    for split in ("train", "test"):
        pd.DataFrame(ROWS).to_csv(tmp_path / "plain" / "data" / f"{split}.csv", index=False)
    assert set(read_source(DataSettings(source=str(tmp_path / "plain"))).tables) == {"train", "test"}
