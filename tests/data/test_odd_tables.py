"""Tables as people have them: each is read right and told of, or refused in one sentence that says where and why."""

from __future__ import annotations

import gzip
import io
import json
import os
import time
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from data.odd import COUNT, LABELS, OBJECTS, ROWS, TEXTS, examples, lines_of, load, table
from realdata import shared
from whichtune.data import limits
from whichtune.data.sources import read_table
from whichtune.errors import DataError
from whichtune.study.data_settings import DataSettings

# name: file, content, what its notes must say ("" for none)
READ_RIGHT: dict[str, tuple[str, str | bytes, str]] = {
    "plain": ("a.csv", table(), ""),
    "old line ends": ("a.csv", table(end="\r"), ""),
    "windows line ends": ("a.csv", table(end="\r\n"), ""),
    "blank lines": ("a.csv", table(end="\n\n"), ""),
    "no line end": ("a.csv", table().rstrip("\n"), ""),
    "all quoted": ("a.csv", table(header='"text","label"', row='"{t}","{l}"'), ""),
    "upper-case name": ("A.CSV", table(), ""),
    "semicolons": ("a.csv", table(";"), "separated by ';': set data.separator"),
    "semicolons and commas": ("a.csv", table().replace(",", ";"), "separated by ';'"),
    "tabs in a csv": ("a.csv", table("\t"), "separated by tab"),
    "bars": ("a.csv", table("|"), "separated by '|'"),
    "commas in a tsv": ("a.tsv", table(), "separated by ','"),
    "a first line that names the separator": ("a.csv", "sep=;\r\n" + table(";"), "separated by ';'"),
    "a first line that names the usual one": ("a.csv", "sep=,\n" + table(), ""),
    "utf-8 with its mark": ("a.csv", b"\xef\xbb\xbf" + table().encode(), ""),
    "utf-16": ("a.csv", table().encode("utf-16"), ""),
    "utf-16, big end first": ("a.csv", b"\xfe\xff" + table().encode("utf-16-be"), ""),
    "utf-32": ("a.csv", table().encode("utf-32"), ""),
    "utf-16 with tabs, as 'Unicode text'": ("a.csv", table("\t").encode("utf-16"), "separated by tab"),
    "json with a mark": ("a.json", b"\xef\xbb\xbf" + json.dumps(OBJECTS).encode(), ""),
    "a comma at the end": ("a.csv", table(row="{t},{l},"), "the empty column is left out"),
    "commas at the end": ("a.csv", table(row="{t},{l},, "), "the empty column is left out"),
    "a comma in the header, too": ("a.csv", table(header="text,label,", row="{t},{l},"), ""),
    "row numbers without a name": ("a.csv", table(row="{n},{t},{l}"), "begin with their number"),
    "row numbers with an empty name": ("a.csv", table(header=",text,label", row="{n},{t},{l}"), ""),
    "rows that lack an unused column": ("a.csv", table(header="text,label,note"), "Row 1 and 39 more .* fewer fields"),
    "a column named twice": ("a.csv", table(header="text,label,text", row="{t},{l},x"), "twice, 'text': the first"),
    "an array": ("a.json", json.dumps(OBJECTS), ""),
    "an array called jsonl": ("a.jsonl", json.dumps(OBJECTS), "one JSON value"),
    "an array over lines called jsonl": ("a.jsonl", json.dumps(OBJECTS, indent=1), "one JSON value"),
    "lines called json": ("a.json", lines_of(OBJECTS), "an object in each line"),
    "lines with blank ones": ("a.jsonl", lines_of(OBJECTS).replace("\n", "\r\n\n"), ""),
    "columns": ("a.json", json.dumps({"text": TEXTS, "label": LABELS}), ""),
    "columns called jsonl": ("a.jsonl", json.dumps({"text": TEXTS, "label": LABELS}), "one JSON value"),
    "gzip": ("a.csv.gz", gzip.compress(table().encode()), ""),
    "gzip in two parts": (
        "a.csv.GZ",
        gzip.compress(table().encode()[:50]) + gzip.compress(table().encode()[50:]) + b"\0" * 9,
        "",
    ),
}


@pytest.mark.parametrize("case", READ_RIGHT)
def test_read_right(tmp_path: Path, case: str) -> None:
    name, content, told = READ_RIGHT[case]
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    dataset = load(tmp_path / name)
    assert examples(dataset) == ROWS
    assert len(dataset.notes) == (1 if told else 0), dataset.notes
    if told:
        assert pd.Series(dataset.notes).str.contains(told).all(), dataset.notes
        assert dataset.notes[0].endswith(".")


TABLE = table()


def packed(*names: str) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as handle:
        for name in names:
            handle.writestr(name, TABLE)
    return archive.getvalue()


def parquet(frame: pd.DataFrame) -> bytes:
    return frame.to_parquet()


# name: file, content, the sentence
REFUSED: dict[str, tuple[str, str | bytes, str]] = {
    "empty": ("a.csv", "", "a.csv cannot be read as csv: it is empty"),
    "blank lines alone": ("a.tsv", "\n \n", "a.tsv cannot be read as tsv: it is empty"),
    "empty jsonl": ("a.jsonl", "", "a.jsonl cannot be read as jsonl: it is empty"),
    "empty json": ("a.json", " \n", "a.json cannot be read as json: it is empty"),
    "empty parquet": ("a.parquet", b"", "a.parquet cannot be read as parquet: it is empty"),
    "empty gzip": ("a.csv.gz", b"", "a.csv.gz cannot be read as gzip: it is empty"),
    "header alone": ("a.csv", "text,label\n", "a.csv has no rows"),
    "header alone, tsv": ("a.tsv", "text\tlabel", "a.tsv has no rows"),
    "header alone, other separator": ("a.csv", "text;label\n", "a.csv has no rows"),
    "an empty array": ("a.json", "[]", "a.json has no rows"),
    "an empty array of lines": ("a.jsonl", "[]", "a.jsonl has no rows"),
    "empty columns": ("a.json", '{"text": [], "label": []}', "a.json has no rows"),
    "a parquet without rows": ("a.parquet", parquet(pd.DataFrame({"text": [], "label": []})), "a.parquet has no rows"),
    "an unquoted comma": (
        "a.csv",
        table(row="Hello, {t},{l}"),
        "Row 1 of a.csv has 3 fields, but the header has 2 columns: put a text that holds a ',' in quotes",
    ),
    "one unquoted comma": ("a.csv", TABLE + "Hello, you,ham\n", "Row 41 of a.csv has 3 fields, .* 2 columns"),
    "an unquoted tab": ("a.tsv", table("\t") + "a\tb\tham\n", "Row 41 of a.tsv has 3 fields, .* holds a tab in quotes"),
    "an unquoted comma, one column": ("a.csv", "text\nhello, you\n", "Row 1 of a.csv has 2 fields, .* has 1 column:"),
    "a missing label": ("a.csv", TABLE + "hello\n", "Row 41 of a.csv has an empty label"),
    "a line break without quotes": ("a.csv", TABLE + "hello\nyou,ham\n", "Row 41 of a.csv has an empty label"),
    "an open quote": ("a.csv", TABLE + '"hello,ham\n', "Row 41 of a.csv opens a quote that is not closed"),
    "an open quote above": ("a.csv", 'text,label\n"hi,ham\n' + TABLE, "Row 1 of a.csv opens .* 41 more lines"),
    "a quote closed in a later text": (
        "a.csv",
        TABLE + '"hello,ham\nyou,spam\n"they,ham\n',
        "Row 41 of a.csv opens a quote that is not closed there, so that 2 more lines are one text",
    ),
    "an open quote in the header": ("a.csv", '"text,label\na,b\n', "The header of a.csv opens a quote"),
    "latin-1": (
        "a.csv",
        TABLE.replace("message 7", "café").encode("latin-1"),
        "not UTF-8 .byte 115, line 9., .*8859-1",
    ),
    "windows-1252": ("a.csv", (TABLE + "“x”,ham\n").encode("cp1252"), "seems to be WINDOWS-1252: save it as UTF-8"),
    "utf-16 without its mark": ("a.csv", TABLE.encode("utf-16-le"), "seems to be UTF-16 without its mark"),
    "cut off in a letter": ("a.csv", (TABLE + "a,é").encode()[:-1], "it is cut off inside a letter"),
    "cyrillic": (
        "a.csv",
        ("text,label\n" + "привет всем вам,а\n" * 9).encode("cp1251"),
        "not UTF-8 .byte 11, line 2.:",
    ),
    "latin-1 lines": ("a.jsonl", '{"text": "café"}\n'.encode("latin-1"), "a.jsonl is not UTF-8"),
    "parquet called csv": ("a.csv", parquet(pd.DataFrame(OBJECTS)), "a.csv is a Parquet file: name it .parquet"),
    "gzip called csv": ("a.csv", gzip.compress(TABLE.encode()), "a.csv is a gzip file: add .gz to its name"),
    "gzip called parquet": ("a.parquet", gzip.compress(b"x"), "a.parquet is a gzip file"),
    "zip called csv": ("a.csv", packed("a.csv"), "a.csv is a zip archive: unpack it"),
    "xlsx called csv": ("a.csv", packed("xl/workbook.xml"), "a.csv is a spreadsheet .xlsx.: save it as CSV UTF-8"),
    "xls called csv": ("a.csv", b"\xd0\xcf\x11\xe0" + b"\0" * 99, "a.csv is an old spreadsheet"),
    "no real xlsx": ("a.xlsx", packed("xl/workbook.xml"), "a.xlsx cannot be read as a workbook"),
    "a web page called jsonl": ("a.jsonl", "\n<!DOCTYPE html><html>", "a.jsonl is a web page"),
    "a pointer": ("a.csv", "version https://git-lfs.github.com/spec/v1\noid x\n", "a.csv is a Git LFS pointer"),
    "a database called json": ("a.json", b"SQLite format 3\0", "a.json is an SQLite database"),
    "csv called gzip": ("a.csv.gz", TABLE, "a.csv.gz is an uncompressed file, not gzip"),
    "parquet in gzip called csv": (
        "a.csv.gz",
        gzip.compress(parquet(pd.DataFrame(OBJECTS))),
        "a.csv.gz is a Parquet file",
    ),
    "csv called parquet": ("a.parquet", TABLE, "a.parquet cannot be read as parquet: it is something else"),
    "csv called jsonl": ("a.jsonl", TABLE, "Line 1 of a.jsonl cannot be read as jsonl: expecting value"),
    "garbled gzip": ("a.csv.gz", gzip.compress(TABLE.encode())[:30] + b"xxxx" * 9, "a.csv.gz is damaged gzip"),
    "half a gzip": ("a.csv.gz", gzip.compress(os.urandom(9999))[:999], "a.csv.gz is cut off"),
    "half a parquet": ("a.parquet", parquet(pd.DataFrame(OBJECTS))[:-30], "a.parquet cannot be read as parquet"),
    "half a line": ("a.jsonl", lines_of(OBJECTS)[:-9], "Line 40 of a.jsonl cannot be read as jsonl: expecting"),
    "half an array": ("a.json", json.dumps(OBJECTS)[:-9], "a.json cannot be read as json: expecting"),
    "a line that is a list": (
        "a.jsonl",
        lines_of(OBJECTS) + '["a", "b"]\n',
        "Line 41 of a.jsonl is a list, not an obj",
    ),
    "an entry that is a text": ("a.json", '[{"text": "a"}, "b"]', "Entry 2 of a.json is a text, not an object"),
    "a number": ("a.json", "12", "a.json holds a number, not rows"),
    "one object": ("a.json", '{"text": "a", "label": "b"}', "a.json is one object and no rows"),
    "rows under two names": ("a.json", json.dumps({"a": OBJECTS, "b": OBJECTS}), "has rows under 'a' and 'b'"),
    "nested too deeply": ("a.json", "[" * 100_000, "a.json cannot be read as json: it is nested too deeply"),
    "no such column": ("a.csv", "a,b\n1,2\n", r"a.csv has no usual text column \(its columns: a, b\)"),
    "a column with a line break": ("a.csv", '"a\nb",c\n1,2\n', r"its columns: a\\nb, c\)"),
    "many columns": (
        "a.csv",
        ",".join(f"c{column}" for column in range(100_000)) + "\n" + "," * 99_999 + "\n",
        r"its columns: c0, c1, .*, c9 and 99,990 more\): name it",
    ),
    "a cell that is too large": (
        "a.csv",
        TABLE + "x" * 10_000_000 + ",ham\n",
        "Row 41 of a.csv has a field of more than",
    ),
    "a cell that is too large, json": (
        "a.jsonl",
        lines_of([*OBJECTS, {"text": "x" * 10_000_000, "label": "ham"}]),
        "Row 41 of a.jsonl has a text of more than 5,000,000 characters",
    ),
    "a label that is a list as text": ("a.csv", 'text,label\na,"[0, 1]"\nb,"[1, 0]"\n', "Row 1 .* a list for a label"),
    "half a letter": ("a.jsonl", '{"text": "a\\ud83d", "label": "b"}\n{"text": "a", "label": "c"}', "lone surrogate"),
    "an empty label among numbers": (
        "a.jsonl",
        lines_of([*OBJECTS, {"text": "a", "label": None}]),
        "Row 41 .* empty lab",
    ),
    "a label that is not there": (
        "a.jsonl",
        lines_of([*OBJECTS, {"text": "a"}]),
        "Row 41 of a.jsonl has an empty label",
    ),
    "a label that is no number": ("a.jsonl", '{"text": "a", "label": NaN}\n', "Row 1 of a.jsonl has an empty label"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_sentence(tmp_path: Path, case: str) -> None:
    name, content, sentence = REFUSED[case]
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    start = time.process_time()
    with pytest.raises(DataError, match=sentence) as caught:
        load(tmp_path / name)
    said = str(caught.value)
    assert said.isprintable()
    assert len(said) < 400
    assert time.process_time() - start < 20


def test_a_named_separator_is_kept_to(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text(table(":"), encoding="utf-8")
    assert examples(load(file, separator=":")) == ROWS
    assert load(file, separator=":").notes == ()
    file.write_text(table("\t"), encoding="utf-8")
    assert examples(load(file, separator="tab")) == ROWS
    (tmp_path / "a.jsonl").write_text(lines_of(OBJECTS), encoding="utf-8")
    with pytest.raises(DataError, match=r"data.separator is for CSV and TSV files, and a\.jsonl is none"):
        load(tmp_path / "a.jsonl", separator=";")
    for wrong in ("ab", "", "x", '"', "\n"):
        with pytest.raises(ValueError, match="one character"):
            DataSettings(source="a.csv", separator=wrong)


def test_stray_quotes_in_a_tsv_are_letters(tmp_path: Path) -> None:
    texts = [f'"{text}' if row % 9 == 3 else text for row, text in enumerate(TEXTS)]
    (tmp_path / "a.tsv").write_text(
        "text\tlabel\n" + "".join(f"{t}\t{n}\n" for t, n in zip(texts, LABELS, strict=True)), encoding="utf-8"
    )
    dataset = load(tmp_path / "a.tsv")
    assert [text for text, _ in examples(dataset)] == texts
    assert dataset.notes == ("a.tsv has quotes that are not closed: its quotes are read as they stand.",)


def test_quotes_that_close_at_the_end_of_a_later_text_are_stray_too(tmp_path: Path) -> None:
    texts = [*TEXTS[:3], '"open', *TEXTS[4:8], 'shut"', *TEXTS[9:]]
    content = "text\tlabel\n" + "".join(f"{t}\t{n}\n" for t, n in zip(texts, LABELS, strict=True))
    (tmp_path / "a.tsv").write_text(content, encoding="utf-8")
    assert [text for text, _ in examples(load(tmp_path / "a.tsv"))] == texts
    (tmp_path / "a.csv").write_text(content.replace("\t", ","), encoding="utf-8")
    assert load(tmp_path / "a.csv").notes == (
        "Row 4 of a.csv is a quoted text of 6 lines that look like rows themselves: remove its quotes where they are.",
    )


def test_quoted_texts_of_several_lines_stay_whole(tmp_path: Path) -> None:
    texts = [f"Dear all,\n\nnumber {row}, and\tmore" for row in range(COUNT)]
    for name, separator in {"a.csv": ",", "a.tsv": "\t"}.items():
        frame = pd.DataFrame({"label": LABELS, "text": texts})
        frame.to_csv(tmp_path / name, index=False, sep=separator)
        assert [text for text, _ in examples(load(tmp_path / name))] == texts
        assert load(tmp_path / name).notes == ()


def test_the_sms_collection_keeps_its_own_parser() -> None:
    file = shared("data/sms-spam/SMSSpamCollection.tsv")
    dataset = load(f"sms_spam={file}", split="stratified")
    assert sum(len(part) for part in dataset.splits.values()) == 5572
    with pytest.raises(DataError, match="leave it out"):
        load(f"sms_spam={file}", separator=",")


def test_a_file_that_swells_is_not_read_whole(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"text,label\n" + b"a" * (80 << 20), compresslevel=1))
    with pytest.raises(DataError, match=r"a\.csv\.gz swells to more than .* over 200 times its size"):
        load(tmp_path / "a.csv.gz")


def test_a_file_beyond_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LARGEST_FILE", 10)
    (tmp_path / "a.csv").write_text(TABLE, encoding="utf-8")
    with pytest.raises(DataError, match=r"a\.csv is larger than"):
        load(tmp_path / "a.csv")


def test_large_cells_and_many_columns_are_read(tmp_path: Path) -> None:
    text = "x" * 1_000_000
    (tmp_path / "a.csv").write_text(TABLE + f"{text},ham\n", encoding="utf-8")
    assert read_table(tmp_path / "a.csv")["text"].iloc[-1] == text
    header = ",".join(["text", "label", *(f"c{column}" for column in range(20_000))])
    rows = "".join(f"{t},{n}{',' * 20_000}\n" for t, n in ROWS)
    (tmp_path / "b.csv").write_text(f"{header}\n{rows}", encoding="utf-8")
    assert examples(load(tmp_path / "b.csv")) == ROWS
    with pytest.raises(DataError, match="did you mean 'label'"):
        load(tmp_path / "b.csv", label_column="labl")


# the same kinds as they were first seen
SEEN: dict[str, tuple[str, str]] = {
    "trailing-comma/d.csv": ("60", "the empty column is left out"),
    "stray-quote-tsv/d.tsv": ("60", "read as they stand"),
    "semicolon/d.csv": ("60", "separated by ';'"),
    "array-named-jsonl/d.jsonl": ("1200", "one JSON value"),
    "unquoted-comma/d.csv": ("", "Row 1 of d.csv has 3 fields, but the header has 2 columns"),
    "header-only/d.csv": ("", "d.csv has no rows"),
    "list-text/d.parquet": ("", "a list for a text"),
    "nullable-int/d.parquet": ("", "Row 1 .* has an empty label"),
    "multilabel/d.jsonl": ("", "several labels for one text"),
}


@pytest.mark.parametrize("case", SEEN)
def test_as_first_seen(case: str) -> None:
    rows, words = SEEN[case]
    file = shared(f"cases/{case}")
    if not rows:
        with pytest.raises(DataError, match=words):
            load(file)
        return
    dataset = load(file)
    assert sum(len(part) for part in dataset.splits.values()) == int(rows)
    assert any(words in note for note in dataset.notes)
