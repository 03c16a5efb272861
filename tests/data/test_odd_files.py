"""New texts of every kind of file, and paths at which no plain file lies: each answers at once."""

from __future__ import annotations

import gzip
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from realdata import shared
from whichtune.data import limits
from whichtune.data.sources import read_hub
from whichtune.data.splits import load_dataset
from whichtune.data.texts import read_texts
from whichtune.errors import DataError, WhichtuneError
from whichtune.published.reproduce import local_copy
from whichtune.study.data_settings import DataSettings

TEXTS: dict[str, tuple[str, bytes, list[str]]] = {
    "marks inside a line": (
        "a.txt",
        "a\u2028b\nc\x0cd\x0be\x85f\x1cg\n".encode(),
        ["a\u2028b", "c\x0cd\x0be\x85f\x1cg"],
    ),
    "windows": ("a.txt", b"a\r\nb\r\n", ["a", "b"]),
    "old": ("a.txt", b"a\rb", ["a", "b"]),
    "a mark": ("a.txt", b"\xef\xbb\xbfa\nb\n", ["a", "b"]),
    "utf-16": ("a.txt", "a\né\n".encode("utf-16"), ["a", "é"]),
    "upper case": ("A.TXT", b"a\n", ["a"]),
    "gzip": ("a.txt.gz", gzip.compress(b"a\nb"), ["a", "b"]),
    "blanks kept": ("a.txt", b" a \n", [" a "]),
    "quotes kept": ("a.txt", b'"a\nb"\n', ['"a', 'b"']),
    "csv": ("a.csv", b'text\n"a, b"\nNA\n', ["a, b", "NA"]),
    "csv with semicolons": ("a.csv", b"id;text\n1;a, b\n", ["a, b"]),
    "jsonl": ("a.jsonl", '{"text": "a\u2028b"}\n{"text": "c"}\n'.encode(), ["a\u2028b", "c"]),
    "numbers": ("a.jsonl", b'{"text": 1}\n{"text": 2.5}\n', ["1", "2.5"]),
}


@pytest.mark.parametrize("case", TEXTS)
def test_as_many_texts_as_lines(tmp_path: Path, case: str) -> None:
    name, content, texts = TEXTS[case]
    (tmp_path / name).write_bytes(content)
    assert read_texts(tmp_path / name, None) == texts


NO_TEXTS: dict[str, tuple[str, bytes, str]] = {
    "empty": ("a.txt", b"", "a.txt holds no texts"),
    "an empty line": ("a.txt", b"a\n\nb\n", "Row 2 of a.txt has an empty text"),
    "a line of form feeds": ("a.txt", b"a\n\x0c\n", "Row 2 of a.txt has an empty text"),
    "latin-1": ("a.txt", b"caf\xe9\n", "a.txt is not UTF-8 .byte 3, line 1., it seems to be ISO-8859-1"),
    "null": ("a.jsonl", b'{"text": "a"}\n{"text": null}\n', "Row 2 of a.jsonl has an empty text"),
    "not there": ("a.jsonl", b'{"text": "a"}\n{"txt": "b"}\n', "Row 2 of a.jsonl has an empty text"),
    "a list": ("a.jsonl", b'{"text": ["a"]}\n', "Row 1 of a.jsonl has a list for a text"),
    "an unquoted comma": ("a.csv", b"text\nhello, one\n", "Row 1 of a.csv has 2 fields, but the header has 1 column"),
    "no column": ("a.csv", b"a,b\n1,2\n", "a.csv has no usual text column"),
    "no rows": ("a.csv", b"text\n", "a.csv has no rows"),
    "a parquet called txt": ("a.txt", b"PAR1xxxx", "a.txt is a Parquet file"),
    "another format": ("a.docx", b"PK", "a.docx is in no format that is read"),
}


@pytest.mark.parametrize("case", NO_TEXTS)
def test_texts_refused_with_their_row(tmp_path: Path, case: str) -> None:
    name, content, sentence = NO_TEXTS[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=sentence):
        read_texts(tmp_path / name, None)


def test_missing_texts_of_a_parquet(tmp_path: Path) -> None:
    pd.DataFrame({"text": pd.array(["a", None, "c"], dtype="string")}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"Row 2 of a\.parquet has an empty text"):
        read_texts(tmp_path / "a.parquet", None)


def test_texts_as_first_seen() -> None:
    folder = shared("cases/predict-texts")
    assert read_texts(folder / "lines.txt", None) == ["one a\u2028b", "two\x0cc", "three"]
    assert read_texts(folder / "bom.txt", None) == read_texts(folder / "nobom.txt", None) == ["one", "two"]
    for name, sentence in {
        "latin1.txt": "seems to be ISO-8859-1",
        "missing.jsonl": "Row 2 of missing.jsonl",
        "comma.csv": "Row 1 of comma.csv has 2 fields",
    }.items():
        with pytest.raises(DataError, match=sentence):
            read_texts(folder / name, None)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        before = Path.cwd()
        os.chdir(path.parent)  # the address of a socket is short
        try:
            server.bind(path.name)
        finally:
            os.chdir(before)


PLACES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a pipe": (pipe, "is a pipe, a socket or a device: give a file"),
    "a socket": (listening, "is a pipe, a socket or a device: give a file"),
    "an endless device": (lambda path: path.symlink_to("/dev/zero"), "is a pipe, a socket or a device"),
    "a folder": (lambda path: path.mkdir(), "a.csv holds no train file"),
    "a link in a circle": (lambda path: path.symlink_to(path), "cannot be opened .*: check the path"),
    "a link to nothing": (lambda path: path.symlink_to("nothing"), "There is no data file"),
}


@pytest.mark.parametrize("case", PLACES)
def test_places_without_a_plain_file(tmp_path: Path, case: str) -> None:
    make, sentence = PLACES[case]
    make(tmp_path / "a.csv")
    start = time.process_time()
    with pytest.raises(DataError, match=sentence):
        load_dataset(DataSettings(source=str(tmp_path / "a.csv")))
    with pytest.raises(DataError, match=sentence if case.startswith(("a pipe", "a soc", "an end")) else "."):
        read_texts(tmp_path / "a.csv", None)
    assert time.process_time() - start < 20


@pytest.mark.parametrize("name", ["train.csv", "test.csv"])
def test_a_pipe_or_folder_among_the_files_of_a_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "train.csv").write_text("text,label\na,b\n", encoding="utf-8")
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match=rf"{name}' is a pipe"):
        load_dataset(DataSettings(source=str(tmp_path)))
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    with pytest.raises(DataError, match=rf"{name}' is a folder: give a file"):
        load_dataset(DataSettings(source=str(tmp_path)))


def test_a_pipe_as_a_copy_of_a_named_set(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "sms")
    with pytest.raises(DataError, match="is a pipe"):
        load_dataset(DataSettings(source=f"sms_spam={tmp_path / 'sms'}"))


NAMES: dict[str, tuple[str, str]] = {
    "long": ("x" * 5000, "cannot be opened .its name is too long.: check the path"),
    "long and a file": ("x" * 5000 + ".csv", "cannot be opened .its name is too long."),
    "long copy": ("sms_spam=" + "x" * 5000, "its name is too long"),
    "a lone surrogate": ("a\ud800.csv", r"'a\\ud800.csv' is no path|no data file 'a\\ud800.csv'"),
    "a nul": ("a\0.csv", r"'a\\x00.csv' is no path"),
    "a byte that is no letter": ("a\udcff.csv", r"There is no data file 'a\\udcff.csv'"),
    "a line break": ("a\nb.csv", r"There is no data file 'a\\nb.csv'"),
    "nobody's home": ("~nobody-here/a.csv", "names the home of a user that is not there"),
    "below a file": ("/etc/passwd/a.csv", "There is no data file '/etc/passwd/a.csv'"),
    "an unknown word": ("a" * 200, "There is no file, folder or named data set 'a{60}...'"),
}


@pytest.mark.parametrize("case", NAMES)
def test_names_that_no_file_has(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, sentence = NAMES[case]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WhichtuneError, match=sentence) as caught:
        load_dataset(DataSettings.model_construct(**{**DataSettings().model_dump(), "source": name}))
    assert str(caught.value).isprintable()


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Played, since the tests may run as root, who may read everything."""
    (tmp_path / "a.csv").write_text("text,label\n", encoding="utf-8")

    def refuse(self: Path, *args: object, **keys: object) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DataError, match=r"a\.csv may not be read: no permission"):
        limits.read_bytes(tmp_path / "a.csv")
    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(DataError, match=r"may not be read: Permission denied"):
        load_dataset(DataSettings(source=str(tmp_path)))
    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(DataError, match=r"may not be read: no permission on the way to it"):
        limits.exists(tmp_path / "a.csv")


def test_the_folder_one_stands_in_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "mails"
    folder.mkdir()
    pd.DataFrame({"text": [f"t{row}" for row in range(40)], "label": ["a", "b"] * 20}).to_csv(folder / "train.csv")
    monkeypatch.chdir(folder)
    assert load_dataset(DataSettings(source=".")).name == "mails"


@pytest.mark.parametrize("content", [b"PAR1 and no more", b""])
def test_hub_data_that_cannot_be_read(tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "train.parquet").write_bytes(content)
    with pytest.raises(DataError, match="cannot be had from the Hub: ") as caught:
        read_hub(DataSettings(source=str(tmp_path / "x")))
    assert str(caught.value).isprintable()
    with pytest.raises(DataError, match=r"data\.separator is for CSV and TSV files"):
        read_hub(DataSettings(source=str(tmp_path / "x"), separator=";"))


@pytest.mark.parametrize("data", ["~nobody-here/a", "x" * 5000, "a\0"])
def test_names_given_to_a_published_study(data: str) -> None:
    assert local_copy(data) == data
