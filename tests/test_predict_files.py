"""`predict` on files: formats in and out, thresholds, little memory, and never half a file."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from command import inside
from whichtune.compare import compare
from whichtune.data import streamed
from whichtune.data.streamed import TextFile
from whichtune.errors import DataError
from whichtune.records.store import StudyFolder
from whichtune.runs.predict import find_run, open_run, predict_texts
from whichtune.runs.writing import whole_file, writer_of
from whichtune.study.load import parse_study

TEXTS = ["call me", "you have won, claim it", "=SUM(A1)", 'a "quoted" text\nof two lines', "naïve 日本"]


@pytest.fixture(scope="module")
def study(mail: Path, tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    value = {"data": str(mail), "methods": [], "baselines": ["tfidf_word", "majority"], "seeds": [0]}
    return StudyFolder(compare(parse_study(value, "m"), tmp_path_factory.mktemp("p") / "s", save="all").folder)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    place = tmp_path_factory.mktemp("three")
    rows = [(f"{word} {i}", word) for i in range(20) for word in ("bill", "ship", "back")]
    pd.DataFrame(rows, columns=["text", "label"]).to_csv(place / "d.csv", index=False)
    value = {"data": str(place / "d.csv"), "methods": [], "baselines": ["majority"], "seeds": [0]}
    return StudyFolder(compare(parse_study(value, "three"), place / "s", save="all").folder)


def written(folder: Path, name: str, texts: list[str] = TEXTS) -> Path:
    frame, path = pd.DataFrame({"id": range(len(texts)), "text": texts}), folder / name
    if name.endswith(".parquet"):
        frame.to_parquet(path)
    elif ".jsonl" in name:
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, index=False, sep="\t" if ".tsv" in name else ",")
    return path


def read(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    if path.suffix == ".jsonl":
        return pd.DataFrame([json.loads(line) for line in path.read_text("utf-8").splitlines()])
    return pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",")


@pytest.mark.parametrize("source", ["in.csv", "in.jsonl", "in.parquet", "in.tsv", "in.csv.gz", "in.jsonl.gz"])
@pytest.mark.parametrize("target", ["out.csv", "out.jsonl", "out.parquet", "out.tsv"])
def test_every_format_in_and_out(study: StudyFolder, source: str, target: str, tmp_path: Path) -> None:
    file = written(tmp_path, source)
    said = inside("predict", str(study.path), "tfidf_word", str(file), "--out", target, cwd=tmp_path)
    assert (said.stdout, said.stderr) == ("", "")
    table = read(tmp_path / target)
    spreadsheet = target.endswith(("csv", "tsv"))
    assert list(table["text"]) == [f"'{t}" if spreadsheet and t[0] == "=" else t for t in TEXTS]
    labels = ["not spam", "spam"]
    shares = table[[f"probability of {label}" for label in labels]].to_numpy()
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert list(table["prediction"]) == [labels[i] for i in shares.argmax(axis=1)]


def test_the_format_that_is_asked_for_wins(study: StudyFolder, tmp_path: Path) -> None:
    file = written(tmp_path, "in.csv")
    words = ["predict", str(study.path), "majority", str(file), "--format", "jsonl"]
    printed = inside(*words).stdout
    assert len([json.loads(line) for line in printed.splitlines()]) == len(TEXTS)
    inside(*words, "--out", "out.csv", cwd=tmp_path)
    assert (tmp_path / "out.csv").read_text("utf-8") == printed
    inside(*words[:4], "--out", "answers.txt", cwd=tmp_path)  # an ending that says nothing
    assert (tmp_path / "answers.txt").read_text("utf-8").startswith("text,prediction,")


@pytest.mark.parametrize("source", ["in.csv", "in.jsonl", "in.parquet", "in.tsv", "in.csv.gz"])
def test_a_long_file_is_read_as_a_short_one(source: str, tmp_path: Path) -> None:
    texts = TEXTS * 50
    file = written(tmp_path, source, texts)
    whole, pieces = TextFile(file, None), list(TextFile(file, None, whole=0).pieces(7))
    assert whole.texts == texts
    assert [text for piece in pieces for text in piece] == texts
    assert {len(piece) for piece in pieces[:-1]} == {7}


LONG_FILES = {
    "an empty text": ("text\na\n\n b\n" + '""\nc\n', "Row 3 of f.csv has an empty text"),
    "a row that does not fit": ("text\na\nb,c\n", "Row 2 of f.csv has 2 fields"),
    "an open quote": ('text\na\n"b\nc\n', "Row 2 of f.csv opens a quote"),
    "an open quote at the end": ('text\na\n"b', "Row 2 of f.csv opens a quote"),
    "no column of texts": ("a,b\n1,2\n", "has no usual text column"),
    "no rows": ("text\n", "has no rows"),
    "bytes that are no text": (b"text\n" + b"a\n" * 9000 + b"\xff\n", "is not UTF-8"),
}


@pytest.mark.parametrize("case", LONG_FILES)
def test_what_is_wrong_in_a_long_file_is_named(case: str, tmp_path: Path) -> None:
    content, sentence = LONG_FILES[case]
    (tmp_path / "f.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=sentence):
        TextFile(tmp_path / "f.csv", None, whole=0).count()


def test_odd_files_that_are_long(tmp_path: Path) -> None:
    """Separators, a leading line that names one, numbered rows, and other encodings."""
    made = {
        "semicolons": b"text;x\na;1\nb,c;2\n",
        "named": b"sep=|\ntext|x\na|1\nb,c|2\n",
        "numbered": b'text,x\n0,a,1\n1,"b,c",2\n',
        "marked": '\ufefftext,x\na,1\n"b,c",2\n'.encode(),
        "utf-16": 'text,x\na,1\n"b,c",2\n'.encode("utf-16"),
    }
    for name, content in made.items():
        (tmp_path / f"{name}.csv").write_bytes(content)
        for whole in (0, streamed.WHOLE):
            texts = [t for piece in TextFile(tmp_path / f"{name}.csv", None, whole=whole).pieces() for t in piece]
            assert texts == ["a", "b,c"], (name, whole)


class Counted:
    """Texts as they are read and answered: how many were ever under way."""

    def __init__(self) -> None:
        self.read = self.answered = self.most = 0

    def reading(self, pieces: Iterator[list[str]]) -> Iterator[list[str]]:
        for piece in pieces:
            self.read += len(piece)
            self.most = max(self.most, self.read - self.answered)
            yield piece


@pytest.mark.parametrize("kind", ["csv", pytest.param("jsonl", marks=pytest.mark.slow), "parquet"])
@pytest.mark.slow
def test_many_rows_take_little_memory(study: StudyFolder, kind: str, tmp_path: Path) -> None:
    """50,000 rows of about 100 bytes; the table alone would be several times what is allowed."""
    rows, filling = 50_000, "call me about the prize that was won tonight at the meeting with money and free tickets"
    file = written(tmp_path, f"in.{kind}", [f"{i} {filling}" for i in range(rows)])
    opened, seen = open_run(study, find_run(study, "majority")), Counted()
    tracemalloc.start()
    try:
        texts = TextFile(file, None, whole=0)
        with whole_file(tmp_path / f"out.{kind}") as handle:
            writer = writer_of(kind, handle)
            for table in predict_texts(opened, seen.reading(texts.pieces())):
                writer.write(table)
                seen.answered += len(table)
            writer.close()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert seen.read == seen.answered == rows
    assert seen.most == streamed.PIECE
    assert peak < 12e6
    out = read(tmp_path / f"out.{kind}")
    assert len(out) == rows
    assert out["text"].iloc[-1] == f"{rows - 1} {filling}"


def test_a_threshold_decides_between_two_classes(study: StudyFolder, tmp_path: Path) -> None:
    file = written(tmp_path, "in.csv", ["call me", "you have won a prize", "claim it", "see you later"])
    words = ["predict", str(study.path), "tfidf_word", str(file), "--out", "out.jsonl"]
    inside(*words, cwd=tmp_path)
    shares = read(tmp_path / "out.jsonl")["probability of spam"]
    for limit in (0.0, sorted(shares)[1], 1.0):
        inside(*words, "--threshold", f"spam={limit!r}", cwd=tmp_path)
        table = read(tmp_path / "out.jsonl")
        assert list(table["prediction"]) == ["spam" if share >= limit else "not spam" for share in shares]
        assert list(table["probability of spam"]) == list(shares)


BAD = {
    "no number": (["--threshold", "spam=much"], "a probability is a number from 0 to 1"),
    "no probability": (["--threshold", "spam=1.5"], "a probability is a number from 0 to 1"),
    "not a number": (["--threshold", "spam=nan"], "a probability is a number from 0 to 1"),
    "no class": (["--threshold", "0.3"], "write --threshold CLASS=0.3"),
    "another class": (["--threshold", "spma=0.3"], "did you mean 'spam'"),
    "no format": (["--format", "xlsx"], "use one of csv, tsv, jsonl, parquet"),
    "Parquet to be printed": (["--format", "parquet"], "name it with --out"),
    "no folder for it": (["--out", "nowhere/out.csv"], "there is no folder 'nowhere'"),
    "a folder in its place": (["--out", "."], "is a folder"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(study: StudyFolder, case: str, tmp_path: Path) -> None:
    words, sentence = BAD[case]
    (tmp_path / "in").mkdir()
    file = written(tmp_path / "in", "in.csv")
    said = inside("predict", str(study.path), "tfidf_word", str(file), *words, cwd=tmp_path, code=2)
    assert sentence in said.stderr
    assert said.stderr.count("\n") == 1
    assert said.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_threshold_for_three_classes_is_refused(three: StudyFolder, tmp_path: Path) -> None:
    file = written(tmp_path, "in.csv")
    said = inside("predict", str(three.path), "majority", str(file), "--threshold", "bill=0.3", code=2)
    assert "is for two classes, and the run 'majority' has 3 classes" in said.stderr


def test_what_fails_leaves_what_was_there(study: StudyFolder, tmp_path: Path) -> None:
    file = written(tmp_path, "in.csv", [*TEXTS, " "])
    (tmp_path / "out.csv").write_text("mine")
    said = inside("predict", str(study.path), "majority", str(file), "--out", "out.csv", cwd=tmp_path, code=2)
    assert "Row 6 of in.csv has an empty text" in said.stderr
    assert (tmp_path / "out.csv").read_text() == "mine"
    with pytest.raises(KeyboardInterrupt):
        _interrupted(tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv"]


def _interrupted(out: Path) -> None:
    with whole_file(out) as handle:
        handle.write(b"half")
        raise KeyboardInterrupt


def test_an_interrupted_command_leaves_nothing(study: StudyFolder, tmp_path: Path) -> None:
    """Ctrl-C once the first answers are on disk."""
    file, out = written(tmp_path, "in.csv", ["call me"] * 600_000), tmp_path / "out.csv"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1] / "src")}
    command = [
        sys.executable,
        "-m",
        "whichtune",
        "predict",
        str(study.path),
        "tfidf_word",
        str(file),
        "--out",
        str(out),
    ]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    while not any(path.stat().st_size for path in tmp_path.glob(".out.csv.*")):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert err.startswith("Interrupted.")
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_a_link_and_a_pipe_are_written_through(study: StudyFolder, tmp_path: Path) -> None:
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "out.csv").symlink_to("real.csv")
    file = written(tmp_path, "in.csv")
    inside("predict", str(study.path), "majority", str(file), "--out", "out.csv", cwd=tmp_path)
    assert (tmp_path / "out.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text("utf-8").startswith("text,prediction,")
    inside("predict", str(study.path), "majority", str(file), "--out", "/dev/null", cwd=tmp_path)
    assert Path("/dev/null").is_char_device()


def test_a_gzip_that_is_cut_off_is_said_to_be(tmp_path: Path) -> None:
    whole = gzip.compress(("text\n" + "".join(f"call {i}\n" for i in range(50_000))).encode())
    (tmp_path / "f.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"f\.csv\.gz cannot be read"):
        TextFile(tmp_path / "f.csv.gz", None, whole=0).count()
