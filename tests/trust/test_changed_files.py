"""What was changed in a folder is told, refused or made again; nothing of it is believed without a word."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from command import inside
from trust.places import PINS, Place, run_of
from whichtune.errors import StoreError
from whichtune.records.store import StudyFolder
from whichtune.records.verify import run_fault, write_checksums
from whichtune.report.write import load_summary
from whichtune.runs.predict import find_run, saved_in


def results(study: StudyFolder) -> list[object]:
    """All that readers get of a study; raises StoreError, or has the words that a reader is told."""
    summary = load_summary(study)
    runs = []
    for run in summary.runs:
        saved_in(study, find_run(study, run.run_id))
        weights = [file.read_bytes() for file in study.weight_files(run.run_id)]
        runs.append((study.predictions(run.run_id).to_json(), study.curves(run.run_id), weights))
    texts = study.examples().to_json()
    return [summary.model_copy(update={"checksum": None}), runs, texts]


def test_a_flipped_bit_changes_no_result_without_a_word(study: StudyFolder) -> None:
    draw, right = random.Random(1), results(study)
    files = [file for file in study.path.rglob("*") if file.suffix in (".json", ".jsonl", ".parquet", ".safetensors")]
    files = [file for file in files if file.name != "study.json" and file.stat().st_size]  # which nobody reads
    told = 0
    for flip in range(80):
        file = files[flip % len(files)]
        whole = file.read_bytes()
        spoilt = bytearray(whole)
        spoilt[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        file.write_bytes(spoilt)
        try:
            found = results(study)
        except StoreError:
            found = None
        told += found is None
        assert found in (None, right) or "Not to be believed" in str(found[0]) or "not the one" in str(found[0]), file
        file.write_bytes(whole)
    assert told > 60
    assert results(study) == right


def pinned(tmp_path: Path) -> tuple[StudyFolder, Path]:
    """A study of release 0.1, which has no checksums, and the folder of one of its trained runs."""
    study = StudyFolder(shutil.copytree(PINS / "labels", tmp_path / "labels"))
    run = next(run for run in load_summary(study).runs if run.role == "run" and run.status == "completed")
    return study, study.run_folder(run.run_id)


def change_json(**keys: object) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        found = json.loads((folder / "run.json").read_text("utf-8"))
        (folder / "run.json").write_text(json.dumps({**found, **keys}), "utf-8")

    return change


def better(folder: Path) -> None:
    found = json.loads((folder / "run.json").read_text("utf-8"))
    found["metrics"]["test"]["accuracy"] = 1.0
    (folder / "run.json").write_text(json.dumps(found), "utf-8")


def other_seed(folder: Path) -> None:
    found = json.loads((folder / "run.json").read_text("utf-8"))
    found["seed"] = found["spec"]["seed"] = 77
    (folder / "run.json").write_text(json.dumps(found), "utf-8")


def cut(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-100])


def all_right(folder: Path) -> None:
    frame = pd.read_parquet(folder / "predictions.parquet")
    frame.assign(prediction=frame["label"]).to_parquet(folder / "predictions.parquet", index=False)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (better, "test figures do not follow"),
        (all_right, "figures do not follow"),
        (other_seed, "settings are not those"),
        (change_json(run_id="0" * 16), "record is that of another run"),
        (change_json(schema_version=99), "a newer whichtune wrote it"),
        (change_json(seed="1"), "no record of a run"),
        (change_json(cost={"train_seconds": float("nan")}), "cannot be read"),
        (cut("run.json"), "cannot be read"),
        (cut("predictions.parquet"), r"predictions\.parquet cannot be read"),
        (lambda folder: (folder / "predictions.parquet").unlink(), r"predictions\.parquet is missing"),
    ],
)
def test_runs_without_checksums_are_verified(spoil: Callable[[Path], object], words: str, tmp_path: Path) -> None:
    study, folder = pinned(tmp_path)
    assert run_fault(folder) is None
    spoil(folder)
    assert re.search(words, str(run_fault(folder)))
    verdict = load_summary(study).verdict
    assert verdict is not None
    assert verdict.warnings[0].startswith("Not to be believed: ")
    with pytest.raises(StoreError, match="is refused"):
        find_run(study, folder.name)


def test_what_was_changed_is_made_again(made: Place, study: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    right = {run.run_id: run.metrics for run in load_summary(study).runs}
    edited, copied = (study.run_folder(run_of(study, label).run_id) for label in ("majority", "tfidf_char"))
    better(edited)
    shutil.rmtree(copied)
    shutil.copytree(edited, copied)
    write_checksums(copied)
    said = inside(*made.command, "--out", str(study.path), cwd=made.cwd).stdout
    assert "Made again: the run 'majority'" in said
    assert "Made again: the run 'tfidf_char'" in said
    assert "2 runs made" in said
    assert {run.run_id: run.metrics for run in load_summary(study).runs} == right
    assert {place.name for place in (study.path / "set-aside").iterdir()} == {edited.name, copied.name}


STORED = ("summary.json", "study.json", "examples.parquet", "predictions.parquet", "curves.jsonl", "run.json")


@pytest.mark.parametrize("name", STORED)
def test_truncated_files_are_one_sentence(study: StudyFolder, name: str, made: Place) -> None:
    for file in study.path.rglob(name):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2] + b"{")
    place, refused = str(study.path), 0
    for words in (
        ["show", place],
        ["report", place, "--no-figures"],
        ["predict", place, "majority", str(made.cwd / "d.csv")],
    ):
        said = leaving(*words)
        refused += said.startswith("Error: ")
        assert said.startswith("Error: ") or name == "study.json" or words[0] == "predict" or "Mind: " in said
        assert not said.startswith("Error: ") or said.count("\n") == 1
    assert bool(refused) == (name != "study.json")


def leaving(*words: str) -> str:
    """What a command says that may refuse: standard error alone where it does."""
    try:
        return inside(*words).stdout
    except AssertionError:
        return inside(*words, code=2).stderr
