"""A command that is given again: told at once where nothing has changed, and made as ever where anything has."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from whichtune.cli.app import app
from whichtune.cli.unchanged import STAMP, stamp_of
from whichtune.errors import WhichtuneError
from whichtune.study.load import parse_study


@pytest.fixture
def place(mail: Path, tiny_gpt2: Path, tmp_path: Path, begun: Path) -> Path:
    """A folder with the data, the model and a study that is complete, and nothing else knows of."""
    shutil.copytree(begun, tmp_path / "again")
    # The stamp has the names of files: the copy's are its own, and its first command leaves a new one.
    assert "0 runs made" in given(tmp_path / "again").stdout
    return tmp_path / "again"


@pytest.fixture(scope="module")
def begun(mail: Path, tiny_gpt2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("begun") / "again"
    place.mkdir()
    shutil.copy(mail, place / "mail.csv")
    shutil.copytree(tiny_gpt2, place / "model")
    assert "4 runs made" in given(place).stdout
    return place


def given(place: Path, *more: str) -> Result:
    """The command, given in that folder."""
    data = ["--data", str(place / "mail.csv"), "--model", str(place / "model"), "--methods", "head_only"]
    how = ["--seeds", "0", "--set", "epochs=1", "--no-figures", "--out", str(place / "study")]
    result = CliRunner().invoke(app, ["compare", *data, *how, *more])
    assert result.exit_code == 0, result.output
    return result


def written(place: Path) -> dict[str, int]:
    """When each of the study's files was written."""
    files = [path for path in sorted((place / "study").rglob("*")) if path.is_file() and "locks" not in path.parts]
    return {str(path): path.stat().st_mtime_ns for path in files}


def test_nothing_is_looked_at_where_nothing_has_changed(place: Path) -> None:
    first, before = given(place), written(place)
    again = given(place)
    assert again.stdout == first.stdout
    assert "0 runs made" in again.stdout
    assert written(place) == before


def test_the_stored_summary_is_told_as_json(place: Path) -> None:
    assert given(place, "--json").stdout.strip() == (place / "study" / "summary.json").read_text().strip()


def new_data(place: Path) -> None:
    file = place / "mail.csv"
    head, _, rest = file.read_text().partition("\n")
    file.write_text(f"{head}\n{rest.replace('e', 'o', 1)}")


def other_weights(place: Path) -> None:
    os.utime(place / "model" / "model.safetensors")


def no_page(place: Path) -> None:
    (place / "study" / "report.html").unlink()


def damaged_run(place: Path) -> None:
    record = next((place / "study" / "runs").glob("*/run.json"))
    record.write_text(record.read_text().replace("completed", "complete", 1))


def another_stamp(place: Path) -> None:
    (place / "study" / STAMP).write_text("0" * 64)


@pytest.mark.parametrize(
    "change",
    [other_weights, *(pytest.param(each, marks=pytest.mark.slow) for each in (no_page, damaged_run, another_stamp))],
)
def test_what_has_changed_is_looked_at(place: Path, change: Callable[[Path], None]) -> None:
    """The whole command is gone through: it mends what is amiss, and writes the page anew."""
    change(place)
    before = written(place)
    given(place)
    after = written(place)
    assert after[str(place / "study" / "report.html")] != before.get(str(place / "study" / "report.html"))
    again = given(place)
    assert "0 runs made" in again.stdout
    assert written(place) == after


def test_a_file_that_a_setting_names_is_looked_at(tmp_path: Path) -> None:
    sample = tmp_path / "sample.txt"
    sample.write_text("Some text.")
    value = {"data": "messages", "model": "embedded", "methods": ["full"], "settings": {"retention_text": str(sample)}}
    study = parse_study(value, "a test")
    before = stamp_of(study, tmp_path / "none", None)
    assert before == stamp_of(study, tmp_path / "none", None)
    sample.write_text("Some other text.")
    assert before != stamp_of(study, tmp_path / "none", None)


def test_other_data_are_refused_as_ever(place: Path) -> None:
    new_data(place)
    data = ["--data", str(place / "mail.csv"), "--model", str(place / "model"), "--methods", "head_only"]
    how = ["--seeds", "0", "--set", "epochs=1", "--no-figures", "--out", str(place / "study")]
    result = CliRunner().invoke(app, ["compare", *data, *how])
    assert isinstance(result.exception, WhichtuneError)  # exit code 2 of the command


@pytest.mark.slow
def test_another_seed_is_made(place: Path) -> None:
    assert "1 run made" in given(place, "--seeds", "0,1").stdout


def test_a_study_that_may_have_changed_elsewhere_has_no_stamp(place: Path, tmp_path: Path) -> None:
    study = parse_study({"data": str(place / "mail.csv"), "model": "someone/model", "methods": ["full"]}, "a test")
    assert stamp_of(study, tmp_path, None) is None
    named = parse_study({"data": "sms_spam", "model": "embedded", "methods": ["full"]}, "a test")
    assert stamp_of(named, tmp_path, None) is None
    generated = parse_study({"data": "messages", "model": "embedded", "methods": ["full"]}, "a test")
    assert stamp_of(generated, tmp_path, None) is not None
