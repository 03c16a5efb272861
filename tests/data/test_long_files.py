"""Of a long CSV file the wanted columns are held, and what is read is what is read of a short one."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from whichtune.data import long_files
from whichtune.data.numbers import NUMBERED, load_numbers
from whichtune.data.read import read_source
from whichtune.data.splits import load_dataset
from whichtune.errors import DataError
from whichtune.study.data_settings import DataSettings

ROWS = [f'{i},"a text, no {i}\nof two lines",{"ab"[i % 2]},{i % 7},more{"," if i == 5 else ""}' for i in range(60)]
HEADER = "id,text,label,score,note"


@pytest.fixture
def short_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_files, "LONG", 8)


def both(settings: DataSettings, monkeypatch: pytest.MonkeyPatch) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A file as it is read whole, and as a long one is."""
    found = []
    for most in (1 << 30, 8):
        monkeypatch.setattr(long_files, "LONG", most)
        found.append(read_source(settings))
    whole, long = found
    assert (whole.fingerprint, whole.notes) == (long.fingerprint, long.notes)
    return whole.tables["all"], long.tables["all"]


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.tsv"])
def test_a_long_file_is_read_as_a_short_one(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "\n".join([HEADER, *ROWS, "61,last,a"]) + "\n"
    content = text.encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    whole, long = both(DataSettings(source=str(tmp_path / name)), monkeypatch)
    assert list(whole.columns) == list(long.columns)
    for column in ("text", "label"):
        assert list(whole[column]) == list(long[column])
    assert long["note"].isna().all()  # which nobody reads


@pytest.mark.usefixtures("short_is_long")
def test_columns_that_settings_name_are_held(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("\n".join([HEADER, *ROWS]))
    settings = DataSettings(source=str(tmp_path / "a.csv"), text_column="text,note", group_column="id")
    assert len(load_dataset(settings).splits["train"]) == 42
    found = load_numbers(DataSettings(source=str(tmp_path / "a.csv")), NUMBERED)
    assert set(found.splits["train"].labels) == set(range(7))


@pytest.mark.usefixtures("short_is_long")
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (f'{HEADER}\n1,"open,a,1,b\n2,c,a,1,b\n', "opens a quote that is not closed"),
        (f"{HEADER}\n1,b,a,1,b,too many\n2,c,a,1,b\n", "Row 1 of a.csv has 6 fields"),
        (f"{HEADER}\n", "a.csv has no rows"),
        ("one,two\na,b\nc,d\n", r"a.csv has no usual text column \(its columns: one, two\)"),
    ],
)
def test_what_is_wrong_with_it_is_told_as_of_a_short_one(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=sentence):
        load_dataset(DataSettings(source=str(tmp_path / "a.csv")))


MEASURE = """
import resource, sys
import pandas, pyarrow, sklearn.model_selection
from whichtune.data.splits import load_dataset
from whichtune.study.data_settings import DataSettings
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
load_dataset(DataSettings(source=sys.argv[1], train_limit=1000, validation_limit=1000, test_limit=1000))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.slow
def test_a_million_rows_take_a_few_times_their_texts(tmp_path: Path) -> None:
    texts = " ".join(f"word{i % 97}" for i in range(15))
    with (tmp_path / "big.csv").open("w", encoding="utf-8") as handle:
        handle.write("id,text,label,note\n")
        for row in range(1_000_000):
            handle.write(f"{row},{texts} {row},{'ab'[row % 2]},{texts[:60]}\n")
    size = (tmp_path / "big.csv").stat().st_size / 2**20
    command = [sys.executable, "-c", MEASURE, str(tmp_path / "big.csv")]
    taken = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert taken < 4 * size, f"{taken:.0f} MiB for a file of {size:.0f} MiB"
