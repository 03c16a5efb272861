"""Where a study lies, what stays in its folder, and what is refused before anything in it is touched."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from command import inside
from whichtune.compare import compare
from whichtune.errors import StoreError
from whichtune.expansion.kept import kept_in
from whichtune.expansion.places import place_of
from whichtune.records.aside import move_aside
from whichtune.records.store import StudyFolder
from whichtune.study.folders import named, study_name
from whichtune.study.load import parse_study
from whichtune.study.spec import Study


def study(data: str, model: str = "embedded", **keys: object) -> Study:
    return parse_study({"data": data, "model": model, **keys}, "a test")


NAMES = {
    ("a/reviews.csv", "distilbert-base-uncased"): "reviews-distilbert-base-uncased",
    ("reviews.csv.gz", "org/Model.v2"): "reviews-Model.v2",
    ("sms_spam=here/SMS.tsv", "embedded"): "sms_spam-embedded",
    ("org/set:en", "models/mine/"): "set-en-mine",
    ("d$a t*a.jsonl", "embedded"): "d-a-t-a-embedded",
    ("***.csv", "embedded"): "data-embedded",
    ("x" * 90, "embedded"): f"{'x' * 40}-embedded",
}


@pytest.mark.parametrize("place", NAMES, ids=str)
def test_a_study_is_called_after_its_data_and_its_model(place: tuple[str, str]) -> None:
    assert study_name(study(*place)) == NAMES[place]
    assert place_of(study(*place)) == Path(f"whichtune-{NAMES[place]}")


def test_a_folder_that_is_meant_by_dots_has_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    assert study_name(study(".", ".")) == "mine-mine"


def test_a_name_of_its_own_wins() -> None:
    assert named(study("a.csv", name="my study")).name == "my study"
    assert place_of(study("a.csv", name="my study")) == Path("whichtune-my study")


def made(data: Path, out: Path | None = None, **keys: object):
    value = {"data": str(data), "methods": [], "baselines": ["majority"], **keys}
    return compare(parse_study(value, "a test"), out, threads=1, save="none")


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_old_folder_of_the_same_study_is_found(mail: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made(mail, Path("whichtune-study"))
    again = made(mail)
    assert again.folder == Path("whichtune-study")
    assert again.started == 0
    other = shutil.copy(mail, tmp_path / "other.csv")
    assert made(Path(other)).folder == Path("whichtune-other-embedded")


@pytest.mark.slow
def test_rows_and_seeds_that_are_there_stay(mail: Path, tiny_gpt2: Path, tmp_path: Path) -> None:
    words = ["compare", "--data", str(mail), "--model", str(tiny_gpt2), "--threads", "1", "--no-figures"]
    words += ["--out", "out", "--set", "max_steps=2"]
    inside(*words, "--methods", "head_only,majority", "--seeds", "0,1", cwd=tmp_path)
    said = inside(*words, "--methods", "linear_probe,tfidf_word", "--seeds", "0", cwd=tmp_path).stdout
    assert "The folder holds more of this study, which stays in the table: head_only and majority." in said
    assert "2 runs; 2 to make." in said
    rows = seeds_by_row(tmp_path / "out")
    assert rows == {"linear_probe": [0], "head_only": [0, 1], "tfidf_word": [None], "majority": [None]}
    said = inside(*words, "--methods", "head_only", "--seeds", "2", cwd=tmp_path).stdout  # its baselines are the task's
    assert "which stays in the table: linear_probe and 2 more seeds of head_only." in said
    assert seeds_by_row(tmp_path / "out")["head_only"] == [2, 0, 1]
    stored = json.loads((tmp_path / "out" / "study.json").read_text())
    assert stored["seeds"] == [0, 1, 2]
    again = inside(*words, "--methods", "head_only,majority", "--seeds", "0,1", cwd=tmp_path).stdout
    assert "; 0 to make." in again
    assert len(json.loads((tmp_path / "out" / "summary.json").read_text())["runs"]) == 7


def seeds_by_row(folder: Path) -> dict[str, list[int | None]]:
    found: dict[str, list[int | None]] = {}
    for run in json.loads((folder / "summary.json").read_text())["runs"]:
        found.setdefault(run["label"], []).append(run["seed"])
    return found


@pytest.mark.slow
def test_a_row_with_other_settings_stands_beside_the_one_that_is_there(
    mail: Path, tiny_gpt2: Path, tmp_path: Path
) -> None:
    keys = {"model": str(tiny_gpt2), "methods": ["head_only"], "seeds": [0]}
    made(mail, tmp_path / "out", **keys, settings={"max_steps": 2})
    more = made(mail, tmp_path / "out", **keys, settings={"max_steps": 3})
    assert {run.label for run in more.records} == {"head_only", "head_only, max_steps=2", "majority"}
    back = made(mail, tmp_path / "out", **keys, settings={"max_steps": 2})
    assert back.started == 0
    assert {run.label for run in back.records} == {"head_only", "head_only, max_steps=3", "majority"}
    assert {run.label: run.spec["max_steps"] for run in back.records if run.seed is not None} == {
        "head_only": 2,
        "head_only, max_steps=3": 3,
    }


def other_data(mail: Path, where: Path) -> Path:
    target = where / "other.csv"
    target.write_text("".join(mail.read_text().splitlines(keepends=True)[:100]))
    return target


def test_another_study_is_refused_before_anything_is_written(
    mail: Path, notes: Path, tiny_gpt2: Path, tiny_bert: Path, tmp_path: Path
) -> None:
    out, same = tmp_path / "out", ["--data", str(mail), "--methods", "linear_probe"]
    made(mail, out, model=str(tiny_gpt2), methods=["linear_probe"], seeds=[0])
    before = everything(out)
    first = ["--model", str(tiny_gpt2)]
    written = ["--task", "summarisation", "--data", str(notes), "--methods", "lead_3", *first]
    asked = {
        "of the data '": ["--data", str(other_data(mail, tmp_path)), "--methods", "linear_probe", *first],
        "of the same data with another split_seed": [*same, "--set", "data.split_seed=1", *first],
        "of the model '": [*same, "--model", str(tiny_bert)],
        "of the task classification": written,
    }
    for reason, words in asked.items():
        for more in ([], ["--dry-run"]) if words is written else ([],):
            said = inside("compare", *words, "--out", str(out), "--seeds", "0", *more, code=2).stderr
            assert said.startswith(f"Error: The folder '{out}' holds another study, {reason}")
            assert said.endswith("name another folder with --out, or move it aside with --replace.\n")
    assert everything(out) == before


def test_data_that_changed_are_other_data(mail: Path, tmp_path: Path) -> None:
    data = Path(shutil.copy(mail, tmp_path / "mail.csv"))
    made(data, tmp_path / "out")
    moved = data.rename(tmp_path / "moved.csv")
    assert made(moved, tmp_path / "out").started == 0  # the same texts in another place
    moved.write_text(moved.read_text() + "late,spam\n")
    with pytest.raises(StoreError, match="as it was before it changed"):
        made(moved, tmp_path / "out")


def test_replace_moves_the_old_study_aside(mail: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    made(mail, out)
    before = everything(out)
    words = ["compare", "--data", str(other_data(mail, tmp_path)), "--methods", "tfidf_word", "--out", "out"]
    said = inside(*words, "--replace", "--threads", "1", "--no-figures", cwd=tmp_path).stdout
    assert "The study that was in out is kept in out.replaced-1." in said
    assert everything(tmp_path / "out.replaced-1") == before
    assert seeds_by_row(out) == {"tfidf_word": [None]}
    inside(*words, "--replace", "--threads", "1", "--no-figures", cwd=tmp_path)
    assert (tmp_path / "out.replaced-2" / "study.json").is_file()
    refused = inside(*words, "--replace", "--methods", "none", cwd=tmp_path, code=2)
    assert "There is no method 'none'" in refused.stderr
    assert not (tmp_path / "out.replaced-3").exists()


def test_what_cannot_be_moved_aside_stays(mail: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(mail, tmp_path / "out")
    monkeypatch.chdir(tmp_path / "out")
    with pytest.raises(StoreError, match="this command is given in it"):
        move_aside(Path("."))
    monkeypatch.chdir(tmp_path)
    (lock,) = (tmp_path / "out" / "locks").glob("*.lock")
    with FileLock(lock), pytest.raises(StoreError, match="a command makes runs in it"):
        move_aside(Path("out"))
    assert (tmp_path / "out" / "study.json").is_file()


def test_a_run_that_was_changed_is_not_kept(mail: Path, tmp_path: Path) -> None:
    made(mail, tmp_path / "out", baselines=["majority", "tfidf_word"])
    folder = StudyFolder(tmp_path / "out")
    kept = kept_in(folder)
    assert kept is not None
    run = next(spec for spec in kept.specs if spec.label == "tfidf_word")
    record = folder.run_folder(run.run_id) / "run.json"
    record.write_text(record.read_text().replace("completed", "failed"))
    assert {run.label for run in made(mail, tmp_path / "out").records} == {"majority"}
